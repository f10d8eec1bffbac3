-- The checks across files: numerator and denominator by month and institution, one select for each record of cross_check.
with occupancy as (
    select
        month, institution_code, dept_code, event_date, occupied_bed_days, actual_open_beds, patients_start,
        lag(patients_end) over (partition by institution_code, dept_code order by event_date) as end_before,
        lag(event_date) over (partition by institution_code, dept_code order by event_date) as day_before
    from {{ ref('fct_bed_daily') }}
),

usual as (
    select
        d.month, d.event_date, d.institution_code, d.extract, d.row_count, {{ percentile('p.row_count', 0.5) }} as median_rows
    from {{ ref('int_event_day') }} as d
    join {{ ref('int_event_day') }} as p
        on p.institution_code = d.institution_code and p.extract = d.extract
        and p.event_date >= {{ add_days('d.event_date', -56) }} and p.event_date < d.event_date
        and {{ weekday('p.event_date') }} = {{ weekday('d.event_date') }}
    where d.extract in ('registration', 'outpatient_encounter', 'settlement')
        and d.event_date >= (select {{ add_months(month_of('max(known_at)'), -13) }} from {{ ref('int_clock') }})
    group by d.month, d.event_date, d.institution_code, d.extract, d.row_count
    having count(*) >= 6 and {{ percentile('p.row_count', 0.5) }} >= 20
),

mapping as (
    select
        institution_code, local_item_code, {{ month_of('max(_received_at)') }} as month,
        count(distinct coalesce(antibiotic_level, '0') || '|' || chrgitm_type) as classes
    from {{ ref('stg_catalog_mapping') }}
    where _op_type <> 'D'
    group by institution_code, local_item_code
),

named as (
    select
        institution_code,
        count(*) over (partition by local_item_name) as n,
        count(*) over (partition by local_item_name, antibiotic_level, chrgitm_type) as n_same
    from {{ ref('int_item') }}
    where item_class = 'drug'
),

-- A price that a later row put right has left the facts; that it was sent is still said, for the months that
-- are looked at anyway (GT-Q06).
mended as (
    select {{ month_of('o.occurred_at') }} as month, o.institution_code, count(*) as outliers
    from {{ ref('stg_charge_line') }} as u
    join {{ ref('stg_charge_line') }} as o on o.institution_code = u.institution_code and o.charge_id = u.charge_id
    where u._op_type = 'U' and o._op_type = 'I' and o.unit_price > 5 * u.unit_price
        and u.occurred_at >= (select {{ add_months(month_of('max(known_at)'), -13) }} from {{ ref('int_clock') }})
    group by {{ month_of('o.occurred_at') }}, o.institution_code
),

-- Share of emergency admissions in three months against the twelve before: codes swapped by an upgrade move it at once
-- (GT-Q03). Three standard errors of the difference of two shares, so that a small ward is not blamed by chance.
routes as (
    select
        month, institution_code,
        sum(emergency_pages) over (partition by institution_code order by month rows between 2 preceding and current row) as hits,
        sum(front_pages) over (partition by institution_code order by month rows between 2 preceding and current row) as pages,
        sum(emergency_pages) over (partition by institution_code order by month rows between 14 preceding and 3 preceding) as hits_before,
        sum(front_pages) over (partition by institution_code order by month rows between 14 preceding and 3 preceding) as pages_before
    from {{ ref('int_stay_month') }}
),

moved as (
    select
        month, institution_code, pages,
        abs(1.0 * hits / pages - 1.0 * hits_before / pages_before) as moved,
        sqrt(1.0 * (hits + hits_before) / (pages + pages_before) * (1 - 1.0 * (hits + hits_before) / (pages + pages_before))
            * (1.0 / pages + 1.0 / pages_before)) as standard_error
    from routes
    where pages >= 30 and pages_before >= 60
),

month_now as (
    select max(month) as month from {{ ref('int_month') }}
),

