-- Insurance types, and 000 for those without one.
select code as payer_code, label_zh as payer_zh, label_en as payer_en, sort_order
from {{ ref('label') }}
where domain = 'payer'
