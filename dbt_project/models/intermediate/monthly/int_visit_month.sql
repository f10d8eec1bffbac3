{{ config(meta={'reads': {'fct_outpatient_encounter': [0]}}) }}
-- Visits and their fees by month, institution and department.
{{ visit_sums('(select * from ' ~ ref('fct_outpatient_encounter') ~ ' where ' ~ in_pending() ~ ')') }}
