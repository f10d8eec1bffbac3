-- Files of the batches of int_batch, with the batch's period and receipt.
select
    f.load_id, f.batch_id, f.sender, f.institution_code, f.extract, f.file_name, f.sheet, f.rows_received, f.rows_staged,
    f.rows_quarantined, f.rows_duplicate, f.status, b.period_from, b.period_to, b.received_at, b.status as batch_status
from (
    {{ ledger('files', {'load_id': 'varchar', 'batch_id': 'varchar', 'sender': 'varchar', 'institution_code': 'varchar',
        'extract': 'varchar', 'file_name': 'varchar', 'sheet': 'varchar', 'rows_received': 'bigint', 'rows_staged': 'bigint',
        'rows_quarantined': 'bigint', 'rows_duplicate': 'bigint', 'status': 'varchar'}) }}
) as f
-- depends_on: {{ source('ledger', 'files') }}
join {{ ref('int_batch') }} as b on b.load_id = f.load_id and b.batch_id = f.batch_id
