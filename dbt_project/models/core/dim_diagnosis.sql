-- Three-character disease groups with their chapter.
select
    g.disease_code,
    g.disease_zh,
    coalesce(g.disease_en, g.disease_code || ' (' || coalesce(c.chapter_en, 'unknown chapter') || ')') as disease_en,
    c.chapter_code,
    c.chapter_zh,
    c.chapter_en
from {{ ref('icd10_group') }} as g
left join {{ ref('icd10_chapter') }} as c on g.disease_code between c.code_from and c.code_to
