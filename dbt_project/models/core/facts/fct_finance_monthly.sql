{{ fact('finance_monthly') }}
