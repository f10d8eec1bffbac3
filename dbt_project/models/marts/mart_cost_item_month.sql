-- An item is its national code, or where none is mapped its local one. Months are numbered so that a window means months.
with base as (
    select
        c.month, c.institution_code, t.item_class, coalesce(c.nhsa_code, i.nhsa_code, c.local_item_code) as item_code,
        max(coalesce(i.local_item_name, c.item_name)) as item_name,
        sum(c.amount) as amount, sum(c.quantity) as quantity, sum(c.lines) as lines
    from {{ ref('int_charge_month') }} as c
    join {{ ref('int_month') }} as m on m.month = c.month
    join {{ ref('charge_type') }} as t on t.chrgitm_type = c.chrgitm_type and t.item_class in ('drug', 'consumable')
    left join {{ ref('int_item') }} as i on i.institution_code = c.institution_code and i.local_item_code = c.local_item_code
    group by c.month, c.institution_code, t.item_class, coalesce(c.nhsa_code, i.nhsa_code, c.local_item_code)
),

rolled as (
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level, institution_code,
        item_class, item_code, max(item_name) as item_name, sum(amount) as amount, sum(quantity) as quantity, sum(lines) as lines,
        cast(extract(year from month) * 12 + extract(month from month) as integer) as nth
    from base
    group by grouping sets ((month, institution_code, item_class, item_code), (month, item_class, item_code))
),

measured as (
    select
        *,
        sum(amount) over (item range between 12 preceding and 12 preceding) as amount_ly,
        avg(cast(amount as double)) over (item range between 12 preceding and 1 preceding) as mean_12m,
        stddev_samp(cast(amount as double)) over (item range between 12 preceding and 1 preceding) as sd_12m,
        count(*) over (item range between 12 preceding and 1 preceding) as months_before,
        rank() over (partition by month, level, institution_code, item_class order by amount desc) as item_rank
    from rolled
    window item as (partition by level, institution_code, item_class, item_code order by nth)
),

judged as (
    select
        *,
        case when months_before >= 6 and sd_12m > 0 then (cast(amount as double) - mean_12m) / sd_12m end as z_score
    from measured
),

final as (
    select
        j.*, {{ unit_columns() }}, k.label_zh as item_class_zh, k.label_en as item_class_en, coalesce(j.z_score > 3, false) as is_outlier
    from judged as j
    {{ join_unit('j') }}
    {{ join_label('item_class', 'j.item_class', 'k') }}
    where j.item_rank <= 50 or j.z_score > 3
)

{{ conform('final') }}
