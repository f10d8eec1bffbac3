-- Validity periods of institutions: every valid_from that was ever sent, as it was sent last; a period ends where the
-- next begins. An institution that only sends batches, and is in no list yet, stands with what its code says.
with versions as (
    select *, row_number() over (partition by institution_code, valid_from order by {{ newest_first() }}) as _version
    from {{ ref('stg_institution') }}
),

kept as (
    select * from versions where _version = 1 and _op_type <> 'D'
),

silent as (
    select distinct institution_code
    from {{ ref('int_batch') }}
    where institution_code is not null and institution_code not in (select institution_code from kept)
),

listed as (
    select
        institution_code, institution_name, institution_class, level_code, hospital_grade, economic_type, nonprofit_flag,
        parent_institution_code, township_code, village_code, approved_beds, operating_status, valid_from, valid_to,
        true as is_listed
    from kept
    union all
    select
        institution_code, institution_code, null, case substr(institution_code, 10, 1) when 'C' then '2' when 'D' then '3' end, null,
        null, null, null, substr(institution_code, 1, 9), null, null, null, date '1900-01-01', null, false
    from silent
)

select
    institution_code,
    valid_from,
    least(
        coalesce(valid_to, date '9999-12-31'),
        coalesce({{ add_days('lead(valid_from) over (partition by institution_code order by valid_from)', -1) }}, date '9999-12-31')
    ) as valid_to,
    lead(valid_from) over (partition by institution_code order by valid_from) is null as is_current,
    row_number() over (partition by institution_code order by valid_from) = 1 as is_first,
    institution_name,
    institution_class,
    level_code,
    hospital_grade,
    case when level_code = '4' or nonprofit_flag = '2' or economic_type = '17' then 'private' else 'public' end as ownership,
    coalesce(level_code, '0') || '-' || coalesce(institution_class, 'unknown') as peer_group,
    parent_institution_code,
    substr(township_code, 1, 6) as county_code,
    township_code,
    village_code,
    approved_beds,
    operating_status,
    is_listed
from listed
