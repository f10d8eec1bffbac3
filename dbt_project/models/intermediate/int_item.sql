-- One row per local item: the catalogue entry in force last, which marts classify by.
select * from {{ ref('dim_item') }} where is_current
