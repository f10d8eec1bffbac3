with one as (
    select month, institution_code, extract, rule_id, severity, column_name, count(*) as rows, count(distinct batch_id || '/' || file_name) as files
    from {{ ref('int_finding') }}
    group by month, institution_code, extract, rule_id, severity, column_name
),

rolled as (
    select month, 'institution' as level, institution_code, extract, rule_id, severity, column_name, rows, files
    from one where institution_code is not null
    union all
    select month, 'county', null, extract, rule_id, severity, column_name, sum(rows), sum(files)
    from one group by month, extract, rule_id, severity, column_name
),

final as (
    select
        r.*, {{ unit_columns(peer=false) }}, e.extract_zh, e.extract_en,
        coalesce(t.rule_zh, r.rule_id) as rule_zh, coalesce(t.rule_en, r.rule_id) as rule_en
    from rolled as r
    {{ join_unit('r') }}
    left join {{ ref('extract') }} as e on e.extract = r.extract
    left join {{ ref('rule') }} as t on t.rule_id = r.rule_id
)

{{ conform('final') }}
