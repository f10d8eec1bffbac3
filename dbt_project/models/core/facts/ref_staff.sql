{{ fact('staff') }}
