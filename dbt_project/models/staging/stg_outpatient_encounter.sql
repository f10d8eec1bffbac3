-- depends_on: {{ source('staged', 'outpatient_encounter') }}
{{ staged('outpatient_encounter') }}
