{{ config(meta={'reads': {'fct_registration': [0], 'fct_outpatient_encounter': [0]}}) }}
-- Rows by the codes they name, to be resolved against the lists in force: departments and doctors of outpatient care.
select month, institution_code, 'registration' as extract, 'dept_code' as column_name, dept_code as code, count(*) as row_count
from {{ ref('fct_registration') }}
where {{ in_pending() }}
group by month, institution_code, dept_code
union all
select month, institution_code, 'outpatient_encounter', 'dept_code', dept_code, count(*)
from {{ ref('fct_outpatient_encounter') }}
where {{ in_pending() }}
group by month, institution_code, dept_code
union all
select month, institution_code, 'outpatient_encounter', 'doctor_id', doctor_id, count(*)
from {{ ref('fct_outpatient_encounter') }}
where {{ in_pending() }}
group by month, institution_code, doctor_id
