with rolled as (
    {{ rolled_up(ref('int_identity_month'), ['grade'], ['row_count']) }}
),

final as (
    select
        r.*, r.row_count as rows, {{ unit_columns(peer=false) }}, l.label_zh as grade_zh, l.label_en as grade_en,
        cast(r.row_count as double) / sum(r.row_count) over (partition by r.month, r.level, r.institution_code) * 100 as share_pct
    from rolled as r
    {{ join_unit('r') }}
    {{ join_label('identity_grade', 'r.grade', 'l') }}
)

{{ conform('final') }}
