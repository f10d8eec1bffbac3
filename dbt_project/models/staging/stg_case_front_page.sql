-- depends_on: {{ source('staged', 'case_front_page') }}
{{ staged('case_front_page') }}
