-- Departments under their institution; the last step of county > township > institution > department.
select
    d.institution_code,
    d.dept_code,
    d.dept_name,
    d.std_dept_code,
    coalesce(v.label_zh, d.std_dept_code) as std_dept_zh,
    coalesce(nullif(v.label_en, ''), d.std_dept_code) as std_dept_en,
    d.dept_type,
    d.open_beds,
    d.active_flag,
    i.institution_name,
    i.township_code,
    i.county_code
from {{ ref('ref_department') }} as d
left join {{ ref('dim_institution_current') }} as i on i.institution_code = d.institution_code
left join {{ ref('value_set') }} as v on v.value_set = 'VS_DEPT' and v.code = d.std_dept_code
