{#- How a load reaches the facts, and a fact's change reaches the month aggregates.

A fact holds, for every staged key, the row received last; deletions stay out. When new loads come, `before_fact`
  1. copies their rows to ops.incoming_<fact>, and the fact's rows with the same keys to ops.replaced_<fact>;
  2. notes the months of both in ops.changed_month, so that a row whose date moved changes two months;
  3. takes the replaced rows out of the fact, and keeps deletions in ops.gone_<fact>, so that a row which was received
     before its deletion but loaded after it stays deleted.
The model then inserts, of incoming, replaced and gone rows, the one received last for each key. All of it is one
transaction, and nothing of it looks at the clock: running a load twice, or after a kill, gives the same fact.

An aggregate by month reads the noted months of its facts since its own last run and rebuilds those months only. -#}

{% macro relation_name() %}{{ return(this.identifier) }}{% endmacro %}

{#- fct_<extract> holds events, ref_<extract> lists; hooks find the extract in the name. -#}
{% macro fact_extract() %}{{ return(relation_name().split('_', 1)[1]) }}{% endmacro %}

{#- Kept columns of a fact: name to expression over the staged row. -#}
{% macro fact_columns(extract) %}
{%- set c = contract(extract) -%}
{%- set shape = fact_shape(extract) -%}
{%- set out = {} -%}
{%- for name in c.columns if name not in shape.drop -%}{%- do out.update({name: name}) -%}{%- endfor -%}
{%- do out.update(shape.add) -%}
{%- if c.event -%}
  {%- do out.update({'event_date': c.event_date, 'month': month_of(c.event_date)}) -%}
{%- endif -%}
{{ return(out) }}
{% endmacro %}

{#- The order in which versions of a key supersede each other; total, so that every build chooses the same. -#}
{% macro newest_first() -%}
_received_at desc, coalesce(_source_updated_at, _received_at) desc, _load_id desc, _batch_id desc, _file_digest desc,
    coalesce(_sheet, '') desc, _line_no desc
{%- endmacro %}

{#- What a fact leaves in staging, and what it derives: no birth date and no free text go further than staging. -#}
{% macro fact_shape(extract) %}
{%- set age_at = {'registration': 'registered_at', 'outpatient_encounter': 'visit_start', 'inpatient_stay': 'admitted_at',
    'settlement': 'setl_time', 'out_of_county_settlement': 'end_date', 'notifiable_report': 'onset_date'} -%}
{%- set drop = {
    'registration': ['birth_date', 'id_type', 'patient_local_key'],
    'outpatient_encounter': ['birth_date', 'id_type', 'patient_local_key', 'chief_complaint'],
    'inpatient_stay': ['birth_date', 'id_type', 'patient_local_key'],
    'settlement': ['birth_date', 'id_type', 'patient_local_key'],
    'notifiable_report': ['birth_date', 'id_type', 'patient_local_key', 'school_name'],
    'out_of_county_settlement': ['birth_date'],
    'case_front_page': ['age_months_text', 'receiving_institution', 'readmit31_purpose'],
    'resident': ['id_type', 'allergy_text'],
    'charge_line': ['trace_codes'],
    'staff': ['birth_date'],
} -%}
{%- set add = {'age_years': age_years('birth_date', age_at[extract])} if extract in age_at else {} -%}
{{ return({'drop': drop.get(extract, []), 'add': add}) }}
{% endmacro %}

{% macro same_key(extract, a, b) -%}
{%- for k in contract(extract).key %}{{ ' and ' if not loop.first }}{{ a }}.{{ k }} = {{ b }}.{{ k }}{% endfor -%}
{%- endmacro %}

{% macro loads_after(relation) %}
{{ return(run_query("select coalesce(max(load_id), '') from ops.watermark where relation = '" ~ relation ~ "'").columns[0].values()[0]) }}
{% endmacro %}

{% macro projected(extract, source) %}
select
    {% for name, expression in fact_columns(extract).items() -%}
    {{ expression }} as {{ name }}{{ ',' if not loop.last }}
    {% endfor -%}
from {{ source }}
{% endmacro %}

{% macro before_fact() %}
{%- set name = relation_name() -%}
{%- set extract = fact_extract() -%}
{%- set has_month = contract(extract).event is not none -%}
{%- set staging = ref('stg_' ~ extract) -%}
{%- if is_incremental() -%}
{%- set after = loads_after(name) -%}
create or replace table ops.incoming_{{ name }} as
{{ projected(extract, staging) }}
where _path > '{{ home() }}/loads/{{ after }}/~' and _load_id > '{{ after }}';

create or replace table ops.replaced_{{ name }} as
select * from {{ this }} as f where exists (select 1 from ops.incoming_{{ name }} as i where {{ same_key(extract, 'i', 'f') }});

insert into ops.changed_month
select '{{ name }}', m.month, (select coalesce(max(seq), 0) + 1 from ops.changed_month), m.first_received_at
from (
    select {{ 'month' if has_month else 'cast(null as date)' }} as month, min(_received_at) as first_received_at
    from ops.incoming_{{ name }} group by 1
    union all
    select distinct {{ 'r.month' if has_month else 'cast(null as date)' }}, i._received_at
    from ops.replaced_{{ name }} as r join ops.incoming_{{ name }} as i on {{ same_key(extract, 'i', 'r') }}
) as m;

delete from {{ this }} as f
where exists (select 1 from ops.replaced_{{ name }} as r where {{ same_key(extract, 'r', 'f') }})
{%- if has_month %}
    and f.event_date between (select min(event_date) from ops.replaced_{{ name }}) and (select max(event_date) from ops.replaced_{{ name }})
{%- endif %};

insert into ops.gone_{{ name }} select * from ops.incoming_{{ name }} where _op_type = 'D';
{%- else -%}
create or replace table ops.gone_{{ name }} as {{ projected(extract, staging) }} where _op_type = 'D';
{%- endif -%}
{% endmacro %}

{% macro after_fact() %}
{%- set name = relation_name() -%}
{%- if is_incremental() -%}
insert into ops.watermark select '{{ name }}', max(_load_id), null from ops.incoming_{{ name }} having max(_load_id) is not null
{%- else -%}
delete from ops.watermark where relation = '{{ name }}';
insert into ops.changed_month
select '{{ name }}', null, (select coalesce(max(seq), 0) + 1 from ops.changed_month), null;
insert into ops.watermark select '{{ name }}', coalesce(max(_load_id), ''), null from {{ ref('stg_' ~ fact_extract()) }}
{%- endif -%}
{% endmacro %}

{#- The body of a fact model. -#}
{% macro fact(extract) %}
{%- set c = contract(extract) -%}
{%- set staging = ref('stg_' ~ extract) -%}
{%- set names = fact_columns(extract).keys() | list -%}
{%- if is_incremental() -%}
{%- set name = relation_name() -%}
with versions as (
    select {{ names | join(', ') }} from ops.incoming_{{ name }}
    union all
    select {{ names | join(', ') }} from ops.replaced_{{ name }}
    union all
    select {{ names | join(', ') }} from ops.gone_{{ name }} as g
    where exists (select 1 from ops.incoming_{{ name }} as i where {{ same_key(extract, 'i', 'g') }})
),

ranked as (
    select *, row_number() over (partition by {{ c.key | join(', ') }} order by {{ newest_first() }}) as _version
    from versions
)

select {{ names | join(', ') }} from ranked where _version = 1 and _op_type <> 'D'
{%- else -%}
{#- Most keys have one version: only the others are sorted, found by a short hash that may name a few too many. -#}
with source as (
    {{ projected(extract, staging) }}
),

many as (
    select {{ short_hash(c.key) }} as h from source group by 1 having count(*) > 1
),

ranked as (
    select *, row_number() over (partition by {{ c.key | join(', ') }} order by {{ newest_first() }}) as _version
    from source where {{ short_hash(c.key) }} in (select h from many)
)

select {{ names | join(', ') }} from source
where {{ short_hash(c.key) }} not in (select h from many) and _op_type <> 'D'
union all
select {{ names | join(', ') }} from ranked where _version = 1 and _op_type <> 'D'
{%- endif -%}
{% endmacro %}

{#- Months that changed in the facts this model reads, as a condition on its `month` column.
`reads` of the model's meta: fact to the months (offsets) of this model that one month of the fact takes part in. -#}
{% macro pending_months() %}
{%- if not execute -%}{{ return(none) }}{%- endif -%}
{%- if not is_incremental() -%}{{ return('all') }}{%- endif -%}
{%- set name = relation_name() -%}
{%- set after = run_query("select coalesce(max(seq), -1) from ops.watermark where relation = '" ~ name ~ "'").columns[0].values()[0] -%}
{%- set parts = [] -%}
{%- for relation, offsets in model.config.meta.reads.items() -%}
  {%- for n in offsets -%}
    {%- do parts.append("select " ~ add_months('month', n) ~ " as month from ops.changed_month where relation = '" ~ relation ~ "' and seq > " ~ after) -%}
  {%- endfor -%}
{%- endfor -%}
{%- set months = run_query("select distinct month from (" ~ parts | join(' union all ') ~ ") as m order by 1 nulls first").columns[0].values() -%}
{%- if months and months[0] is none -%}{{ return('all') }}{%- endif -%}
{{ return(months | map('string') | list) }}
{% endmacro %}

{% macro in_pending(column='month') -%}
{{ in_months(pending_months(), column) }}
{%- endmacro %}

{% macro in_months(months, column='month', before=0, after=0) -%}
{%- if months is none or months == 'all' -%}
{{ column }} is not null
{%- elif not months -%}
1 = 0
{%- else -%}
{{ column }} in ({% for m in months %}{% for n in range(-before, after + 1) %}{{ add_months("date '" ~ m ~ "'", n) }}{{ ', ' if not loop.last }}{% endfor %}{{ ', ' if not loop.last }}{% endfor %})
{%- endif -%}
{%- endmacro %}

{% macro before_monthly() %}
{%- if is_incremental() -%}
delete from {{ this }} where {{ in_pending() }}
{%- endif -%}
{% endmacro %}

{% macro after_monthly() %}
{%- set name = relation_name() -%}
{%- if not is_incremental() %}delete from ops.watermark where relation = '{{ name }}';{% endif %}
insert into ops.watermark select '{{ name }}', null, coalesce(max(seq), 0) from ops.changed_month
{% endmacro %}
