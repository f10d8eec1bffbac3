with one as (
    select
        c.month, c.institution_code, coalesce(t.item_class, 'service') as item_class, c.local_item_code,
        sum(c.amount) as amount,
        sum(case when coalesce(c.nhsa_code, i.nhsa_code) is null then c.amount else 0 end) as unmapped_amount,
        max(case when coalesce(c.nhsa_code, i.nhsa_code) is null then 1 else 0 end) as is_unmapped
    from {{ ref('int_charge_month') }} as c
    join {{ ref('int_month') }} as m on m.month = c.month
    left join {{ ref('charge_type') }} as t on t.chrgitm_type = c.chrgitm_type
    left join {{ ref('int_item') }} as i on i.institution_code = c.institution_code and i.local_item_code = c.local_item_code
    group by c.month, c.institution_code, coalesce(t.item_class, 'service'), c.local_item_code
),

rolled as (
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level, institution_code, item_class,
        count(*) as items, sum(is_unmapped) as unmapped_items, sum(amount) as amount, sum(unmapped_amount) as unmapped_amount
    from one
    group by grouping sets ((month, institution_code, item_class), (month, item_class))
),

final as (
    select
        r.*, {{ unit_columns(peer=false) }}, k.label_zh as item_class_zh, k.label_en as item_class_en,
        cast(r.unmapped_amount as double) / nullif(cast(r.amount as double), 0) * 100 as unmapped_pct
    from rolled as r
    {{ join_unit('r') }}
    {{ join_label('item_class', 'r.item_class', 'k') }}
)

{{ conform('final') }}
