{{ fact('outpatient_encounter') }}
