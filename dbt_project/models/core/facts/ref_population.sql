{{ fact('population') }}
