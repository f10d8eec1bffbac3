{{ config(meta={'reads': {'fct_settlement': [0]}}) }}
-- Valid settlements by month, institution, care and payer.
{{ settlement_sums('(select * from ' ~ ref('fct_settlement') ~ ' where ' ~ in_pending() ~ ')') }}
