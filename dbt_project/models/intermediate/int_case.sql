-- Discharges of the last months with what the drill shows of them; the pseudonym follows the keyed medical record key.
with span as (
    select max(month) as last_month, max(case when is_closed then month end) as last_closed from {{ ref('int_month') }}
),

pages as (
    select
        p.*, substr(p.main_diag_code, 1, 3) as disease_code,
        p.month between {{ add_months('s.last_closed', -2) }} and s.last_closed as is_recent
    from {{ ref('fct_case_front_page') }} as p
    join span as s on p.month > {{ add_months('s.last_month', -var('case_months')) }}
),

disease as (
    select disease_code, {{ money_percentile('total_fee', 0.5) }} as median_fee, {{ money_percentile('total_fee', 0.95) }} as p95_fee
    from pages group by disease_code
)

select
    md5(p.medical_record_key || '|' || p.institution_code || '|' || p.stay_id) as case_key,
    p.month, p.institution_code, p.stay_id, p.discharge_dept as dept_code, p.disease_code,
    coalesce(s.payer_code, coalesce(h.insurance_type, '000')) as payer_code,
    {{ age_group('coalesce(p.age_years, h.age_years)') }} as age_group,
    h.sex_code,
    p.los_days, p.total_fee,
    p.fee_western_drug + p.fee_tcm_patent + p.fee_tcm_slice as drug_fee,
    p.fee_consumable as consumable_fee,
    p.fee_lab + p.fee_imaging as exam_lab_fee,
    s.fund_pay, s.cash_pay,
    d.median_fee as disease_median_fee,
    cast(p.total_fee as double) / nullif(cast(d.median_fee as double), 0) as fee_ratio,
    coalesce(p.is_recent and p.total_fee > d.p95_fee, false) as has_lines,
    p._batch_id as batch_id, p._line_no as line_no
from pages as p
left join disease as d on d.disease_code = p.disease_code
left join {{ ref('fct_inpatient_stay') }} as h on h.institution_code = p.institution_code and h.stay_id = p.stay_id
left join {{ ref('int_stay_payment') }} as s on s.institution_code = p.institution_code and s.stay_id = p.stay_id
