{{ fact('bed_daily') }}
