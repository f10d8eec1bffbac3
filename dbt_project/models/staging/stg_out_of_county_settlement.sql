-- depends_on: {{ source('staged', 'out_of_county_settlement') }}
{{ staged('out_of_county_settlement') }}
