-- Finance: the six classes of COST-20 add up to medical income; what the lines do not explain goes to other.
{% set classes = {'service': 'service', 'drug': 'drug', 'consumable': 'consumable', 'exam': 'exam', 'lab': 'lab',
    'other': 'medical_income - service - drug - consumable - exam - lab'} %}
with income as (
    select
        month, institution_code, medical_income,
        coalesce(service_income, 0) - coalesce(other_medical_income, 0) as service,
        coalesce(drug_income, 0) + coalesce(slice_income, 0) as drug,
        coalesce(consumable_income, 0) as consumable, coalesce(exam_income, 0) as exam, coalesce(lab_income, 0) as lab
    from {{ ref('int_finance_month') }}
    where medical_income is not null
),

finance as (
    {% for code, amount in classes.items() -%}
    select month, institution_code, '{{ code }}' as fee_class, {{ amount }} as amount from income
    {{ 'union all' if not loop.last }}
    {% endfor -%}
),

base as (
    select month, institution_code, 'finance' as basis, 'all' as care, fee_class, amount from finance
    union all
    select c.month, c.institution_code, 'charges', c.care, coalesce(t.fee_class, 'other'), sum(c.amount)
    from {{ ref('int_charge_month') }} as c
    left join {{ ref('charge_type') }} as t on t.chrgitm_type = c.chrgitm_type
    group by c.month, c.institution_code, c.care, coalesce(t.fee_class, 'other')
),

two_years as (
    {{ with_last_year('base', ['institution_code', 'basis', 'care', 'fee_class'], ['amount']) }}
),

rolled as (
    {{ rolled_up('two_years', ['basis', 'care', 'fee_class'], ['amount', 'amount_ly']) }}
),

final as (
    select
        r.*, {{ unit_columns() }},
        b.label_zh as basis_zh, b.label_en as basis_en, c.label_zh as care_zh, c.label_en as care_en,
        f.label_zh as fee_class_zh, f.label_en as fee_class_en, f.sort_order as fee_class_order,
        cast(r.amount as double) / nullif(cast(sum(r.amount) over (
            partition by r.month, r.level, r.institution_code, r.basis, r.care) as double), 0) * 100 as share_pct
    from rolled as r
    {{ join_unit('r') }}
    {{ join_label('basis', 'r.basis', 'b') }}
    {{ join_label('care', 'r.care', 'c') }}
    {{ join_label('fee_class', 'r.fee_class', 'f') }}
)

{{ conform('final') }}
