-- Months from the first to the last period that was sent, and whether they are closed.
with span as (
    select
        {{ month_of('min(b.period_from)') }} as first_month,
        least({{ month_of('max(b.period_to)') }}, {{ month_of('max(c.known_at)') }}) as last_month
    from {{ ref('int_batch') }} as b
    cross join {{ ref('int_clock') }} as c
    where b.status <> 'refused'
)

select
    d.day as month,
    {{ closes_on('d.day') }} as closes_on,
    {{ closes_on('d.day') }} <= cast(c.known_at as date) as is_closed
from {{ day_series("date '2015-01-01'", "date '2035-12-31'") }} as d
join span as s on d.day between s.first_month and s.last_month
cross join {{ ref('int_clock') }} as c
where d.day = {{ month_of('d.day') }}
