-- Discharges by stay: what front pages are held against.
select
    {{ month_of('s.discharged_at') }} as month,
    s.institution_code,
    count(*) as discharges,
    sum(case when p.stay_id is not null then 1 else 0 end) as front_pages,
    sum(case when p.stay_id is not null and p.admission_route <> s.admission_route then 1 else 0 end) as other_route,
    sum(case when p.admission_route = '2' then 1 else 0 end) as emergency_pages
from {{ ref('fct_inpatient_stay') }} as s
left join {{ ref('fct_case_front_page') }} as p on p.institution_code = s.institution_code and p.stay_id = s.stay_id
where s.discharged_at is not null
group by {{ month_of('s.discharged_at') }}, s.institution_code
