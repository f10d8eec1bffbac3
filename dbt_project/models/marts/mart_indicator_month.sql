-- A county figure is the ratio of the county's sums. One row for every unit and indicator from its first month on, also
-- where a month has no value: a missing report is not a zero.
with sides as (
    select month, level, institution_code, township_code, unit, indicator_id, numerator, denominator from {{ ref('int_indicator_month') }}
    union all
    select month, 'county', null, null, 'county', 'DQ-14', count(*), null from {{ ref('int_restated_month') }} group by month
),

seen as (
    select
        level, institution_code, case when level = 'township' then township_code end as township_code, unit, indicator_id,
        min(month) as first_month
    from sides
    group by level, institution_code, case when level = 'township' then township_code end, unit, indicator_id
    union all
    select 'county', null, null, 'county', i.indicator_id, (select min(month) from {{ ref('int_month') }})
    from {{ ref('indicator') }} as i
    where i.state = 'waiting'
),

filled as (
    select
        m.month, g.level, g.institution_code, g.township_code, g.unit, i.*,
        s.numerator, s.denominator, y.numerator as numerator_ly, y.denominator as denominator_ly,
        i.denominator_zh is null as is_sum
    from seen as g
    join {{ ref('int_month') }} as m on m.month >= g.first_month
    join {{ ref('indicator') }} as i on i.indicator_id = g.indicator_id
    left join sides as s
        on s.month = m.month and s.level = g.level and s.unit = g.unit and s.indicator_id = g.indicator_id
    left join sides as y
        on y.month = {{ add_months('m.month', -12) }} and y.level = g.level and y.unit = g.unit and y.indicator_id = g.indicator_id
),

{{ indicator_values('filled') }},

final as (
    select
        v.month, v.level, v.institution_code, v.indicator_id, v.indicator_zh, v.indicator_en, v.subject_area, v.unit_zh, v.unit_en,
        v.direction, v.decimals, v.numerator, v.denominator, v.value, v.numerator_ly, v.denominator_ly, v.value_ly, v.value_prev,
        v.target_value, v.sort_order, v.cell_state as state,
        case when v.cell_state = 'value' and v.state_ly = 'value' then {{ change_pct('v.value', 'v.value_ly') }} end as change_pct,
        case when v.cell_state = 'value' and v.state_prev = 'value' then {{ change_pct('v.value', 'v.value_prev') }} end as change_prev_pct,
        case when v.catalogue_state = 'waiting' then v.state_reason_zh else l.label_zh end as state_zh,
        case when v.catalogue_state = 'waiting' then v.state_reason_en else l.label_en end as state_en,
        c.completeness, c.completeness_grade,
        v.cell_state = 'value' and coalesce(c.completeness_grade, 'green') <> 'red' as is_ranked,
        u.institution_name, coalesce(u.township_code, v.township_code) as township_code, coalesce(u.township_name, t.division_zh) as township_name,
        u.level_code, u.level_name_zh, u.level_name_en, u.ownership_zh, u.ownership_en, u.peer_group, u.peer_group_zh, u.peer_group_en,
        r.indicator_id is not null as is_restated
    from compared as v
    {{ join_unit('v') }}
    {{ join_label('indicator_state', 'v.cell_state', 'l') }}
    left join {{ ref('dim_division') }} as t on t.division_code = v.township_code
    left join {{ ref('int_completeness_month') }} as c
        on c.month = v.month and c.level = v.level and coalesce(c.institution_code, '') = coalesce(v.institution_code, '')
    left join {{ ref('int_restated_month') }} as r
        on r.month = v.month and r.level = v.level and r.indicator_id = v.indicator_id
        and r.unit = v.unit
),

peers as (
    select
        month, peer_group, indicator_id, {{ percentile('value', 0.25) }} as peer_p25, {{ percentile('value', 0.5) }} as peer_p50,
        {{ percentile('value', 0.75) }} as peer_p75
    from final where level = 'institution' and is_ranked
    group by month, peer_group, indicator_id
),

with_peers as (
    select f.*, p.peer_p25, p.peer_p50, p.peer_p75
    from final as f
    left join peers as p on p.month = f.month and p.peer_group = f.peer_group and p.indicator_id = f.indicator_id
)

{{ conform('with_peers') }}
