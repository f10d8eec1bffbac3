with final as (
    select
        month, 'county' as level, cast(null as varchar) as institution_code, peer_group, peer_group_zh, peer_group_en,
        indicator_id, indicator_zh, indicator_en, count(*) as n,
        {% for p in [10, 25, 50, 75, 90] -%}
        {{ percentile('value', p / 100) }} as p{{ p }}{{ ',' if not loop.last }}
        {% endfor -%}
    from {{ ref('mart_indicator_month') }}
    where level = 'institution' and is_ranked and peer_group is not null
    group by month, peer_group, peer_group_zh, peer_group_en, indicator_id, indicator_zh, indicator_en
)

{{ conform('final') }}
