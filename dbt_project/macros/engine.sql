{#- What engines say differently. Models use these words only; a second engine adds its own `<engine>__` macros here. -#}

{#- Interpolated percentile of amounts: in decimals fine enough to be exact, as an engine may round to the column's scale. -#}
{% macro money_percentile(column, p) %}{{ return(percentile('cast(' ~ column ~ ' as decimal(18, 6))', p)) }}{% endmacro %}

{% macro percentile(column, p) %}{{ return(adapter.dispatch('percentile')(column, p)) }}{% endmacro %}
{% macro duckdb__percentile(column, p) %}quantile_cont({{ column }}, {{ p }}){% endmacro %}
{% macro spark__percentile(column, p) %}percentile({{ column }}, {{ p }}){% endmacro %}

{% macro month_of(column) %}{{ return(adapter.dispatch('month_of')(column)) }}{% endmacro %}
{% macro duckdb__month_of(column) %}cast(date_trunc('month', {{ column }}) as date){% endmacro %}
{% macro spark__month_of(column) %}cast(date_trunc('month', {{ column }}) as date){% endmacro %}

{% macro add_months(column, n) %}{{ return(adapter.dispatch('add_months')(column, n)) }}{% endmacro %}
{% macro duckdb__add_months(column, n) %}cast({{ column }} + to_months({{ n }}) as date){% endmacro %}
{% macro spark__add_months(column, n) %}add_months({{ column }}, {{ n }}){% endmacro %}

{% macro add_days(column, n) %}{{ return(adapter.dispatch('add_days')(column, n)) }}{% endmacro %}
{% macro duckdb__add_days(column, n) %}cast({{ column }} + to_days({{ n }}) as date){% endmacro %}
{% macro spark__add_days(column, n) %}date_add({{ column }}, {{ n }}){% endmacro %}

{% macro seconds_between(start, stop) %}{{ return(adapter.dispatch('seconds_between')(start, stop)) }}{% endmacro %}
{% macro duckdb__seconds_between(start, stop) %}date_diff('second', {{ start }}, {{ stop }}){% endmacro %}
{% macro spark__seconds_between(start, stop) %}timestampdiff(second, {{ start }}, {{ stop }}){% endmacro %}

{#- Completed years between a birth date and a day. -#}
{% macro age_years(birth, day) %}{{ return(adapter.dispatch('age_years')(birth, day)) }}{% endmacro %}
{% macro duckdb__age_years(birth, day) %}cast(date_sub('year', {{ birth }}, cast({{ day }} as date)) as integer){% endmacro %}
{% macro spark__age_years(birth, day) %}cast(floor(months_between({{ day }}, {{ birth }}) / 12) as int){% endmacro %}

{#- ISO weekday: Monday 1 to Sunday 7. -#}
{% macro weekday(column) %}{{ return(adapter.dispatch('weekday')(column)) }}{% endmacro %}
{% macro duckdb__weekday(column) %}isodow({{ column }}){% endmacro %}
{% macro spark__weekday(column) %}(weekday({{ column }}) + 1){% endmacro %}

{% macro iso_week(column) %}{{ return(adapter.dispatch('iso_week')(column)) }}{% endmacro %}
{% macro duckdb__iso_week(column) %}weekofyear({{ column }}){% endmacro %}
{% macro spark__iso_week(column) %}weekofyear({{ column }}){% endmacro %}

{#- A relation of one column `day` from first to last, both included. -#}
{% macro day_series(first, last) %}{{ return(adapter.dispatch('day_series')(first, last)) }}{% endmacro %}
{% macro duckdb__day_series(first, last) %}
(select cast(d as date) as day from (select unnest(generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval 1 day)) as d))
{% endmacro %}
{% macro spark__day_series(first, last) %}
(select explode(sequence(cast({{ first }} as date), cast({{ last }} as date), interval 1 day)) as day)
{% endmacro %}

{#- A short number of the columns; equal rows have equal numbers, and an unequal pair may share one. -#}
{% macro short_hash(columns) %}{{ return(adapter.dispatch('short_hash')(columns)) }}{% endmacro %}
{% macro duckdb__short_hash(columns) %}hash({{ columns | join(', ') }}){% endmacro %}
{% macro spark__short_hash(columns) %}xxhash64({{ columns | join(', ') }}){% endmacro %}

{#- Parquet files by pattern, with the file's path as `_path`. A condition on it must keep the other files unopened: DuckDB
1.5 does so for its own column `filename`, not for one that read_parquet is told to name otherwise. -#}
{% macro read_parquet_files(pattern) %}{{ return(adapter.dispatch('read_parquet_files')(pattern)) }}{% endmacro %}
{% macro duckdb__read_parquet_files(pattern) %}(select *, filename as _path from read_parquet('{{ pattern }}', filename = true)) as files{% endmacro %}

{% macro any_file(pattern) %}{{ return(adapter.dispatch('any_file')(pattern)) }}{% endmacro %}
{% macro duckdb__any_file(pattern) %}
    {% do return(run_query("select count(*) from glob('" ~ pattern ~ "')").columns[0].values()[0] > 0) %}
{% endmacro %}

{#- The tables in which the incremental models keep what they must know of each other. -#}
{% macro create_ops() %}
create schema if not exists ops;
create table if not exists ops.watermark (relation varchar, load_id varchar, seq bigint);
create table if not exists ops.changed_month (relation varchar, month date, seq bigint, first_received_at timestamp);
{% endmacro %}

{% macro star_without(columns) %}{{ return(adapter.dispatch('star_without')(columns)) }}{% endmacro %}
{% macro duckdb__star_without(columns) %}* exclude ({{ columns | join(', ') }}){% endmacro %}
{% macro spark__star_without(columns) %}* except ({{ columns | join(', ') }}){% endmacro %}

{#- Largest and smallest of the columns that are not null. -#}
{% macro greatest_of(columns) %}{{ return(adapter.dispatch('greatest_of')(columns)) }}{% endmacro %}
{% macro duckdb__greatest_of(columns) %}greatest({{ columns | join(', ') }}){% endmacro %}
{% macro spark__greatest_of(columns) %}greatest({{ columns | join(', ') }}){% endmacro %}
{% macro least_of(columns) %}{{ return(adapter.dispatch('least_of')(columns)) }}{% endmacro %}
{% macro duckdb__least_of(columns) %}least({{ columns | join(', ') }}){% endmacro %}
{% macro spark__least_of(columns) %}least({{ columns | join(', ') }}){% endmacro %}

{% macro percentile_disc(column, p) %}{{ return(adapter.dispatch('percentile_disc')(column, p)) }}{% endmacro %}
{% macro duckdb__percentile_disc(column, p) %}quantile_disc({{ column }}, {{ p }}){% endmacro %}
{% macro spark__percentile_disc(column, p) %}percentile_disc({{ p }}) within group (order by {{ column }}){% endmacro %}
