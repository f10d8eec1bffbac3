{{ fact('inpatient_stay') }}
