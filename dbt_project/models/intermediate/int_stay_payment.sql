-- What was paid for each stay.
select
    institution_code, stay_id,
    max(coalesce(insurance_type, '000')) as payer_code,
    sum(fund_pay * case when refund_of is not null and total_fee > 0 then -1 else 1 end) as fund_pay,
    sum(cash_pay * case when refund_of is not null and total_fee > 0 then -1 else 1 end) as cash_pay
from {{ ref('fct_settlement') }}
where valid_flag and stay_id is not null
group by institution_code, stay_id
