-- Completeness of a month: the smaller of the share of due deliveries that came and of the expected volume.
with delivered as (
    select
        month, institution_code,
        sum(case when state in ('received', 'late') then 1 else 0 end) as came, sum(case when state <> 'not_due' then 1 else 0 end) as due
    from {{ ref('int_submission') }}
    group by month, institution_code
),

units as (
    select
        d.month, d.institution_code, d.came, d.due, v.volume_received, v.volume_expected
    from delivered as d
    left join {{ ref('int_reconcile_month') }} as v on v.month = d.month and v.institution_code = d.institution_code
),

rolled as (
    select
        month, case when grouping(institution_code) = 1 then 'county' else 'institution' end as level, institution_code,
        sum(came) as came, sum(due) as due, sum(volume_received) as volume_received, sum(volume_expected) as volume_expected
    from units
    group by grouping sets ((month, institution_code), (month))
),

shares as (
    select
        *,
        least(
            coalesce(cast(came as double) / nullif(due, 0), 1),
            coalesce(cast(volume_received as double) / nullif(volume_expected, 0), 1)
        ) as completeness
    from rolled
    where level = 'county' or institution_code is not null
)

select month, level, institution_code, completeness, {{ grade('completeness') }} as completeness_grade
from shares
