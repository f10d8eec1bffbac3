{{ fact('registration') }}
