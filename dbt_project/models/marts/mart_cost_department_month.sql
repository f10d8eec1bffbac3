{%- set sums = ['discharges', 'total_fee', 'drug_fee', 'consumable_fee', 'los_days'] -%}
with pages as (
    select
        p.month, p.institution_code, p.discharge_dept as dept_code, coalesce(d.std_dept_code, 'unknown') as std_dept_code,
        1 as discharges, p.total_fee, p.fee_western_drug + p.fee_tcm_patent + p.fee_tcm_slice as drug_fee,
        p.fee_consumable as consumable_fee, p.los_days
    from {{ ref('fct_case_front_page') }} as p
    left join {{ ref('dim_department') }} as d on d.institution_code = p.institution_code and d.dept_code = p.discharge_dept
),

summed as (
    select month, institution_code, dept_code, std_dept_code{% for s in sums %}, sum({{ s }}) as {{ s }}{% endfor %}
    from pages group by month, institution_code, dept_code, std_dept_code
),

two_years as (
    {{ with_last_year('summed', ['institution_code', 'dept_code', 'std_dept_code'], sums) }}
),

rolled as (
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level,
        institution_code, dept_code, std_dept_code
        {%- for s in sums %}, sum({{ s }}) as {{ s }}, sum({{ s }}_ly) as {{ s }}_ly{% endfor %}
    from two_years
    group by grouping sets ((month, institution_code, dept_code, std_dept_code), (month, std_dept_code))
),

spread as (
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level,
        institution_code, dept_code, std_dept_code,
        {{ money_percentile('total_fee', 0.1) }} as fee_p10, {{ money_percentile('total_fee', 0.25) }} as fee_p25,
        {{ money_percentile('total_fee', 0.5) }} as fee_p50, {{ money_percentile('total_fee', 0.75) }} as fee_p75,
        {{ money_percentile('total_fee', 0.9) }} as fee_p90
    from pages
    group by grouping sets ((month, institution_code, dept_code, std_dept_code), (month, std_dept_code))
),

std as (
    select std_dept_code, max(std_dept_zh) as std_dept_zh, max(std_dept_en) as std_dept_en
    from {{ ref('dim_department') }} group by std_dept_code
),

final as (
    select
        r.*, {{ unit_columns() }}, d.dept_name, coalesce(t.std_dept_zh, '不详') as std_dept_zh, coalesce(t.std_dept_en, 'Unknown') as std_dept_en,
        case when r.discharges >= {{ var('small_cell') }} then cast(r.total_fee as double) / r.discharges end as avg_fee,
        {% for p in ['p10', 'p25', 'p50', 'p75', 'p90'] -%}
        case when r.discharges >= {{ var('small_cell') }} then s.fee_{{ p }} end as fee_{{ p }},
        {% endfor -%}
        c.fee_p50 as peer_p50,
        coalesce(r.discharges, 0) < 30 as is_small
    from rolled as r
    {{ join_unit('r') }}
    left join {{ ref('dim_department') }} as d on d.institution_code = r.institution_code and d.dept_code = r.dept_code
    left join std as t on t.std_dept_code = r.std_dept_code
    left join spread as s
        on s.month = r.month and s.level = r.level and s.std_dept_code = r.std_dept_code
        and coalesce(s.institution_code, '') = coalesce(r.institution_code, '') and coalesce(s.dept_code, '') = coalesce(r.dept_code, '')
    left join spread as c on c.month = r.month and c.level = 'county' and c.std_dept_code = r.std_dept_code
)

{{ conform('final') }}
