with one as (
    select month, event_date as stat_date, institution_code, registrations, encounters, settlements,
        case when streams > 1 then largest - smallest else 0 end as difference, case when streams > 1 then largest else 0 end as largest
    from {{ ref('int_reconcile_day') }}
    where event_date > (select {{ add_days('cast(known_at as date)', -var('calendar_days')) }} from {{ ref('int_clock') }})
),

rolled as (
    select
        month, stat_date, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level, institution_code,
        sum(registrations) as registrations, sum(encounters) as encounters, sum(settlements) as settlements,
        sum(difference) as difference, sum(largest) as largest
    from one
    group by grouping sets ((month, stat_date, institution_code), (month, stat_date))
),

final as (
    select r.*, {{ unit_columns(peer=false) }}, cast(r.difference as double) / nullif(r.largest, 0) * 100 as difference_pct
    from rolled as r
    {{ join_unit('r') }}
)

{{ conform('final') }}
order by stat_date, institution_code
