-- Financial report by month; last year is what is known of it now, and counts only where both years are known.
with report as (
    {{ finance_sums(ref('fct_finance_monthly')) }}
)

select
    r.*,
    case when y.medical_income is not null then r.medical_income end as medical_income_lfl,
    case when r.medical_income is not null then y.medical_income end as medical_income_ly
from report as r
left join report as y on y.institution_code = r.institution_code and y.month = {{ add_months('r.month', -12) }}
