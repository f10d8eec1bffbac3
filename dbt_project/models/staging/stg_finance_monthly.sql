-- depends_on: {{ source('staged', 'finance_monthly') }}
{{ staged('finance_monthly') }}
