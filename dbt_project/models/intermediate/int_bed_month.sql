-- Bed-days by month and institution. Average open beds divide by the days of the month, as the statistics form does.
select
    month, institution_code,
    sum(occupied_bed_days) as occupied_bed_days,
    sum(actual_open_beds) as open_bed_days,
    sum(discharges) as discharges,
    sum(actual_open_beds) / cast({{ dbt.datediff('month', add_months('month', 1), 'day') }} as double) as average_open_beds
from {{ ref('fct_bed_daily') }}
group by month, institution_code
