with fired as (
    select month, level, institution_code, 'average_fee_jump' as alert_id, '次均费用较上月上涨超过15%' as alert_zh,
        'Average fee more than 15 % over the previous month' as alert_en,
        indicator_id as object_code, indicator_zh as object_zh, indicator_en as object_en, change_prev_pct as value, 15.0 as threshold
    from {{ ref('mart_indicator_month') }}
    where indicator_id in ('COST-01', 'COST-03') and level <> 'township' and state = 'value' and change_prev_pct > 15
    union all
    select month, level, institution_code, 'over_target', '超过控制目标', 'Over the target', indicator_id, indicator_zh, indicator_en, value, target_value
    from {{ ref('mart_indicator_month') }}
    where indicator_id in ('COST-07', 'COST-09') and level <> 'township' and state = 'value' and value > target_value
    union all
    select month, level, institution_code, 'consumable_outlier', '单一耗材超过3倍标准差', 'A consumable more than 3 sd over its mean',
        item_code, item_name, item_name, cast(amount as double), mean_12m + 3 * sd_12m
    from {{ ref('mart_cost_item_month') }}
    where item_class = 'consumable' and is_outlier
),

final as (
    select f.*, {{ unit_columns(peer=false) }} from fired as f {{ join_unit('f') }}
)

{{ conform('final') }}
