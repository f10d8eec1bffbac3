{#- Reading the home's loads. A load is one directory that exists wholly or not at all. -#}

{% macro home() %}{{ return(env_var('XIANJIAN_HOME', '.xianjian')) }}{% endmacro %}

{% macro typed_nothing(columns) %}
select
    {% for name, type in columns.items() -%}
    cast(null as {{ type }}) as {{ name }},
    {% endfor -%}
    cast(null as varchar) as _path
where 1 = 0
{% endmacro %}

{#- Every staged row of an extract that was received by the as-of time, in the contract's own types. -#}
{% macro staged(extract) %}
{%- set columns = contract(extract).columns -%}
{%- set pattern = home() ~ '/loads/L*/staged/' ~ extract ~ '-*.parquet' -%}
{%- if execute and not any_file(pattern) -%}
{{ typed_nothing(columns) }}
{%- else -%}
select
    {% for name in columns -%}
    {{ name }},
    {% endfor -%}
    _path
from {{ read_parquet_files(pattern) }}
where _received_at <= timestamp '{{ var("as_of") }}'
{%- endif -%}
{% endmacro %}

{#- Every row of one of the ledger's files; `columns` are used when no load has one yet. -#}
{% macro ledger(name, columns, received='received_at') %}
{%- set pattern = home() ~ '/' ~ ('runs/*.parquet' if name == 'run_stages' else 'loads/L*/' ~ name ~ '.parquet') -%}
{%- if execute and not any_file(pattern) -%}
{{ typed_nothing(columns) }}
{%- else -%}
select
    {% for column, type in columns.items() -%}
    cast({{ column }} as {{ type }}) as {{ column }},
    {% endfor -%}
    _path
from {{ read_parquet_files(pattern) }}
{%- endif -%}
{% endmacro %}
