{{ config(meta={'reads': {'fct_settlement': [0], 'fct_charge_line': [0, 1, 2, 3]}}) }}
-- Settlements against the sum of their lines, and lines that name a settlement. Lines are looked for from three months
-- before the settlement's; settlements of longer stays are left out, and counted so.
with settled as (
    select month, institution_code, settlement_id, total_fee, begin_date
    from {{ ref('fct_settlement') }}
    where valid_flag and refund_of is null and {{ in_pending() }}
),

lines as (
    select s.month, l.institution_code, l.settlement_id, sum(l.amount) as amount
    from {{ ref('fct_charge_line') }} as l
    join settled as s
        on s.institution_code = l.institution_code and s.settlement_id = l.settlement_id
        and l.month between {{ add_months('s.month', -3) }} and s.month
    where {{ in_months(pending_months(), 'l.month', before=3) }}
    group by s.month, l.institution_code, l.settlement_id
)

select
    s.month,
    s.institution_code,
    count(*) as settlements,
    sum(case when l.settlement_id is null and s.begin_date >= {{ add_months('s.month', -3) }} then 1 else 0 end) as without_lines,
    sum(case when l.settlement_id is not null and s.begin_date >= {{ add_months('s.month', -3) }} then 1 else 0 end) as compared,
    sum(case when abs(l.amount - s.total_fee) > 1 and s.begin_date >= {{ add_months('s.month', -3) }} then 1 else 0 end) as unequal,
    sum(case when s.begin_date < {{ add_months('s.month', -3) }} then 1 else 0 end) as long_stays
from settled as s
left join lines as l on l.month = s.month and l.institution_code = s.institution_code and l.settlement_id = s.settlement_id
group by s.month, s.institution_code
