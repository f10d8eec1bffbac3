{{ config(meta={'reads': {'fct_outpatient_encounter': [0], 'fct_registration': [-1, 0, 1]}}) }}
-- Encounters whose registration is known. Registrations are looked for in the month before to the month after.
select
    e.month, e.institution_code, 'outpatient_encounter' as extract, 'registration_id' as column_name,
    count(*) as references_total,
    sum(case when r.registration_id is not null then 1 else 0 end) as references_resolved
from {{ ref('fct_outpatient_encounter') }} as e
left join {{ ref('fct_registration') }} as r
    on r.institution_code = e.institution_code and r.registration_id = e.registration_id
    and r.month between {{ add_months('e.month', -1) }} and {{ add_months('e.month', 1) }}
    and {{ in_months(pending_months(), 'r.month', before=1, after=1) }}
where e.registration_id is not null and {{ in_pending('e.month') }}
group by e.month, e.institution_code