results as (
    select month, institution_code, extract, 'reference_registration' as check_id, references_resolved as numerator, references_total as denominator
    from {{ ref('int_reference_month') }}
    union all
    select month, institution_code, extract, 'reference_settlement', references_resolved, references_total from {{ ref('int_orphan_line_month') }}
    union all
    select c.month, c.institution_code, 'charge_line', 'reference_item', sum(case when i.local_item_code is not null then c.lines else 0 end), sum(c.lines)
    from {{ ref('int_charge_month') }} as c
    left join {{ ref('int_item') }} as i on i.institution_code = c.institution_code and i.local_item_code = c.local_item_code
    group by c.month, c.institution_code
    union all
    select k.month, k.institution_code, k.extract, 'reference_department', sum(case when d.dept_code is not null then k.row_count else 0 end), sum(k.row_count)
    from {{ ref('int_key_month') }} as k
    left join {{ ref('ref_department') }} as d on d.institution_code = k.institution_code and d.dept_code = k.code
    where k.column_name = 'dept_code'
    group by k.month, k.institution_code, k.extract
    union all
    select k.month, k.institution_code, k.extract, 'reference_staff', sum(case when s.staff_id is not null then k.row_count else 0 end), sum(k.row_count)
    from {{ ref('int_key_month') }} as k
    left join {{ ref('ref_staff') }} as s on s.institution_code = k.institution_code and s.staff_id = k.code
    where k.column_name = 'doctor_id'
    group by k.month, k.institution_code, k.extract
    union all
    select p.month, p.institution_code, 'case_front_page', 'reference_stay', sum(case when s.stay_id is not null then 1 else 0 end), count(*)
    from {{ ref('fct_case_front_page') }} as p
    left join {{ ref('fct_inpatient_stay') }} as s on s.institution_code = p.institution_code and s.stay_id = p.stay_id
    group by p.month, p.institution_code
    union all
    select month, institution_code, extract, 'timeliness', sum(case when state = 'received' then 1 else 0 end), sum(case when state <> 'not_due' then 1 else 0 end)
    from {{ ref('int_submission') }}
    group by month, institution_code, extract
    union all
    select month, institution_code, extract, 'volume', sum(case when abs(row_count - median_rows) > greatest(0.5 * median_rows, 4 * sqrt(median_rows)) then 1 else 0 end), count(*)
    from usual
    group by month, institution_code, extract
    union all
    select month, institution_code, 'settlement', 'three_way', reconcile_difference, reconcile_base from {{ ref('int_reconcile_month') }}
    union all
    select month, institution_code, 'finance_monthly', 'finance', finance_difference, finance_base from {{ ref('int_finance_reconcile_month') }}
    union all
    select month, institution_code, 'settlement', 'line_sum', unequal, compared from {{ ref('int_line_sum_month') }}
    union all
    select
        month, institution_code, 'bed_daily', 'bed_continuity', sum(case when patients_start <> end_before then 1 else 0 end), count(*)
    from occupancy where day_before = {{ add_days('event_date', -1) }}
    group by month, institution_code
    union all
    select month, institution_code, 'bed_daily', 'occupancy', sum(case when occupied > open then 1 else 0 end), count(*)
    from (
        select month, institution_code, dept_code, sum(occupied_bed_days) as occupied, sum(actual_open_beds) as open
        from occupancy where actual_open_beds > 0 group by month, institution_code, dept_code
    ) as wards
    group by month, institution_code
    union all
    select month, institution_code, 'diagnosis', 'main_diagnosis', one_main, encounters from {{ ref('int_main_diagnosis_month') }}
    union all
    select month, institution_code, 'case_front_page', 'front_page', front_pages, discharges from {{ ref('int_stay_month') }}
    union all
    select s.month, s.institution_code, 'case_front_page', 'front_page_at_close', coalesce(f.amount, 0), s.discharges
    from {{ ref('int_stay_month') }} as s
    join {{ ref('int_month') }} as m on m.month = s.month and m.is_closed
    left join {{ ref('int_first_measure_month') }} as f
        on f.month = s.month and f.institution_code = s.institution_code and f.measure = 'discharges'
    union all
    select month, institution_code, 'case_front_page', 'admission_route', other_route, front_pages from {{ ref('int_stay_month') }}
    union all
    select month, institution_code, 'charge_line', 'item_price', sum(outliers), sum(lines)
    from (
        select month, institution_code, outlier_lines as outliers, lines from {{ ref('int_charge_month') }}
        union all
        select month, institution_code, outliers, 0 from mended
    ) as prices
    group by month, institution_code
    union all
    select month, institution_code, 'case_front_page', 'route_shift', round(case when moved > 3 * standard_error then moved * pages else 0 end, 2), pages
    from moved
    union all
    select
        {{ month_of('death_date') }}, institution_code, 'resident', 'death_lag',
        sum(case when last_update_date > {{ add_days('death_date', 14) }} then 1 else 0 end), count(*)
    from {{ ref('ref_resident') }}
    where death_date >= (select min(month) from {{ ref('int_month') }})
    group by {{ month_of('death_date') }}, institution_code
    union all
    select m.month, r.institution_code, 'resident', 'duplicate_files', count(*) - count(distinct r.person_key), count(*)
    from {{ ref('ref_resident') }} as r
    cross join month_now as m
    where r.file_status = '1' and r.master_resident_key is null and r.person_match <> 'C'
    group by m.month, r.institution_code
    union all
    select month, institution_code, 'catalog_mapping', 'item_mapping', sum(case when classes > 1 then 1 else 0 end), count(*)
    from mapping
    group by month, institution_code
    union all
    select m.month, g.institution_code, 'catalog_mapping', 'item_consensus', sum(case when g.n_same * 2 < g.n then 1 else 0 end), count(*)
    from named as g
    cross join month_now as m
    where g.n >= 3
    group by m.month, g.institution_code
    union all
    select m.month, null, 'out_of_county_settlement', 'out_of_county', case when o.month is null then 0 else 1 end, 1
    from {{ ref('int_month') }} as m
    cross join {{ ref('int_clock') }} as c
    left join {{ ref('int_out_of_county_month') }} as o on o.month = m.month
    where {{ add_days(add_months('m.month', 1), 20) }} <= cast(c.known_at as date)
)

select
    r.month, r.institution_code, r.extract, r.check_id, r.numerator, r.denominator, k.threshold,
    {{ four_states('r.numerator', 'r.denominator', 'k.threshold', "k.direction = 'at_least'") }} as state
from results as r
join {{ ref('cross_check') }} as k on k.check_id = r.check_id
