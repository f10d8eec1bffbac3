-- depends_on: {{ source('staged', 'catalog_mapping') }}
{{ staged('catalog_mapping') }}
