-- depends_on: {{ source('staged', 'registration') }}
{{ staged('registration') }}
