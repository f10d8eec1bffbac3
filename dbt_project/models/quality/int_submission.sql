-- What was due and how it came: one row for every period that a sender delivered of an extract, and for every day (month)
-- that it did not although it was expected. A daily extract is expected of a day when the sender had rows dated on at least
-- seven of the eight same weekdays before, usually eight or more (charge lines 40, beds
-- one), and somebody has delivered since; a monthly one when it came for two of the three months before. So a small clinic's
-- quiet day is not called missing, and a system that falls silent is. A daily extract that comes for more than a week at
-- once is a back-load: no day's due time fits it, so it is due when its month is closed.
with files as (
    select
        f.sender, f.institution_code, f.extract, e.cadence, e.due_days, e.due_at as due_time, f.period_from, f.period_to, f.received_at,
        f.rows_received, f.rows_staged, f.rows_quarantined, f.rows_duplicate,
        f.status = 'refused' or f.batch_status = 'refused' as is_refused,
        f.status = 'duplicate' or f.batch_status = 'duplicate' as is_duplicate
    from {{ ref('int_file') }} as f
    join {{ ref('extract') }} as e on e.extract = f.extract
),

periods as (
    select
        sender, max(institution_code) as institution_code, extract, cadence, due_days, due_time, period_from, period_to,
        min(case when not is_refused then received_at end) as received_at, min(received_at) as first_seen_at,
        sum(rows_received) as rows_received, sum(rows_staged) as rows_staged, sum(rows_quarantined) as rows_quarantined,
        sum(rows_duplicate) as rows_duplicate, sum(case when is_duplicate then 0 else 1 end) as batches
    from files
    group by sender, extract, cadence, due_days, due_time, period_from, period_to
),

pairs as (
    select sender, max(institution_code) as institution_code, extract, cadence, due_days, due_time, min(period_from) as first_day
    from periods
    where received_at is not null and cadence <> 'yearly'
    group by sender, extract, cadence, due_days, due_time
),

horizon as (
    select max(period_to) as last_day from periods where received_at is not null and cadence = 'daily'
),

-- daily: days after the whole-month deliveries that no delivery covers
days as (
    select
        p.*, d.day as period_from, d.day as period_to
    from pairs as p
    cross join horizon as h
    join {{ day_series("date '2015-01-01'", "date '2035-12-31'") }} as d
        on d.day >= p.first_day and d.day <= h.last_day and d.day >= {{ add_days('h.last_day', -400) }}
    where p.cadence = 'daily' and p.institution_code is not null
        and not exists (
            select 1 from periods as f
            where f.sender = p.sender and f.extract = p.extract and d.day between f.period_from and f.period_to
        )
),

silent_days as (
    select d.sender, d.institution_code, d.extract, d.cadence, d.due_days, d.due_time, d.period_from, d.period_to
    from days as d
    join {{ ref('int_event_day') }} as v
        on v.institution_code = d.institution_code and v.extract = d.extract
        and v.event_date >= {{ add_days('d.period_from', -56) }} and v.event_date < d.period_from
        and {{ weekday('v.event_date') }} = {{ weekday('d.period_from') }}
    group by d.sender, d.institution_code, d.extract, d.cadence, d.due_days, d.due_time, d.period_from, d.period_to
    having count(*) >= 7
        and {{ percentile('v.row_count', 0.5) }} >= case d.extract when 'charge_line' then 40 when 'bed_daily' then 1 else 8 end
),

silent_months as (
    select
        p.sender, p.institution_code, p.extract, p.cadence, p.due_days, p.due_time, m.month as period_from,
        {{ add_days(add_months('m.month', 1), -1) }} as period_to
    from pairs as p
    join {{ ref('int_month') }} as m on m.month > p.first_day
    join periods as f
        on f.sender = p.sender and f.extract = p.extract and f.received_at is not null
        and {{ month_of('f.period_to') }} >= {{ add_months('m.month', -3) }} and {{ month_of('f.period_to') }} < m.month
    where p.cadence = 'monthly'
        and not exists (
            select 1 from periods as g
            where g.sender = p.sender and g.extract = p.extract and g.period_from <= {{ add_days(add_months('m.month', 1), -1) }}
                and g.period_to >= m.month
        )
    group by p.sender, p.institution_code, p.extract, p.cadence, p.due_days, p.due_time, m.month
    having count(distinct {{ month_of('f.period_to') }}) >= 2
),

everything as (
    select
        sender, institution_code, extract, cadence, due_days, due_time, period_from, period_to, received_at, first_seen_at, rows_received,
        rows_staged, rows_quarantined, rows_duplicate, batches
    from periods
    union all
    select sender, institution_code, extract, cadence, due_days, due_time, period_from, period_to, null, null, 0, 0, 0, 0, 0 from silent_days
    union all
    select sender, institution_code, extract, cadence, due_days, due_time, period_from, period_to, null, null, 0, 0, 0, 0, 0 from silent_months
),

timed as (
    select
        e.*,
        case
            when e.cadence = 'daily' and {{ dbt.datediff('e.period_from', 'e.period_to', 'day') }} >= 7
                then cast({{ closes_on(month_of('e.period_to')) }} as timestamp)
            else cast({{ add_days('e.period_to', 'e.due_days') }} as timestamp)
                + cast(substr(e.due_time, 1, 2) as integer) * interval '1 hour'
        end as due_at
    from everything as e
)

select
    t.*, {{ month_of('t.period_to') }} as month,
    case
        when t.received_at <= t.due_at then 'received'
        when t.received_at is not null then 'late'
        when t.first_seen_at is not null then 'quarantined'
        when t.due_at <= c.known_at then 'missing'
        else 'not_due'
    end as state
from timed as t
cross join {{ ref('int_clock') }} as c
