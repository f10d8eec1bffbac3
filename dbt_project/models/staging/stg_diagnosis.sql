-- depends_on: {{ source('staged', 'diagnosis') }}
{{ staged('diagnosis') }}
