{%- set sums = ['due', 'received', 'late', 'missing', 'quarantined', 'rows_received', 'rows_staged', 'rows_quarantined', 'rows_duplicate'] -%}
with one as (
    select
        month, institution_code, extract,
        case when state <> 'not_due' then 1 else 0 end as due, case when state = 'received' then 1 else 0 end as received,
        case when state = 'late' then 1 else 0 end as late, case when state = 'missing' then 1 else 0 end as missing,
        case when state = 'quarantined' then 1 else 0 end as quarantined, rows_received, rows_staged, rows_quarantined, rows_duplicate
    from {{ ref('int_submission') }}
),

rolled as (
    select month, 'institution' as level, institution_code, extract{% for s in sums %}, sum({{ s }}) as {{ s }}{% endfor %}
    from one where institution_code is not null group by month, institution_code, extract
    union all
    select month, 'county', null, extract{% for s in sums %}, sum({{ s }}){% endfor %}
    from one group by month, extract
),

final as (
    select r.*, {{ unit_columns(peer=false) }}, e.extract_zh, e.extract_en
    from rolled as r
    {{ join_unit('r') }}
    left join {{ ref('extract') }} as e on e.extract = r.extract
)

{{ conform('final') }}
