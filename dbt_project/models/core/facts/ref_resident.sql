{{ fact('resident') }}
