{{ fact('settlement') }}
