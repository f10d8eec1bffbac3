{{ fact('charge_line') }}
