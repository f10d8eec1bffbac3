-- depends_on: {{ source('staged', 'inpatient_stay') }}
{{ staged('inpatient_stay') }}
