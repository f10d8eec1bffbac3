{%- set sums = ['settlements', 'total_fee', 'in_scope_amount', 'fund_pay', 'pooling_pay', 'serious_illness_pay', 'medical_aid_pay',
    'account_pay', 'cash_pay', 'other_pay', 'full_selfpay', 'deducted_amount'] -%}
with two_years as (
    {{ with_last_year(ref('int_settlement_month'), ['institution_code', 'payer_code', 'care'], sums) }}
),

placed as (
    select b.*, u.level_code from two_years as b {{ join_unit('b') }}
),

rolled as (
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level,
        institution_code, level_code, payer_code, care
        {%- for s in sums %}, sum({{ s }}) as {{ s }}, sum({{ s }}_ly) as {{ s }}_ly{% endfor %}
    from placed
    group by grouping sets ((month, institution_code, level_code, payer_code, care), (month, level_code, payer_code, care))
),

final as (
    select
        r.*, u.institution_name, u.township_code, u.township_name, l.label_zh as level_name_zh, l.label_en as level_name_en,
        u.ownership_zh, u.ownership_en, u.peer_group, u.peer_group_zh, u.peer_group_en,
        coalesce(p.payer_zh, r.payer_code) as payer_zh, coalesce(p.payer_en, r.payer_code) as payer_en,
        c.label_zh as care_zh, c.label_en as care_en
    from rolled as r
    {{ join_unit('r') }}
    {{ join_label('institution_level', 'r.level_code', 'l') }}
    {{ join_label('care', 'r.care', 'c') }}
    left join {{ ref('dim_payer') }} as p on p.payer_code = r.payer_code
)

{{ conform('final') }}
