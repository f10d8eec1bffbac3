-- Numerators and denominators by month, level and unit: measures are added up within the level first (law 7).
-- A side is null where one of its measures is.
{{ indicator_sides(ref('int_measure_month')) }}
