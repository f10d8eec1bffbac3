-- depends_on: {{ source('staged', 'notifiable_report') }}
{{ staged('notifiable_report') }}
