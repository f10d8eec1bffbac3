-- Discharges by month, institution and disease group of the main diagnosis, with what was paid for the stay.
select
    p.month, p.institution_code, substr(p.main_diag_code, 1, 3) as disease_code,
    count(*) as cases,
    sum(p.total_fee) as total_fee,
    sum(coalesce(s.fund_pay, 0)) as fund_pay,
    sum(p.fee_western_drug + p.fee_tcm_patent + p.fee_tcm_slice) as drug_fee,
    sum(p.fee_consumable) as consumable_fee,
    sum(p.los_days) as los_days
from {{ ref('fct_case_front_page') }} as p
left join {{ ref('int_stay_payment') }} as s on s.institution_code = p.institution_code and s.stay_id = p.stay_id
group by p.month, p.institution_code, substr(p.main_diag_code, 1, 3)
