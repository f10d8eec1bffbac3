{{ config(meta={'reads': {'fct_outpatient_encounter': [0]}}) }}
-- Spread of the fee of a visit, at institution and at county level on its own: percentiles do not add up.
with visits as (
    select month, institution_code, coalesce('r' || registration_id, 'e' || encounter_id) as visit, sum(total_fee) as fee
    from {{ ref('fct_outpatient_encounter') }}
    where visit_type <> '4' and {{ in_pending() }}
    group by month, institution_code, coalesce('r' || registration_id, 'e' || encounter_id)
)

select
    month,
    institution_code,
    case when grouping(institution_code) = 1 then 'county' else 'institution' end as level,
    {{ money_percentile('fee', 0.25) }} as fee_p25,
    {{ money_percentile('fee', 0.5) }} as fee_p50,
    {{ money_percentile('fee', 0.75) }} as fee_p75,
    {{ money_percentile('fee', 0.9) }} as fee_p90
from visits
group by grouping sets ((month, institution_code), (month))
