-- Deliveries spread over the days they cover; a monthly extract stands on the last day of its month.
with span as (
    select {{ add_days('cast(known_at as date)', -var('calendar_days')) }} as first_day, cast(known_at as date) as last_day from {{ ref('int_clock') }}
),

days as (
    select
        s.institution_code, s.extract, s.cadence, s.state, s.due_at, s.received_at, s.batches,
        case when s.cadence = 'daily' then d.day else s.period_to end as stat_date,
        cast(case when s.cadence = 'daily'
            then s.rows_received / ({{ dbt.datediff('s.period_from', 's.period_to', 'day') }} + 1) else s.rows_received end as bigint) as rows_received,
        row_number() over (
            partition by s.sender, s.extract, case when s.cadence = 'daily' then d.day else s.period_to end
            order by case s.state when 'received' then 0 when 'late' then 1 when 'quarantined' then 2 when 'missing' then 3 else 4 end, s.received_at
        ) as nth,
        sum(s.batches) over (
            partition by s.sender, s.extract, case when s.cadence = 'daily' then d.day else s.period_to end
        ) as all_batches
    from {{ ref('int_submission') }} as s
    cross join span as p
    join {{ day_series("date '2015-01-01'", "date '2035-12-31'") }} as d
        on d.day between p.first_day and p.last_day
        and (
            (s.cadence = 'daily' and d.day between s.period_from and s.period_to)
            or (s.cadence <> 'daily' and d.day = s.period_to)
        )
    where s.period_to >= p.first_day
),

one as (
    select
        {{ month_of('stat_date') }} as month, stat_date, institution_code, extract, cadence, state, due_at, received_at, all_batches as batches,
        rows_received,
        case when state <> 'not_due' then 1 else 0 end as due,
        case when state = 'received' then 1 else 0 end as received,
        case when state = 'late' then 1 else 0 end as late,
        case when state = 'missing' then 1 else 0 end as missing,
        case when state = 'quarantined' then 1 else 0 end as quarantined
    from days
    where nth = 1
),

rolled as (
    select
        month, stat_date, 'institution' as level, institution_code, extract, cadence, state, due, received, late, missing, quarantined, due_at,
        received_at, batches, rows_received
    from one
    where institution_code is not null
    union all
    select
        month, stat_date, 'county', null, extract, max(cadence), null, sum(due), sum(received), sum(late), sum(missing), sum(quarantined),
        max(due_at), max(received_at), sum(batches), sum(rows_received)
    from one
    group by month, stat_date, extract
),

final as (
    select
        r.*, {{ unit_columns(peer=false) }}, e.extract_zh, e.extract_en, l.label_zh as state_zh, l.label_en as state_en, l.sort_order - 1 as state_order
    from rolled as r
    {{ join_unit('r') }}
    {{ join_label('submission_state', 'r.state', 'l') }}
    left join {{ ref('extract') }} as e on e.extract = r.extract
)

{{ conform('final') }}
order by stat_date, institution_code
