-- Restatable indicators of closed months whose value differs from the one first known, and by how much.
with first as (
    {{ indicator_sides(ref('int_first_measure_month')) }}
),

compared as (
    select
        n.month, n.level, n.institution_code, n.unit, n.indicator_id, i.decimals, i.min_denominator,
        {{ ratio('f.numerator', 'f.denominator', 'i.factor', 'i.denominator_zh is null') }} as first_value,
        {{ ratio('n.numerator', 'n.denominator', 'i.factor', 'i.denominator_zh is null') }} as current_value
    from {{ ref('int_indicator_month') }} as n
    join {{ ref('indicator') }} as i on i.indicator_id = n.indicator_id and i.is_restatable
    join {{ ref('int_month') }} as m on m.month = n.month and m.is_closed
    left join first as f
        on f.month = n.month and f.level = n.level and f.indicator_id = n.indicator_id and f.unit = n.unit
    where n.level <> 'township' and (i.denominator_zh is null or n.denominator >= i.min_denominator)
)

select month, level, institution_code, unit, indicator_id, first_value, current_value
from compared
where current_value is not null
    and (first_value is null or abs(round(first_value, decimals) - round(current_value, decimals)) > 0)
