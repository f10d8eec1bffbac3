with results as (
    select
        month, institution_code, extract, check_id, 'batch' as check_kind, batch_id, state, numerator, denominator, threshold, blocking as is_blocking,
        reason_zh, reason_en
    from {{ ref('int_batch_check') }}
    where state in ('failed', 'error') or month >= (select {{ add_months('max(month)', -3) }} from {{ ref('int_month') }})
    union all
    select
        r.month, r.institution_code, r.extract, r.check_id, 'cross_file', null, r.state, r.numerator, r.denominator, r.threshold, false,
        k.numerator_zh || '/' || k.denominator_zh || ':' || cast(round(cast(r.numerator as double), 2) as varchar) || '/' || cast(round(cast(r.denominator as double), 2) as varchar)
            || case k.direction when 'at_least' then ',要求不低于' else ',要求不高于' end || cast(round(r.threshold * 100, 2) as varchar) || '%',
        k.numerator_en || ' / ' || k.denominator_en || ': ' || cast(round(cast(r.numerator as double), 2) as varchar) || ' / ' || cast(round(cast(r.denominator as double), 2) as varchar)
            || case k.direction when 'at_least' then '; at least ' else '; at most ' end || cast(round(r.threshold * 100, 2) as varchar) || ' % is asked'
    from {{ ref('int_check_month') }} as r
    join {{ ref('cross_check') }} as k on k.check_id = r.check_id
),

final as (
    select
        r.*, case when r.institution_code is null then 'county' else 'institution' end as level, {{ unit_columns(peer=false) }},
        e.extract_zh, e.extract_en,
        coalesce(k.check_zh, b.check_zh || coalesce(':' || nullif(split_part(r.check_id, '.', 2), ''), ''), r.check_id) as check_zh,
        coalesce(k.check_en, b.check_en || coalesce(': ' || nullif(split_part(r.check_id, '.', 2), ''), ''), r.check_id) as check_en,
        l.label_zh as state_zh, l.label_en as state_en,
        cast(r.numerator as double) / nullif(cast(r.denominator as double), 0) * 100 as value_pct
    from results as r
    {{ join_unit('r') }}
    {{ join_label('check_state', 'r.state', 'l') }}
    left join {{ ref('cross_check') }} as k on k.check_id = r.check_id and r.check_kind = 'cross_file'
    left join {{ ref('batch_check') }} as b on b.check_id = split_part(r.check_id, '.', 1) and r.check_kind = 'batch'
    left join {{ ref('extract') }} as e on e.extract = r.extract
)

{{ conform('final') }}
