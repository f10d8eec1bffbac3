{{ config(meta={'reads': {'fct_charge_line': [0], 'fct_settlement': [-3, -2, -1, 0]}}) }}
-- Charge lines whose settlement is known; settlements are looked for up to three months after the line.
select
    l.month, l.institution_code, 'charge_line' as extract, 'settlement_id' as column_name,
    count(*) as references_total,
    sum(case when s.settlement_id is not null then 1 else 0 end) as references_resolved
from {{ ref('fct_charge_line') }} as l
left join {{ ref('fct_settlement') }} as s
    on s.institution_code = l.institution_code and s.settlement_id = l.settlement_id
    and s.month between l.month and {{ add_months('l.month', 3) }}
    and {{ in_months(pending_months(), 's.month', after=3) }}
where l.settlement_id is not null and {{ in_pending('l.month') }}
group by l.month, l.institution_code
