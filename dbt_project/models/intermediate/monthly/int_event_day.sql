{%- set events = {'registration': 'fct_registration', 'outpatient_encounter': 'fct_outpatient_encounter', 'diagnosis': 'fct_diagnosis',
    'inpatient_stay': 'fct_inpatient_stay', 'case_front_page': 'fct_case_front_page', 'charge_line': 'fct_charge_line',
    'settlement': 'fct_settlement', 'bed_daily': 'fct_bed_daily', 'notifiable_report': 'fct_notifiable_report'} -%}
{{ config(meta={'reads': {'fct_registration': [0], 'fct_outpatient_encounter': [0], 'fct_diagnosis': [0], 'fct_inpatient_stay': [0],
    'fct_case_front_page': [0], 'fct_charge_line': [0], 'fct_settlement': [0], 'fct_bed_daily': [0], 'fct_notifiable_report': [0]}}) }}
-- Rows by day, institution and extract; `countable` are those that stand for one service each; `free` are visits that cost nothing.
{% for extract, relation in events.items() %}
select
    month, event_date, institution_code, '{{ extract }}' as extract, count(*) as row_count,
    {% if extract == 'registration' -%}
    sum(case when status <> '9' then 1 else 0 end)
    {%- elif extract == 'settlement' -%}
    sum(case when valid_flag and refund_of is null and stay_id is null then 1 else 0 end)
    {%- else -%}
    count(*)
    {%- endif %} as countable,
    {% if extract == 'outpatient_encounter' %}sum(case when total_fee = 0 then 1 else 0 end){% else %}0{% endif %} as free
from {{ ref(relation) }}
where {{ in_pending() }}
group by month, event_date, institution_code
{% if not loop.last %}union all{% endif %}
{% endfor %}
