-- Ward doctors by month: share of the month in post, split evenly between the institutions of one person. The extracts
-- carry no working hours, so this is the full-time equivalent they allow.
with posts as (
    select
        m.month, s.institution_code, s.staff_key, d.dept_type,
        greatest(0, {{ dbt.datediff(
            "greatest(s.start_date, m.month)",
            "least(coalesce(" ~ add_days('s.end_date', 1) ~ ", date '9999-12-31'), " ~ add_months('m.month', 1) ~ ")", 'day') }})
            / cast({{ dbt.datediff('m.month', add_months('m.month', 1), 'day') }} as double) as share
    from {{ ref('ref_staff') }} as s
    join {{ ref('int_month') }} as m
        on s.start_date < {{ add_months('m.month', 1) }} and coalesce(s.end_date, date '9999-12-31') >= m.month
    left join {{ ref('ref_department') }} as d on d.institution_code = s.institution_code and d.dept_code = s.dept_code
    where s.category_code in ('11', '12')
),

sites as (
    select month, staff_key, count(distinct institution_code) as n from posts group by month, staff_key
)

select p.month, p.institution_code, sum(case when p.dept_type = '2' then p.share / s.n else 0 end) as ward_doctors
from posts as p
join sites as s on s.month = p.month and s.staff_key = p.staff_key
group by p.month, p.institution_code
having sum(case when p.dept_type = '2' then p.share else 0 end) > 0
