{%- set relations = {} -%}
{%- for s in measures() | map(attribute='source') | unique -%}{%- do relations.update({s: ref(s)}) -%}{%- endfor -%}
-- Every measure of the catalogue: month, institution (null where it is of the county only), measure, sum.
{{ measure_rows(relations) }}
