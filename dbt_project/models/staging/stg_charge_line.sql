-- depends_on: {{ source('staged', 'charge_line') }}
{{ staged('charge_line') }}
