{{ fact('diagnosis') }}
