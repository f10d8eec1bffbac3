-- Daily differences of the three streams added up, and the volume that came of the volume that should have.
select
    month, institution_code,
    sum(case when streams > 1 then largest - smallest else 0 end) as reconcile_difference,
    sum(case when streams > 1 then largest else 0 end) as reconcile_base,
    sum(coalesce(registrations, 0) + coalesce(encounters, 0) + coalesce(settlements, 0)) as volume_received,
    sum(largest * streams) as volume_expected
from {{ ref('int_reconcile_day') }}
group by month, institution_code
