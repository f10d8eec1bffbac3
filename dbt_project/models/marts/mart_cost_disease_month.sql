{%- set sums = ['cases', 'total_fee', 'fund_pay', 'drug_fee', 'consumable_fee', 'los_days'] -%}
with two_years as (
    {{ with_last_year(ref('int_disease_month'), ['institution_code', 'disease_code'], sums) }}
),

rolled as (
    {{ rolled_up('two_years', ['disease_code'], sums + ['cases_ly', 'total_fee_ly']) }}
),

final as (
    select
        r.*, {{ unit_columns() }},
        coalesce(d.disease_zh, r.disease_code) as disease_zh, coalesce(d.disease_en, r.disease_code) as disease_en,
        d.chapter_code, d.chapter_zh, d.chapter_en,
        case when r.cases >= {{ var('small_cell') }} then cast(r.total_fee as double) / r.cases end as avg_fee,
        case when r.cases >= {{ var('small_cell') }} then cast(r.los_days as double) / r.cases end as avg_los,
        r.cases between 1 and {{ var('small_cell') - 1 }} as is_small_cell,
        case when r.total_fee is not null then row_number() over (
            partition by r.month, r.level, r.institution_code order by r.total_fee desc nulls last, r.disease_code
        ) end as fee_rank
    from rolled as r
    {{ join_unit('r') }}
    left join {{ ref('dim_diagnosis') }} as d on d.disease_code = r.disease_code
)

{{ conform('final') }}
