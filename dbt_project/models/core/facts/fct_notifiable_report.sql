{{ fact('notifiable_report') }}
