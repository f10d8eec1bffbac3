-- Discharges by month, institution and department.
{{ discharge_sums(ref('fct_case_front_page')) }}
