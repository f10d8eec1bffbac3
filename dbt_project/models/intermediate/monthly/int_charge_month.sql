{{ config(meta={'reads': {'fct_charge_line': [0]}}) }}
-- Charge lines by month, institution, care and local item: the one pass over the lines that every item mart lives on.
-- A price over five times the item's median of the month is an outlier (GT-Q06); reversals count as they stand, negative.
with lines as (
    select
        month, institution_code, case when stay_id is not null then 'inpatient' else 'outpatient' end as care,
        local_item_code, chrgitm_type, item_name, nhsa_code, chrgitm_lv, quantity, unit_price, amount, full_selfpay_amount
    from {{ ref('fct_charge_line') }}
    where {{ in_pending() }}
),

usual as (
    select month, institution_code, local_item_code, {{ percentile('unit_price', 0.5) }} as median_price
    from lines
    group by month, institution_code, local_item_code
)

select
    l.month, l.institution_code, l.care, l.local_item_code, l.chrgitm_type,
    max(l.item_name) as item_name,
    max(l.nhsa_code) as nhsa_code,
    count(*) as lines,
    sum(l.quantity) as quantity,
    sum(l.amount) as amount,
    sum(case when l.chrgitm_lv = '03' then l.amount else coalesce(l.full_selfpay_amount, 0) end) as beyond_catalogue_amount,
    sum(case when u.median_price > 0 and l.unit_price > 5 * u.median_price then 1 else 0 end) as outlier_lines,
    sum(case when u.median_price > 0 and l.unit_price > 5 * u.median_price then l.amount else 0 end) as outlier_amount
from lines as l
join usual as u on u.month = l.month and u.institution_code = l.institution_code and u.local_item_code = l.local_item_code
group by l.month, l.institution_code, l.care, l.local_item_code, l.chrgitm_type
