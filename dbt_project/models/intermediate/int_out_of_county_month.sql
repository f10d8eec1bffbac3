-- Fund payment outside the county by month; a month without rows has no row: it is unknown, not zero.
select month, cast(null as varchar) as institution_code, sum(fund_pay) as fund_pay, sum(total_fee) as total_fee, count(*) as settlements
from {{ ref('fct_out_of_county_settlement') }}
group by month
