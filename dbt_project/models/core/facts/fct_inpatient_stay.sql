{{ fact() }}
