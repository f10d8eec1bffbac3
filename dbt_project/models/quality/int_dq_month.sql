-- Numerators and denominators of the data-quality indicators by month and institution.
{% set names = ['submissions_due', 'submissions_on_time', 'volume_received', 'volume_expected', 'required_cells', 'required_filled',
    'valued_cells', 'valued_valid', 'checked_rows', 'rule_passed_rows', 'time_rows', 'time_ordered_rows', 'key_rows', 'duplicate_keys',
    'references_total', 'references_resolved', 'identity_rows', 'identity_a_rows', 'reconcile_difference', 'reconcile_base',
    'finance_difference', 'finance_base', 'batches', 'batches_resent'] %}
with parts as (
    select month, institution_code, 'submissions_due' as name, cast(sum(case when state <> 'not_due' then 1 else 0 end) as double) as amount
    from {{ ref('int_submission') }} group by month, institution_code
    union all
    select month, institution_code, 'submissions_on_time', sum(case when state = 'received' then 1 else 0 end)
    from {{ ref('int_submission') }} group by month, institution_code
    {% for name in ['volume_received', 'volume_expected', 'reconcile_difference', 'reconcile_base'] -%}
    union all
    select month, institution_code, '{{ name }}', {{ name }} from {{ ref('int_reconcile_month') }}
    {% endfor -%}
    {% for name in ['finance_difference', 'finance_base'] -%}
    union all
    select month, institution_code, '{{ name }}', {{ name }} from {{ ref('int_finance_reconcile_month') }}
    {% endfor -%}
    {% for check, over, under in [('DQ-03', 'required_filled', 'required_cells'), ('DQ-04', 'valued_valid', 'valued_cells'),
        ('DQ-05', 'rule_passed_rows', 'checked_rows'), ('DQ-07', 'duplicate_keys', 'key_rows'),
        ('DQ-13', 'time_ordered_rows', 'time_rows')] -%}
    union all
    select month, institution_code, '{{ over }}', sum(numerator) from {{ ref('int_batch_check') }}
    where check_id = '{{ check }}' and state in ('passed', 'failed') group by month, institution_code
    union all
    select month, institution_code, '{{ under }}', sum(denominator) from {{ ref('int_batch_check') }}
    where check_id = '{{ check }}' and state in ('passed', 'failed') group by month, institution_code
    {% endfor -%}
    union all
    select month, institution_code, 'references_total', sum(denominator) from {{ ref('int_check_month') }}
    where check_id like 'reference%' group by month, institution_code
    union all
    select month, institution_code, 'references_resolved', sum(numerator) from {{ ref('int_check_month') }}
    where check_id like 'reference%' group by month, institution_code
    union all
    select month, institution_code, 'identity_rows', sum(row_count) from {{ ref('int_identity_month') }} group by month, institution_code
    union all
    select month, institution_code, 'identity_a_rows', sum(case when grade = 'A' then row_count else 0 end)
    from {{ ref('int_identity_month') }} group by month, institution_code
    union all
    select {{ month_of('period_to') }}, institution_code, 'batches', count(*) from {{ ref('int_batch_resent') }} group by 1, 2
    union all
    select {{ month_of('period_to') }}, institution_code, 'batches_resent', sum(case when is_resend then 1 else 0 end)
    from {{ ref('int_batch_resent') }} group by 1, 2
)

select
    month, institution_code
    {%- for name in names %},
    sum(case when name = '{{ name }}' then amount end) as {{ name }}
    {%- endfor %}
from parts
where month is not null
group by month, institution_code
