-- Local items with their validity; is_current marks the one in force last.
select
    m.institution_code,
    m.local_item_code,
    m.valid_from,
    least(
        coalesce(m.valid_to, date '9999-12-31'),
        coalesce({{ add_days('lead(m.valid_from) over (partition by m.institution_code, m.local_item_code order by m.valid_from)', -1) }}, date '9999-12-31')
    ) as valid_to,
    lead(m.valid_from) over (partition by m.institution_code, m.local_item_code order by m.valid_from) is null as is_current,
    row_number() over (partition by m.institution_code, m.local_item_code order by m.valid_from) = 1 as is_first,
    m.local_item_name,
    m.generic_name,
    m.nhsa_code,
    m.item_class as item_class_code,
    t.fee_class,
    t.item_class,
    m.chrgitm_type,
    m.chrgitm_lv,
    m.atc_code,
    coalesce(m.antibiotic_level, '0') as antibiotic_level,
    m.essential_flag,
    m.centralised_procurement_flag,
    m.key_monitored_flag,
    m.unit_price
from {{ ref('ref_catalog_mapping') }} as m
left join {{ ref('charge_type') }} as t on t.chrgitm_type = m.chrgitm_type
