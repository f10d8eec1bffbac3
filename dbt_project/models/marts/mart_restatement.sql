with final as (
    select
        r.*, {{ unit_columns(peer=false) }}, i.indicator_zh, i.indicator_en, i.unit_zh, i.unit_en, i.decimals,
        r.current_value - r.first_value as change, {{ change_pct('r.current_value', 'r.first_value') }} as change_pct, m.closes_on as closed_on,
        cast(extract(year from r.month) as varchar) || '年' || cast(extract(month from r.month) as varchar) || '月医疗费用月报' as reports_zh,
        'Medical cost report of ' || cast(extract(year from r.month) as varchar) || '-' || lpad(cast(extract(month from r.month) as varchar), 2, '0') as reports_en
    from {{ ref('int_restated_month') }} as r
    {{ join_unit('r') }}
    join {{ ref('indicator') }} as i on i.indicator_id = r.indicator_id
    join {{ ref('int_month') }} as m on m.month = r.month
)

{{ conform('final') }}
