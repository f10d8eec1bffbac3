-- Days of the calendar seed; beyond it nothing is guessed.
select
    calendar_date as day,
    {{ month_of('calendar_date') }} as month,
    cast(extract(year from calendar_date) as integer) as year,
    cast(extract(quarter from calendar_date) as integer) as quarter,
    cast({{ iso_week('calendar_date') }} as integer) as iso_week,
    cast({{ weekday('calendar_date') }} as integer) as weekday,
    is_workday = 1 as is_workday,
    is_holiday = 1 as is_holiday,
    is_in_lieu = 1 as is_in_lieu,
    holiday_zh,
    holiday_en,
    {{ month_of(add_days('calendar_date', 3)) }} <> {{ month_of('calendar_date') }} as is_last3_of_month
from {{ ref('calendar') }}
