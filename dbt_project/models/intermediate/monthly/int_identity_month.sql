{{ config(meta={'reads': {'fct_registration': [0], 'fct_outpatient_encounter': [0], 'fct_inpatient_stay': [0], 'fct_settlement': [0]}}) }}
-- Rows by how their person was identified.
{% for extract in ['registration', 'outpatient_encounter', 'inpatient_stay', 'settlement'] %}
select month, institution_code, '{{ extract }}' as extract, coalesce(person_match, 'none') as grade, count(*) as row_count
from {{ ref('fct_' ~ extract) }}
where {{ in_pending() }}
group by month, institution_code, coalesce(person_match, 'none')
{% if not loop.last %}union all{% endif %}
{% endfor %}
