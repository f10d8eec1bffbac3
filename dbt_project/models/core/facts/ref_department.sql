{{ fact('department') }}
