{{ fact('catalog_mapping') }}
