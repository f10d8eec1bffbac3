-- What "now" means: the newest receipt. Nothing in the warehouse reads the machine's clock.
select
    coalesce(max(received_at), timestamp '1900-01-01') as known_at,
    max(load_id) as last_load_id
from {{ ref('int_batch') }}
