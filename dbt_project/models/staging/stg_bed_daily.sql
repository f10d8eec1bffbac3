-- depends_on: {{ source('staged', 'bed_daily') }}
{{ staged('bed_daily') }}
