-- depends_on: {{ source('staged', 'institution') }}
{{ staged('institution') }}
