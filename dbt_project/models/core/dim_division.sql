-- Townships and villages by code: named where the seed names them, else by their code.
with codes as (
    select division_code from {{ ref('division') }}
    union
    select township_code from {{ ref('ref_institution') }} where township_code is not null
    union
    select village_code from {{ ref('ref_institution') }} where village_code is not null
    union
    select village_code from {{ ref('ref_population') }} where village_code is not null
)

select
    c.division_code,
    case length(c.division_code) when 6 then 'county' when 9 then 'township' else 'village' end as division_level,
    substr(c.division_code, 1, 6) as county_code,
    case when length(c.division_code) >= 9 then substr(c.division_code, 1, 9) end as township_code,
    coalesce(d.division_zh, c.division_code) as division_zh,
    coalesce(d.division_en, c.division_code) as division_en
from codes as c
left join {{ ref('division') }} as d on d.division_code = c.division_code
