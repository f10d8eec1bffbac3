{% test unique_combination(model, columns) %}
{#- No two rows share the columns; null counts as a value. -#}
select {{ columns | join(', ') }}, count(*) as n
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{% test accepted_range(model, column_name, low=none, high=none) %}
select {{ column_name }} from {{ model }}
where {% if low is not none %}{{ column_name }} < {{ low }}{% else %}1 = 0{% endif %}
    or {% if high is not none %}{{ column_name }} > {{ high }}{% else %}1 = 0{% endif %}
{% endtest %}

{% test expression_is_true(model, expression) %}
{#- The expression holds in every row; null counts as true. -#}
select * from {{ model }} where not ({{ expression }})
{% endtest %}

{% test sums_to(model, column_name, total, by) %}
{#- Within each group of `by` the column adds up exactly to `total`, which is the same in all its rows. -#}
select {{ by | join(', ') }}, sum({{ column_name }}) as parts, max({{ total }}) as total
from {{ model }}
group by {{ by | join(', ') }}
having sum({{ column_name }}) <> max({{ total }}) or min({{ total }}) <> max({{ total }})
{% endtest %}

{% test levels_agree(model, column_name, by) %}
{#- The county rows of each group of `by` add up to its institution rows. -#}
select {{ by | join(', ') }}
from {{ model }}
group by {{ by | join(', ') }}
having sum(case when level = 'institution' then {{ column_name }} end)
    <> sum(case when level = 'county' then {{ column_name }} end)
{% endtest %}

{% test unique_in_newest_load(model, columns) %}
{#- No row of the newest load shares the columns with another row. Only a load can bring a doubled key, so a night's test
costs one look for the night's keys, not a sort of the whole history. -#}
with newest as (
    select distinct {{ columns | join(', ') }} from {{ model }} where _load_id = (select max(_load_id) from {{ model }})
)

select {{ columns | join(', ') }}, count(*) as n
from {{ model }} as m
where exists (
    select 1 from newest as w
    where {% for c in columns %}w.{{ c }} = m.{{ c }}{{ ' and ' if not loop.last }}{% endfor %}
)
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
