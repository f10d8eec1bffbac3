-- depends_on: {{ source('staged', 'population') }}
{{ staged('population') }}
