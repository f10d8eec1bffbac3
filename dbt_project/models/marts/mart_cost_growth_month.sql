-- Why fees changed against the same month of last year. With groups g (inpatient: disease group; outpatient: standard
-- department), cases n, fee f, drugs d, consumables c, their sums N, F, and last year's values marked 0:
--   volume      = (N - N0) * F0/N0
--   mix         = sum over g of n*(f0/n0)  -  N * F0/N0
--   drugs       = sum over g of d - n*(d0/n0)
--   consumables = sum over g of c - n*(c0/n0)      outpatient: C - N * C0/N0, as a visit's lines carry no group
--   price       = (F - F0) less the four above: services, examinations and the rest
-- A group without cases last year takes the unit's mean of last year, so that its arrival is mix and its own level price.
-- A unit without cases in either month has no rows: there is nothing to compare with.
{% set sums = ['cases', 'fee', 'drug', 'consumable'] %}
with base as (
    select month, institution_code, 'inpatient' as care, disease_code as grp, cases, total_fee as fee, drug_fee as drug, consumable_fee as consumable
    from {{ ref('int_disease_month') }}
    union all
    select v.month, v.institution_code, 'outpatient', coalesce(d.std_dept_code, 'unknown'), v.visits, v.fee, v.drug_fee, 0
    from {{ ref('int_visit_month') }} as v
    left join {{ ref('dim_department') }} as d on d.institution_code = v.institution_code and d.dept_code = v.dept_code
    union all
    select c.month, c.institution_code, 'outpatient', 'unknown', 0, 0, 0, c.amount
    from {{ ref('int_charge_month') }} as c
    join {{ ref('charge_type') }} as t on t.chrgitm_type = c.chrgitm_type and t.fee_class = 'consumable'
    where c.care = 'outpatient'
),

summed as (
    select month, institution_code, care, grp{% for s in sums %}, sum({{ s }}) as {{ s }}{% endfor %}
    from base group by month, institution_code, care, grp
),

two_years as (
    {{ with_last_year('summed', ['institution_code', 'care', 'grp'], sums) }}
),

units as (
    {{ rolled_up('two_years', ['care', 'grp'], ['cases', 'fee', 'drug', 'consumable', 'cases_ly', 'fee_ly', 'drug_ly', 'consumable_ly']) }}
),

decomposed as (
    {{ growth_decomposition('units') }}
),

long as (
    {% for code in ['volume', 'mix', 'price', 'drugs', 'consumables'] -%}
    select
        month, level, institution_code, care, '{{ code }}' as component, {{ code }} as change_amount, fee, fee_ly, total_change, cases, cases_ly
    from decomposed
    {{ 'union all' if not loop.last }}
    {% endfor -%}
),

final as (
    select
        x.*, {{ unit_columns() }}, c.label_zh as care_zh, c.label_en as care_en,
        k.label_zh as component_zh, k.label_en as component_en, k.sort_order as component_order
    from long as x
    {{ join_unit('x') }}
    {{ join_label('care', 'x.care', 'c') }}
    {{ join_label('component', 'x.component', 'k') }}
)

{{ conform('final') }}
