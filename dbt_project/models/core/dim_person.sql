{{ config(materialized='view') }}
-- Persons without identity: the latest record of each pseudonym. A view, so that no published file can hold it.
with ranked as (
    select
        *, row_number() over (
            partition by coalesce(person_key, resident_key)
            order by case when master_resident_key is null then 0 else 1 end, last_update_date desc nulls last, resident_key
        ) as _version
    from {{ ref('ref_resident') }}
    where file_status is null or file_status <> '4'
)

select
    coalesce(person_key, resident_key) as person_key,
    sex_code,
    cast(extract(year from birth_date) as integer) as birth_year,
    village_code,
    substr(village_code, 1, 9) as township_code,
    residency_type,
    insurance_type,
    death_date is not null as is_dead
from ranked
where _version = 1
