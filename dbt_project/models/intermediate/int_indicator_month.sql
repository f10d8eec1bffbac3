-- Numerators and denominators by month, level and unit: measures are added up within the level first (law 7).
-- Both sides are null where one is unknown.
{{ indicator_sides(ref('int_measure_month')) }}
