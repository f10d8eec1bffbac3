{{ config(meta={'reads': {'fct_settlement': [0]}}) }}
-- Fund payment of the 5 % of inpatient cases with the largest one; of the county, as it does not add up.
with cases as (
    select month, institution_code, stay_id, sum(fund_pay * case when refund_of is not null and total_fee > 0 then -1 else 1 end) as fund_pay
    from {{ ref('fct_settlement') }}
    where valid_flag and stay_id is not null and {{ in_pending() }}
    group by month, institution_code, stay_id
),

ranked as (
    select
        month, fund_pay,
        row_number() over (partition by month order by fund_pay desc, institution_code, stay_id) as nth,
        count(*) over (partition by month) as n
    from cases
)

select
    month,
    cast(null as varchar) as institution_code,
    sum(case when nth <= ceil(n * 0.05) then fund_pay else 0 end) as top_fund_pay,
    sum(fund_pay) as fund_pay
from ranked
group by month
