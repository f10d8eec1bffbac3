-- depends_on: {{ source('staged', 'resident') }}
{{ staged('resident') }}
