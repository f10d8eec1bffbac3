-- Institutions as they are now, with the names of their place.
select
    i.institution_code, i.institution_name, i.institution_class, i.level_code, i.hospital_grade, i.ownership, i.peer_group,
    i.parent_institution_code, i.county_code, c.division_zh as county_name, i.township_code, t.division_zh as township_name,
    i.village_code, i.approved_beds, i.operating_status, i.is_listed, i.valid_from
from {{ ref('dim_institution') }} as i
left join {{ ref('dim_division') }} as t on t.division_code = i.township_code
left join {{ ref('dim_division') }} as c on c.division_code = i.county_code
where i.is_current
