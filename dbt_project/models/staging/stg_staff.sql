-- depends_on: {{ source('staged', 'staff') }}
{{ staged('staff') }}
