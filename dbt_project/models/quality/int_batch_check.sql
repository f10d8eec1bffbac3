-- Results of the batch checks of ingestion.
-- depends_on: {{ source('ledger', 'checks') }}
select
    c.load_id, c.batch_id, c.sender, c.institution_code, c.extract, c.check_id, c.state, c.numerator, c.denominator, c.threshold,
    c.blocking, c.reason_zh, c.reason_en, {{ month_of('c.period_to') }} as month
from (
    {{ ledger('checks', {'load_id': 'varchar', 'batch_id': 'varchar', 'sender': 'varchar', 'institution_code': 'varchar',
        'extract': 'varchar', 'check_id': 'varchar', 'state': 'varchar', 'numerator': 'double', 'denominator': 'double',
        'threshold': 'double', 'blocking': 'boolean', 'reason_zh': 'varchar', 'reason_en': 'varchar', 'period_from': 'date',
        'period_to': 'date'}) }}
) as c
join (select distinct load_id, batch_id from {{ ref('int_batch') }}) as b on b.load_id = c.load_id and b.batch_id = c.batch_id
