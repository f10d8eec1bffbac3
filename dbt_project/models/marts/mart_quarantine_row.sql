with newest as (
    select *, row_number() over (order by received_at desc, batch_id, file_name, sheet, line_no) as nth from {{ ref('int_quarantine') }}
),

final as (
    select
        q.month, case when q.institution_code is null then 'county' else 'institution' end as level, q.institution_code, q.extract, q.load_id, q.batch_id, q.file_name, q.sheet, q.line_no, q.is_released,
        f.rule_id, f.column_name, f.expected_zh, f.expected_en, f.found, {{ unit_columns(peer=false) }}, e.extract_zh, e.extract_en
    from newest as q
    {{ join_unit('q') }}
    left join {{ ref('extract') }} as e on e.extract = q.extract
    left join {{ ref('int_finding') }} as f
        on f.load_id = q.load_id and f.batch_id = q.batch_id and f.extract = q.extract and f.file_name = q.file_name
        and coalesce(f.sheet, '') = coalesce(q.sheet, '') and f.line_no = q.line_no and f.severity = 'error'
    where q.nth <= 20000
)

{{ conform('final') }}
