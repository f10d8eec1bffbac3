with final as (
    select * from {{ ref('indicator') }}
)

{{ conform('final') }}
