-- Settled money against the medical income of the financial report, where there is a report.
with settled as (
    select month, institution_code, sum(total_fee) as total_fee from {{ ref('int_settlement_month') }} group by month, institution_code
)

select
    f.month, f.institution_code,
    abs(coalesce(s.total_fee, 0) - f.medical_income) as finance_difference,
    f.medical_income as finance_base
from {{ ref('int_finance_month') }} as f
left join settled as s on s.month = f.month and s.institution_code = f.institution_code
where f.medical_income is not null
