-- Registrations, encounters and outpatient settlements of the same day; a visit that costs nothing has no settlement and
-- counts as settled. A stream that an institution does not send at all
-- in the month takes no part.
with days as (
    select
        month, event_date, institution_code,
        sum(case when extract = 'registration' then countable end) as registrations,
        sum(case when extract = 'outpatient_encounter' then countable end) as encounters,
        sum(case when extract = 'settlement' then countable when extract = 'outpatient_encounter' then free end) as settlements,
        sum(case when extract = 'settlement' then countable end) as own_settlements
    from {{ ref('int_event_day') }}
    where extract in ('registration', 'outpatient_encounter', 'settlement')
    group by month, event_date, institution_code
),

streams as (
    select
        *,
        sum(registrations) over (partition by month, institution_code) > 0 as has_registrations,
        sum(encounters) over (partition by month, institution_code) > 0 as has_encounters,
        sum(own_settlements) over (partition by month, institution_code) > 0 as has_settlements
    from days
),

filled as (
    select
        month, event_date, institution_code,
        case when has_registrations then coalesce(registrations, 0) end as registrations,
        case when has_encounters then coalesce(encounters, 0) end as encounters,
        case when has_settlements then coalesce(settlements, 0) end as settlements
    from streams
)

select
    *,
    {{ greatest_of(['registrations', 'encounters', 'settlements']) }} as largest,
    {{ least_of(['registrations', 'encounters', 'settlements']) }} as smallest,
    case when registrations is null then 0 else 1 end + case when encounters is null then 0 else 1 end
        + case when settlements is null then 0 else 1 end as streams
from filled
