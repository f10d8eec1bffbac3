with one as (
    select
        {{ month_of('period_to') }} as month, case when institution_code is null then 'county' else 'institution' end as level, institution_code,
        load_id, batch_id, sender, profile, source_system, schema_version, period_from, period_to, extracted_at, received_at, status,
        reason_zh, reason_en, is_resend, 1 as batches, file_count as files, bytes, rows_received, rows_staged, rows_quarantined, rows_duplicate
    from {{ ref('int_batch_resent') }}
    union all
    select
        {{ month_of('max(received_at)') }}, 'county', null, load_id, null, null, null, null, null, min(period_from), max(period_to),
        max(extracted_at), max(received_at), null, null, null, null, count(*), sum(file_count), sum(bytes), sum(rows_received), sum(rows_staged),
        sum(rows_quarantined), sum(rows_duplicate)
    from {{ ref('int_batch_resent') }}
    group by load_id
),

final as (
    select b.*, {{ unit_columns(peer=false) }}, l.label_zh as status_zh, l.label_en as status_en
    from one as b
    {{ join_unit('b') }}
    {{ join_label('batch_status', 'b.status', 'l') }}
)

{{ conform('final') }}
