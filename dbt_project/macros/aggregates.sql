{#- Sums by month that are taken twice: over the facts as they are now, and over what was known when the month was closed. -#}

{#- Visits: health examinations (visit type 4) are none; the encounters of one registration are one visit. -#}
{% macro visit_sums(source) %}
select
    month,
    institution_code,
    dept_code,
    sum(case when nth_of_registration = 1 then 1 else 0 end) as visits,
    count(*) as encounters,
    sum(total_fee) as fee,
    sum(drug_fee) as drug_fee,
    sum(case when visit_type = '2' and visit_end >= visit_start then 1 else 0 end) as emergency_visits,
    sum(case when visit_type = '2' and visit_end >= visit_start then {{ seconds_between('visit_start', 'visit_end') }} else 0 end)
        / cast(60 as decimal(18, 4)) as emergency_minutes
from (
    select
        *, row_number() over (
            partition by institution_code, month, coalesce('r' || registration_id, 'e' || encounter_id) order by visit_start, encounter_id
        ) as nth_of_registration
    from {{ source }} as source
    where visit_type <> '4'
) as visits
group by month, institution_code, dept_code
{% endmacro %}

{#- Settlements: invalid rows nowhere; a refund is a row of its own that lowers the sums and is no settlement. -#}
{% macro settlement_sums(source) %}
{%- set refunded = 'case when refund_of is not null and total_fee > 0 then -1 else 1 end' -%}
select
    month,
    institution_code,
    case when stay_id is not null then 'inpatient' else 'outpatient' end as care,
    coalesce(insurance_type, '000') as payer_code,
    sum(case when refund_of is null then 1 else 0 end) as settlements,
    {% for c in ['total_fee', 'in_scope_amount', 'fund_pay', 'pooling_pay', 'serious_illness_pay', 'medical_aid_pay', 'account_pay',
                 'cash_pay', 'other_pay', 'full_selfpay', 'deducted_amount'] -%}
    sum(coalesce({{ c }}, 0) * {{ refunded }}) as {{ c }},
    {% endfor -%}
    sum(case when drg_dip_standard is not null and refund_of is null then 1 else 0 end) as drg_cases,
    sum(case when drg_dip_standard is not null then fund_pay * {{ refunded }} else 0 end) as drg_fund_pay,
    sum(case when drg_dip_standard is not null then drg_dip_standard * {{ refunded }} else 0 end) as drg_standard,
    sum(case when refund_of is null and {{ month_of(add_days('event_date', 3)) }} <> month then 1 else 0 end) as last3_settlements
from {{ source }} as source
where valid_flag
group by month, institution_code, case when stay_id is not null then 'inpatient' else 'outpatient' end, coalesce(insurance_type, '000')
{% endmacro %}

{#- Discharges by front page. The general figures leave out psychiatric hospitals, and psychiatric and rehabilitation wards. -#}
{% macro discharge_sums(source) %}
select
    p.month,
    p.institution_code,
    p.discharge_dept as dept_code,
    count(*) as discharges,
    sum(p.total_fee) as fee,
    sum(p.fee_western_drug + p.fee_tcm_patent + p.fee_tcm_slice) as drug_fee,
    sum(p.fee_consumable) as consumable_fee,
    sum(p.los_days) as los_days,
    sum(case when {{ is_general() }} then 1 else 0 end) as general_discharges,
    sum(case when {{ is_general() }} then p.los_days else 0 end) as general_los_days
from {{ source }} as p
left join {{ ref('dim_institution_current') }} as i on i.institution_code = p.institution_code
left join {{ ref('dim_department') }} as d on d.institution_code = p.institution_code and d.dept_code = p.discharge_dept
group by p.month, p.institution_code, p.discharge_dept
{% endmacro %}

{% macro is_general() -%}
coalesce(i.institution_class, '') not like 'A41%' and substr(coalesce(d.std_dept_code, ''), 1, 3) not in ('A15', 'A21')
{%- endmacro %}

{#- Lines of the financial report as columns. -#}
{% macro finance_sums(source) %}
select
    month,
    institution_code,
    {% for line, name in {'I10': 'medical_income', 'I11': 'outpatient_income', 'I12': 'inpatient_income', 'I13': 'drug_income',
        'I14': 'slice_income', 'I15': 'consumable_income', 'I16': 'exam_income', 'I17': 'lab_income', 'I18': 'service_income',
        'I19': 'other_medical_income', 'E30': 'consumable_expense'}.items() -%}
    sum(case when line_code = '{{ line }}' then month_amount end) as {{ name }}{{ ',' if not loop.last }}
    {% endfor -%}
from {{ source }} as source
group by month, institution_code
{% endmacro %}

{#- The day from which a month counts as closed. -#}
{% macro closes_on(month) %}{{ add_days(add_months(month, 1), var('close_day') - 1) }}{% endmacro %}

{#- The rows of an extract as they were known when their month was closed: of every key the row received last before the
close of a month, where that row belongs to the month. Only keys with several versions are ranked. -#}
{% macro as_known_at_close(extract, pending) %}
{%- set c = contract(extract) -%}
{%- set key = c.key | join(', ') -%}
(
    with source as (
        select *, {{ c.event_date }} as event_date, {{ month_of(c.event_date) }} as month, {{ short_hash(c.key) }} as _key
        from {{ ref('stg_' ~ extract) }}
    ),

    many as (
        select _key from source group by _key having count(*) > 1
    ),

    candidates as (
        select distinct m.month as of_month, m._key from source as m
        where m._key in (select _key from many) and {{ in_months(pending, 'm.month') }} and m._received_at < {{ closes_on('m.month') }}
    ),

    ranked as (
        select s.*, k.of_month, row_number() over (partition by k.of_month, {{ key }} order by {{ newest_first() }}) as _version
        from candidates as k
        join source as s on s._key = k._key and s._received_at < {{ closes_on('k.of_month') }}
    )

    select * from source
    where _key not in (select _key from many) and {{ in_months(pending) }} and _received_at < {{ closes_on('month') }} and _op_type <> 'D'
    union all
    select {{ star_without(["of_month", "_version"]) }} from ranked where _version = 1 and month = of_month and _op_type <> 'D'
)
{% endmacro %}

{#- The months whose first known measures must be computed: closed since the last time, or touched by rows that were received
before their close but loaded after it. A change of the lists that measures classify by concerns every month. -#}
{% macro first_pending() %}
{%- if not execute -%}{{ return(none) }}{%- endif -%}
{%- if not is_incremental() -%}{{ return('all') }}{%- endif -%}
{%- set after = run_query("select coalesce(max(seq), -1) from ops.watermark where relation = '" ~ relation_name() ~ "'").columns[0].values()[0] -%}
{%- set sql -%}
select distinct month from (
    select month from ops.changed_month
    where relation in ({% for r in model.config.meta.reads %}'{{ r }}'{{ ', ' if not loop.last }}{% endfor %}) and seq > {{ after }}
        and (month is null or first_received_at < {{ closes_on('month') }})
    union all
    select cast(null as date) from ops.changed_month where relation in ('ref_institution', 'ref_department') and seq > {{ after }}
    union all
    select month from {{ ref('int_month') }} where is_closed and month not in (select month from {{ this }})
) as pending order by 1 nulls first
{%- endset -%}
{%- set months = run_query(sql).columns[0].values() -%}
{%- if months and months[0] is none -%}{{ return('all') }}{%- endif -%}
{{ return(months | map('string') | list) }}
{% endmacro %}

{% macro before_first() %}
{%- if is_incremental() -%}
delete from {{ this }} where {{ in_months(first_pending()) }}
{%- endif -%}
{% endmacro %}

{#- Measures as rows: month, institution, measure, amount. `relations`: source of a measure to the relation to take it from. -#}
{% macro measure_rows(relations) %}
{%- set used = [] -%}
{%- for m in measures() if m.source in relations -%}{%- do used.append(m) -%}{%- endfor -%}
{%- set sources = used | groupby('source') -%}
with
{% for source, records in sources %}
{{ source | replace('int_', 'of_') }} as (
    select
        s.month, s.institution_code,
        {% for m in records -%}
        sum({% if m.where %}case when {{ m.where }} then {{ m.value }} end{% else %}{{ m.value }}{% endif %}) as {{ m.id }}{{ ',' if not loop.last }}
        {% endfor -%}
    from {{ relations[source] }} as s
    {% if records | selectattr('where') | list or 'u.' in records | map(attribute='value') | join(' ') -%}
    left join {{ ref('int_institution_month') }} as u on u.month = s.month and u.institution_code = s.institution_code
    {% endif -%}
    group by s.month, s.institution_code
){{ ',' if not loop.last }}
{% endfor %}
{% for source, records in sources %}{% set outer = loop %}{% for m in records %}
select month, institution_code, '{{ m.id }}' as measure, cast({{ m.id }} as decimal(28, 10)) as amount
from {{ source | replace('int_', 'of_') }} where {{ m.id }} is not null
{% if not (outer.last and loop.last) %}union all{% endif %}
{% endfor %}{% endfor %}
{% endmacro %}

{#- Numerators and denominators of every computed indicator at every level, from a relation of measures. Where only one
side is known, neither is given. -#}
{% macro indicator_sides(measured) %}
with placed as (
    select m.month, m.institution_code, u.township_code, m.measure, m.amount
    from {{ measured }} as m
    left join {{ ref('int_institution_month') }} as u on u.month = m.month and u.institution_code = m.institution_code
),

leveled as (
    select month, 'institution' as level, institution_code, township_code, measure, amount
    from placed where institution_code is not null
    union all
    select month, 'township', null, township_code, measure, sum(amount)
    from placed where township_code is not null group by month, township_code, measure
    union all
    select month, 'county', null, null, measure, sum(amount)
    from placed group by month, measure
),

terms as (
    select t.*, count(*) over (partition by t.indicator_id, t.side, t.scope) as n
    from {{ ref('indicator_term') }} as t
),

sides as (
    select
        v.month, v.level, v.institution_code, v.township_code, t.indicator_id, t.side,
        case when count(*) = max(t.n) then sum(t.sign * v.amount) end as amount
    from leveled as v
    join terms as t
        on t.measure = v.measure
        and (t.scope = 'any' or (t.scope = 'county' and v.level = 'county') or (t.scope = 'below_county' and v.level <> 'county'))
    group by v.month, v.level, v.institution_code, v.township_code, t.indicator_id, t.side
)

select
    s.month, s.level, s.institution_code, s.township_code, coalesce(s.institution_code, s.township_code, 'county') as unit, s.indicator_id,
    case when i.denominator_zh is null or max(case when s.side = 'denominator' then s.amount end) is not null
        then max(case when s.side = 'numerator' then s.amount end) end as numerator,
    case when max(case when s.side = 'numerator' then s.amount end) is not null
        then max(case when s.side = 'denominator' then s.amount end) end as denominator
from sides as s
join {{ ref('indicator') }} as i on i.indicator_id = s.indicator_id
where ' ' || i.levels || ' ' like '% ' || s.level || ' %'
group by s.month, s.level, s.institution_code, s.township_code, s.indicator_id, i.denominator_zh
{% endmacro %}

{#- Value of an indicator from its two sides; a plain sum has no denominator. -#}
{% macro ratio(numerator, denominator, factor, is_sum) -%}
case
    when {{ is_sum }} then cast({{ numerator }} as double) * {{ factor }}
    else cast({{ numerator }} as double) / nullif(cast({{ denominator }} as double), 0) * {{ factor }}
end
{%- endmacro %}

{#- State and value of every cell from its sides now and last year, then the values of last year and last month beside it:
the CTEs `ratios`, `values_of_units` and `compared`. A growth indicator is the change of its ratio, and needs both years. -#}
{% macro indicator_values(source) %}
ratios as (
    select
        *,
        state as catalogue_state,
        {{ ratio('numerator', 'denominator', 'case when is_growth then 1 else factor end', 'is_sum') }} as ratio_now,
        {{ ratio('numerator_ly', 'denominator_ly', 'case when is_growth then 1 else factor end', 'is_sum') }} as ratio_ly
    from {{ source }}
),

values_of_units as (
    select
        month, level, institution_code, township_code, unit, indicator_id, indicator_zh, indicator_en, subject_area, unit_zh, unit_en,
        direction, decimals, target_value, sort_order, state_reason_zh, state_reason_en, catalogue_state,
        case when is_growth then cast(ratio_now - ratio_ly as decimal(28, 10)) else numerator end as numerator,
        case when is_growth then cast(case when ratio_now is not null then ratio_ly end as decimal(28, 10)) else denominator end as denominator,
        case when is_growth then (ratio_now / nullif(ratio_ly, 0) - 1) * factor else ratio_now end as value,
        case
            when catalogue_state = 'waiting' then 'not_evaluable'
            when numerator is null then case when levels = 'county' then 'not_evaluable' else 'not_reported' end
            when ratio_now is null or (is_growth and coalesce(ratio_ly, 0) = 0) then 'not_evaluable'
            when not is_sum and (denominator < min_denominator or (is_growth and denominator_ly < min_denominator)) then 'small'
            else 'value'
        end as cell_state
    from ratios
),

compared as (
    select
        v.*, y.numerator as numerator_ly, y.denominator as denominator_ly, y.value as value_ly, y.cell_state as state_ly,
        p.value as value_prev, p.cell_state as state_prev
    from values_of_units as v
    left join values_of_units as y
        on y.month = {{ add_months('v.month', -12) }} and y.level = v.level and y.unit = v.unit and y.indicator_id = v.indicator_id
    left join values_of_units as p
        on p.month = {{ add_months('v.month', -1) }} and p.level = v.level and p.unit = v.unit and p.indicator_id = v.indicator_id
)
{% endmacro %}
