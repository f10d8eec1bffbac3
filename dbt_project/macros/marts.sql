{#- What marts share: casting to the declared interface, roll-ups, last year, and the texts of a unit. -#}

{#- The mart's columns in the order and types its property file declares: the interface is declared once. -#}
{% macro conform(source) %}
{%- set columns = model.columns -%}
{#- in a unit test the node at hand is the test, which declares no column -#}
{%- if not columns -%}{{ return('select * from ' ~ source) }}{%- endif -%}
select
    {% for name, column in columns.items() -%}
    cast({{ name }} as {{ column.data_type }}) as {{ name }}{{ ',' if not loop.last }}
    {% endfor -%}
from {{ source }}
{%- if 'month' in columns and 'institution_code' in columns %}
order by month, institution_code
{%- endif %}
{% endmacro %}

{#- Rows of `source` by month and keys with the same sums of the same month of last year beside them, also where only
last year has a row, so that last year adds up. `x_ly` is null when nothing at all is known of that month, else 0 where the
key had none. -#}
{% macro with_last_year(source, keys, sums) %}
select
    b.month, {{ keys | join(', ') }},
    {% for s in sums -%}
    sum({{ s }}) as {{ s }}, case when y.month is not null then coalesce(sum({{ s }}_ly), 0) end as {{ s }}_ly{{ ',' if not loop.last }}
    {% endfor -%}
from (
    select month, {{ keys | join(', ') }}{% for s in sums %}, {{ s }}, cast(null as decimal(38, 2)) as {{ s }}_ly{% endfor %}
    from {{ source }}
    union all
    select {{ add_months('month', 12) }}, {{ keys | join(', ') }}{% for s in sums %}, null, {{ s }}{% endfor %}
    from {{ source }}
    where month in (select month from {{ ref('int_month') }})
) as b
join {{ ref('int_month') }} as m on m.month = b.month
left join (
    select distinct {{ add_months('month', 12) }} as month from {{ source }} where month in (select month from {{ ref('int_month') }})
) as y on y.month = b.month
group by b.month, y.month, {{ keys | join(', ') }}
{% endmacro %}

{#- Sums by institution and for the county; `by` are the other keys. -#}
{% macro rolled_up(source, by, sums) %}
select
    month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level, institution_code
    {%- for k in by %}, {{ k }}{% endfor %}
    {%- for s in sums %}, sum({{ s }}) as {{ s }}{% endfor %}
from {{ source }}
group by grouping sets (
    (month, institution_code{% for k in by %}, {{ k }}{% endfor %}),
    (month{% for k in by %}, {{ k }}{% endfor %})
)
{% endmacro %}

{#- Columns of the unit, from int_institution_month as `u`; null above institution level. -#}
{% macro unit_columns(peer=true) -%}
u.institution_name, u.township_code, u.township_name, u.level_code, u.level_name_zh, u.level_name_en, u.ownership_zh, u.ownership_en
{%- if peer %}, u.peer_group, u.peer_group_zh, u.peer_group_en{% endif %}
{%- endmacro %}

{% macro join_unit(alias) -%}
left join {{ ref('int_institution_month') }} as u on u.month = {{ alias }}.month and u.institution_code = {{ alias }}.institution_code
{%- endmacro %}

{#- The texts of a code of the warehouse's own; joined as `alias`. -#}
{% macro join_label(domain, code, alias) -%}
left join {{ ref('label') }} as {{ alias }} on {{ alias }}.domain = '{{ domain }}' and {{ alias }}.code = {{ code }}
{%- endmacro %}

{#- Change in percent; null where there is no base. -#}
{% macro change_pct(now, before) -%}
(cast({{ now }} as double) - cast({{ before }} as double)) / nullif(abs(cast({{ before }} as double)), 0) * 100
{%- endmacro %}

{% macro age_group(age) -%}
case
    when {{ age }} is null then null
    when {{ age }} < 1 then '0'
    when {{ age }} < 5 then '1-4'
    when {{ age }} >= 85 then '85+'
    else cast(cast(floor({{ age }} / 5) * 5 as integer) as varchar) || '-' || cast(cast(floor({{ age }} / 5) * 5 + 4 as integer) as varchar)
end
{%- endmacro %}

{#- Volume, mix, drugs, consumables and price of each unit; the formula stands in mart_cost_growth_month. Each part is
rounded to cents and price takes what remains, so that the parts add up exactly. -#}
{% macro growth_decomposition(source) %}
select
    month, level, institution_code, care, cases, cases_ly, fee, fee_ly, fee - fee_ly as total_change, volume, mix, drugs, consumables,
    fee - fee_ly - volume - mix - drugs - consumables as price
from (
    select
        month, level, institution_code, care,
        max(unit_cases) as cases, max(unit_cases_ly) as cases_ly,
        cast(max(unit_fee) as decimal(18, 2)) as fee, cast(max(unit_fee_ly) as decimal(18, 2)) as fee_ly,
        cast(round((max(unit_cases) - max(unit_cases_ly)) * max(mean_fee_ly), 2) as decimal(18, 2)) as volume,
        cast(round(sum(cases * group_fee_ly) - max(unit_cases) * max(mean_fee_ly), 2) as decimal(18, 2)) as mix,
        cast(round(sum(drug - cases * group_drug_ly), 2) as decimal(18, 2)) as drugs,
        cast(round(case
            when care = 'outpatient' then sum(consumable) - max(unit_cases) * max(mean_consumable_ly)
            else sum(consumable - cases * group_consumable_ly)
        end, 2) as decimal(18, 2)) as consumables
    from (
        select
            *,
            unit_fee_ly / unit_cases_ly as mean_fee_ly,
            unit_consumable_ly / unit_cases_ly as mean_consumable_ly,
            case when cases_ly > 0 then fee_ly / cases_ly else unit_fee_ly / unit_cases_ly end as group_fee_ly,
            case when cases_ly > 0 then drug_ly / cases_ly else unit_drug_ly / unit_cases_ly end as group_drug_ly,
            case when cases_ly > 0 then consumable_ly / cases_ly else unit_consumable_ly / unit_cases_ly end as group_consumable_ly
        from (
            select
                month, level, institution_code, care, grp,
                {% for s in ['cases', 'fee', 'drug', 'consumable'] -%}
                coalesce(cast({{ s }} as double), 0) as {{ s }}, coalesce(cast({{ s }}_ly as double), 0) as {{ s }}_ly,
                sum(coalesce(cast({{ s }} as double), 0)) over (partition by month, level, institution_code, care) as unit_{{ s }},
                sum(coalesce(cast({{ s }}_ly as double), 0)) over (partition by month, level, institution_code, care) as unit_{{ s }}_ly{{ ',' if not loop.last }}
                {% endfor -%}
            from {{ source }}
        ) as filled
        where unit_cases > 0 and unit_cases_ly > 0
    ) as means
    group by month, level, institution_code, care
) as parts
{% endmacro %}

{#- passed, failed, not_applicable (nothing to judge is never a pass), or error (counts that cannot be). -#}
{% macro four_states(numerator, denominator, threshold, at_least) -%}
case
    when {{ denominator }} is null or {{ denominator }} = 0 then 'not_applicable'
    when {{ numerator }} is null or {{ numerator }} < 0 or {{ denominator }} < 0 then 'error'
    when {{ at_least }} then case when cast({{ numerator }} as double) >= {{ threshold }} * {{ denominator }} then 'passed' else 'failed' end
    else case when cast({{ numerator }} as double) <= {{ threshold }} * {{ denominator }} then 'passed' else 'failed' end
end
{%- endmacro %}

{#- green, amber, red: bounds of the completeness badge. -#}
{% macro grade(share) -%}
case when {{ share }} is null then null when {{ share }} >= 0.98 then 'green' when {{ share }} >= 0.9 then 'amber' else 'red' end
{%- endmacro %}
