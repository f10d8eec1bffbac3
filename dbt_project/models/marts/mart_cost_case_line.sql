{%- set months = run_query("select distinct cast(month as varchar) from " ~ ref('int_case') ~ " where has_lines").columns[0].values() if execute else [] -%}
with cases as (
    select case_key, month, institution_code, stay_id from {{ ref('int_case') }} where has_lines
),

lines as (
    select
        c.case_key, c.month, c.institution_code, coalesce(t.fee_class, 'other') as fee_class, l.local_item_code,
        max(l.item_name) as item_name, sum(l.quantity) as quantity, sum(l.amount) as amount, count(*) as lines
    from {{ ref('fct_charge_line') }} as l
    join cases as c on c.institution_code = l.institution_code and c.stay_id = l.stay_id
    left join {{ ref('charge_type') }} as t on t.chrgitm_type = l.chrgitm_type
    where {{ in_months(months, 'l.month', before=2) }}
    group by c.case_key, c.month, c.institution_code, coalesce(t.fee_class, 'other'), l.local_item_code
),

final as (
    select
        l.*, 'institution' as level, {{ unit_columns(peer=false) }}, f.label_zh as fee_class_zh, f.label_en as fee_class_en,
        cast(l.amount as double) / nullif(cast(l.quantity as double), 0) as unit_price
    from lines as l
    {{ join_unit('l') }}
    {{ join_label('fee_class', 'l.fee_class', 'f') }}
)

{{ conform('final') }}
