-- depends_on: {{ source('staged', 'settlement') }}
{{ staged('settlement') }}
