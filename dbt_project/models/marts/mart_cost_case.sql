with final as (
    select
        c.*, 'institution' as level, {{ unit_columns() }}, d.dept_name, d.std_dept_code, d.std_dept_zh, d.std_dept_en,
        coalesce(g.disease_zh, c.disease_code) as disease_zh, coalesce(g.disease_en, c.disease_code) as disease_en,
        g.chapter_code, g.chapter_zh, g.chapter_en, p.payer_zh, p.payer_en, x.label_zh as sex_zh, x.label_en as sex_en
    from {{ ref('int_case') }} as c
    {{ join_unit('c') }}
    {{ join_label('sex', 'c.sex_code', 'x') }}
    left join {{ ref('dim_department') }} as d on d.institution_code = c.institution_code and d.dept_code = c.dept_code
    left join {{ ref('dim_diagnosis') }} as g on g.disease_code = c.disease_code
    left join {{ ref('dim_payer') }} as p on p.payer_code = c.payer_code
)

{{ conform('final') }}
