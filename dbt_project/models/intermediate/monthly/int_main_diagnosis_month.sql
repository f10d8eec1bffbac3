{{ config(meta={'reads': {'fct_outpatient_encounter': [0], 'fct_diagnosis': [-1, 0, 1]}}) }}
-- Encounters by the number of their main outpatient diagnoses; one is right. Looked for from the month before to the one after.
with main as (
    select d.institution_code, d.encounter_id, d.month, count(*) as mains
    from {{ ref('fct_diagnosis') }} as d
    where d.is_main and d.encounter_id is not null and d.diag_stage = '1'
        and {{ in_months(pending_months(), 'd.month', before=1, after=1) }}
    group by d.institution_code, d.encounter_id, d.month
),

counted as (
    select e.month, e.institution_code, e.encounter_id, coalesce(sum(m.mains), 0) as mains
    from {{ ref('fct_outpatient_encounter') }} as e
    left join main as m
        on m.institution_code = e.institution_code and m.encounter_id = e.encounter_id
        and m.month between {{ add_months('e.month', -1) }} and {{ add_months('e.month', 1) }}
    where {{ in_pending('e.month') }}
    group by e.month, e.institution_code, e.encounter_id
)

select
    month, institution_code, count(*) as encounters,
    sum(case when mains = 1 then 1 else 0 end) as one_main,
    sum(case when mains = 0 then 1 else 0 end) as no_main,
    sum(case when mains > 1 then 1 else 0 end) as many_mains
from counted
group by month, institution_code
