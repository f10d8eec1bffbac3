{%- set sums = ['visits', 'discharges', 'cases', 'fee', 'drug_fee', 'consumable_fee'] -%}
with base as (
    select month, institution_code, 'outpatient' as care, visits, cast(null as bigint) as discharges, visits as cases, fee, drug_fee,
        cast(null as decimal(18, 2)) as consumable_fee
    from {{ ref('int_visit_month') }}
    union all
    select month, institution_code, 'inpatient', null, discharges, discharges, fee, drug_fee, consumable_fee
    from {{ ref('int_discharge_month') }}
),

two_years as (
    {{ with_last_year('base', ['institution_code', 'care'], sums) }}
),

rolled as (
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level, institution_code, care
        {%- for s in sums %}, sum({{ s }}) as {{ s }}, sum({{ s }}_ly) as {{ s }}_ly{% endfor %}
    from two_years
    group by grouping sets ((month, institution_code, care), (month, care))
),

averaged as (
    select
        r.*, u.peer_group as unit_peer_group,
        case when r.care = 'outpatient' then r.visits_ly end as own_visits_ly,
        case when r.care = 'inpatient' then r.discharges_ly end as own_discharges_ly,
        case when r.care = 'inpatient' then r.consumable_fee_ly end as own_consumable_fee_ly,
        case when r.cases >= 30 then cast(r.fee as double) / r.cases end as avg_fee,
        case when r.cases_ly >= 30 then cast(r.fee_ly as double) / r.cases_ly end as avg_fee_ly
    from rolled as r
    {{ join_unit('r') }}
),

peers as (
    select
        month, care, unit_peer_group, count(avg_fee) as peer_n,
        {{ percentile('avg_fee', 0.25) }} as peer_p25, {{ percentile('avg_fee', 0.5) }} as peer_p50, {{ percentile('avg_fee', 0.75) }} as peer_p75
    from averaged
    where level = 'institution' and avg_fee is not null
    group by grouping sets ((month, care, unit_peer_group), (month, care))
),

spread as (
    select month, level, institution_code, 'outpatient' as care, fee_p25, fee_p50, fee_p75, fee_p90 from {{ ref('int_visit_spread_month') }}
    union all
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end, institution_code, 'inpatient',
        {{ money_percentile('total_fee', 0.25) }}, {{ money_percentile('total_fee', 0.5) }}, {{ money_percentile('total_fee', 0.75) }},
        {{ money_percentile('total_fee', 0.9) }}
    from {{ ref('fct_case_front_page') }}
    group by grouping sets ((month, institution_code), (month))
),

final as (
    select
        a.month, a.level, a.institution_code, a.care, a.visits, a.discharges, a.cases, a.fee, a.drug_fee, a.consumable_fee,
        a.own_visits_ly as visits_ly, a.own_discharges_ly as discharges_ly, a.cases_ly, a.fee_ly, a.drug_fee_ly,
        a.own_consumable_fee_ly as consumable_fee_ly, a.avg_fee, a.avg_fee_ly,
        {{ unit_columns() }}, c.label_zh as care_zh, c.label_en as care_en,
        {% for p in ['p25', 'p50', 'p75', 'p90'] -%}
        case when a.cases >= {{ var('small_cell') }} then s.fee_{{ p }} end as fee_{{ p }},
        {% endfor -%}
        coalesce(p.peer_n, 0) as peer_n, p.peer_p25, p.peer_p50, p.peer_p75,
        {{ change_pct('a.avg_fee', 'a.avg_fee_ly') }} as avg_fee_change_pct
    from averaged as a
    {{ join_unit('a') }}
    {{ join_label('care', 'a.care', 'c') }}
    left join spread as s
        on s.month = a.month and s.level = a.level and s.care = a.care
        and coalesce(s.institution_code, '') = coalesce(a.institution_code, '')
    left join peers as p
        on p.month = a.month and p.care = a.care and coalesce(p.unit_peer_group, '') = coalesce(a.unit_peer_group, '')
)

{{ conform('final') }}
