{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ before_first() }}", post_hook="{{ after_monthly() }}",
    meta={'reads': {'fct_outpatient_encounter': [0], 'fct_settlement': [0], 'fct_case_front_page': [0], 'fct_finance_monthly': [0]}}) }}
{%- set pending = first_pending() -%}
-- depends_on: {{ ref('fct_outpatient_encounter') }}
-- depends_on: {{ ref('fct_settlement') }}
-- depends_on: {{ ref('fct_case_front_page') }}
-- depends_on: {{ ref('fct_finance_monthly') }}
-- The same measures from the rows that were known when their month was closed (law 3). What comes later cannot change
-- them, so a closed month is computed once.
with visit as (
    {{ visit_sums(as_known_at_close('outpatient_encounter', pending)) }}
),

discharge as (
    {{ discharge_sums(as_known_at_close('case_front_page', pending)) }}
),

settled as (
    {{ settlement_sums(as_known_at_close('settlement', pending)) }}
),

report as (
    select r.*, cast(null as decimal(18, 2)) as medical_income_lfl, cast(null as decimal(18, 2)) as medical_income_ly
    from ({{ finance_sums(as_known_at_close('finance_monthly', pending)) }}) as r
)

select r.month, r.institution_code, r.measure, r.amount
from (
    {{ measure_rows({'int_visit_month': 'visit', 'int_discharge_month': 'discharge', 'int_settlement_month': 'settled',
        'int_finance_month': 'report'}) }}
) as r
join {{ ref('int_month') }} as m on m.month = r.month and m.is_closed
