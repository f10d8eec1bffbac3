-- Batches, and whether the sender had sent one of an overlapping period before. Identical re-sends are duplicates, not re-sends.
select
    b.*,
    b.status <> 'duplicate' and exists (
        select 1 from {{ ref('int_batch') }} as o
        where o.sender = b.sender and o.batch_id <> b.batch_id and o.status <> 'duplicate' and o.received_at < b.received_at
            and o.period_from = b.period_from and o.period_to = b.period_to
    ) as is_resend
from {{ ref('int_batch') }} as b
