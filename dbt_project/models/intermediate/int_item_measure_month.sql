-- Money of the charge lines by what the item catalogue says of the item at the end of the month.
select
    c.month,
    c.institution_code,
    sum(c.amount) as charged_amount,
    sum(case when t.fee_class = 'drug' then c.amount else 0 end) as drug_amount,
    sum(case when t.fee_class = 'drug' and i.antibiotic_level in ('1', '2', '3') then c.amount else 0 end) as antibiotic_amount,
    sum(c.beyond_catalogue_amount) as beyond_catalogue_amount,
    sum(case when coalesce(c.nhsa_code, i.nhsa_code) is not null then c.amount else 0 end) as mapped_amount
from {{ ref('int_charge_month') }} as c
left join {{ ref('charge_type') }} as t on t.chrgitm_type = c.chrgitm_type
left join {{ ref('dim_item') }} as i
    on i.institution_code = c.institution_code and i.local_item_code = c.local_item_code
    and {{ add_days(add_months('c.month', 1), -1) }} between i.valid_from and i.valid_to
group by c.month, c.institution_code
