-- Quarantined rows, and whether a later row with the same key was staged.
-- depends_on: {{ source('ledger', 'quarantine') }}
-- depends_on: {{ source('runs', 'releases') }}
with released as (
    select distinct extract, key_hash, quarantine_load_id
    from (
        {{ ledger('releases', {'extract': 'varchar', 'key_hash': 'ubigint', 'quarantine_load_id': 'varchar', 'load_id': 'varchar'}) }}
    ) as r
)

select
    q.load_id, q.batch_id, q.sender, q.institution_code, q.extract, q.file_name, q.sheet, q.line_no,
    {{ month_of('coalesce(q.event_date, b.period_to)') }} as month, r.key_hash is not null as is_released, b.received_at
from (
    {{ ledger('quarantine', {'load_id': 'varchar', 'batch_id': 'varchar', 'sender': 'varchar', 'institution_code': 'varchar',
        'extract': 'varchar', 'file_name': 'varchar', 'sheet': 'varchar', 'line_no': 'bigint', 'key_hash': 'ubigint',
        'event_date': 'date'}) }}
) as q
join {{ ref('int_batch') }} as b on b.load_id = q.load_id and b.batch_id = q.batch_id
left join released as r on r.extract = q.extract and r.key_hash = q.key_hash and r.quarantine_load_id = q.load_id
