{{ fact('institution') }}
