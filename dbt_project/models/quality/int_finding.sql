-- Findings: one row for each row and reason.
-- depends_on: {{ source('ledger', 'findings') }}
select
    f.load_id, f.batch_id, f.sender, f.institution_code, f.extract, f.file_name, f.sheet, f.line_no, f.rule_id, f.severity,
    f."column" as column_name, f.expected_zh, f.expected_en, f.found, {{ month_of('coalesce(f.event_date, b.period_to)') }} as month
from (
    {{ ledger('findings', {'load_id': 'varchar', 'batch_id': 'varchar', 'sender': 'varchar', 'institution_code': 'varchar',
        'extract': 'varchar', 'file_name': 'varchar', 'sheet': 'varchar', 'line_no': 'bigint', 'rule_id': 'varchar', 'severity': 'varchar',
        '"column"': 'varchar', 'expected_zh': 'varchar', 'expected_en': 'varchar', 'found': 'varchar', 'event_date': 'date'}) }}
) as f
join {{ ref('int_batch') }} as b on b.load_id = f.load_id and b.batch_id = f.batch_id
