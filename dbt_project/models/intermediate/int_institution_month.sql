-- Institutions as they were at the end of each month; before their first validity, as they were at first.
-- The name is the one of now, so that one institution is one entry of a filter.
select
    m.month,
    i.institution_code,
    c.institution_name,
    i.institution_class,
    i.level_code,
    l.label_zh as level_name_zh,
    l.label_en as level_name_en,
    i.ownership,
    o.label_zh as ownership_zh,
    o.label_en as ownership_en,
    i.peer_group,
    coalesce(l.label_zh, '未知层级') || ' ' || coalesce(k.label_zh, i.institution_class, '未知类别') as peer_group_zh,
    coalesce(l.label_en, 'Unknown level') || ', ' || coalesce(nullif(k.label_en, ''), i.institution_class, 'unknown class') as peer_group_en,
    i.township_code,
    t.division_zh as township_name
from {{ ref('int_month') }} as m
join {{ ref('dim_institution') }} as i
    on {{ add_days(add_months('m.month', 1), -1) }} between i.valid_from and i.valid_to
    or (i.is_first and {{ add_days(add_months('m.month', 1), -1) }} < i.valid_from)
    or (i.is_current and {{ add_days(add_months('m.month', 1), -1) }} > i.valid_to)
join {{ ref('dim_institution_current') }} as c on c.institution_code = i.institution_code
left join {{ ref('dim_division') }} as t on t.division_code = i.township_code
left join {{ ref('label') }} as l on l.domain = 'institution_level' and l.code = i.level_code
left join {{ ref('label') }} as o on o.domain = 'ownership' and o.code = i.ownership
left join {{ ref('value_set') }} as k on k.value_set = 'VS_INST_CLASS' and k.code = i.institution_class
