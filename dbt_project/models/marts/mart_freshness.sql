-- A unit's data run through the last day that a delivery of its daily extracts covers, up to the first missing one.
with clock as (
    select c.known_at, c.last_load_id, (select max(month) from {{ ref('int_month') }} where is_closed) as last_closed_month
    from {{ ref('int_clock') }} as c
),

covered as (
    select
        s.institution_code,
        max(case when s.state in ('received', 'late') then s.period_to end) as last_covered,
        min(case when s.state in ('missing', 'quarantined') and s.period_from > {{ add_days('cast(c.known_at as date)', -62) }} then s.period_from end) as first_missing,
        max(s.received_at) as last_received_at
    from {{ ref('int_submission') }} as s
    cross join clock as c
    where s.cadence = 'daily' and s.institution_code is not null
    group by s.institution_code
),

gaps as (
    select
        s.institution_code, s.extract, e.extract_zh, e.extract_en, e.sort_order
    from {{ ref('int_submission') }} as s
    join {{ ref('extract') }} as e on e.extract = s.extract
    cross join clock as c
    where s.state in ('missing', 'quarantined') and s.period_to > {{ add_days('cast(c.known_at as date)', -62) }}
    group by s.institution_code, s.extract, e.extract_zh, e.extract_en, e.sort_order
),

gap_texts as (
    select
        institution_code, count(*) as missing_extracts,
        {{ dbt.listagg('extract_zh', "'、'", 'order by sort_order') }} as missing_zh,
        {{ dbt.listagg('extract_en', "', '", 'order by sort_order') }} as missing_en
    from gaps
    where institution_code is not null
    group by institution_code
),

institutions as (
    select
        v.institution_code,
        least(v.last_covered, coalesce({{ add_days('v.first_missing', -1) }}, v.last_covered)) as data_through,
        v.last_received_at, coalesce(g.missing_extracts, 0) as missing_extracts, g.missing_zh, g.missing_en
    from covered as v
    left join gap_texts as g on g.institution_code = v.institution_code
),

county as (
    select
        cast(null as varchar) as institution_code,
        {{ percentile_disc('i.data_through', 0.1) }} as data_through,
        max(i.last_received_at) as last_received_at,
        sum(case when i.missing_extracts > 0 then 1 else 0 end) as late_institutions
    from institutions as i
    join {{ ref('dim_institution_current') }} as d on d.institution_code = i.institution_code
),

county_gaps as (
    select
        count(*) as missing_extracts, {{ dbt.listagg('extract_zh', "'、'", 'order by sort_order') }} as missing_zh,
        {{ dbt.listagg('extract_en', "', '", 'order by sort_order') }} as missing_en
    from (select distinct extract, extract_zh, extract_en, sort_order from gaps) as g
),

units as (
    select 'institution' as level, institution_code, data_through, last_received_at, cast(null as integer) as late_institutions,
        missing_extracts, missing_zh, missing_en
    from institutions
    union all
    select
        'county', null, c.data_through, c.last_received_at, c.late_institutions, g.missing_extracts,
        case when c.late_institutions > 0 then cast(c.late_institutions as varchar) || '家机构有缺报:' || g.missing_zh
            when g.missing_extracts > 0 then '缺报:' || g.missing_zh end,
        case when c.late_institutions > 0 then cast(c.late_institutions as varchar) || ' institutions have gaps: ' || g.missing_en
            when g.missing_extracts > 0 then 'missing: ' || g.missing_en end
    from county as c
    cross join county_gaps as g
),

final as (
    select
        x.*, c.last_closed_month, c.last_load_id, k.completeness, k.completeness_grade, {{ unit_columns(peer=false) }}
    from units as x
    cross join clock as c
    left join {{ ref('int_institution_month') }} as u
        on u.institution_code = x.institution_code and u.month = (select max(month) from {{ ref('int_month') }})
    left join {{ ref('int_completeness_month') }} as k
        on k.month = c.last_closed_month and k.level = x.level and coalesce(k.institution_code, '') = coalesce(x.institution_code, '')
)

{{ conform('final') }}
