-- The ledger as of the as-of time.
select * from (
    {{ ledger('batches', {'load_id': 'varchar', 'batch_id': 'varchar', 'sender': 'varchar', 'institution_code': 'varchar',
        'profile': 'varchar', 'source_system': 'varchar', 'schema_version': 'varchar', 'period_from': 'date', 'period_to': 'date',
        'extracted_at': 'timestamp', 'received_at': 'timestamp', 'status': 'varchar', 'reason_code': 'varchar', 'reason_zh': 'varchar',
        'reason_en': 'varchar', 'rows_received': 'bigint', 'rows_staged': 'bigint', 'rows_quarantined': 'bigint',
        'rows_duplicate': 'bigint', 'file_count': 'bigint', 'bytes': 'bigint'}) }}
) as b
-- depends_on: {{ source('ledger', 'batches') }}
where received_at <= timestamp '{{ var("as_of") }}'
