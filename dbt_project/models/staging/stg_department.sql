-- depends_on: {{ source('staged', 'department') }}
{{ staged('department') }}
