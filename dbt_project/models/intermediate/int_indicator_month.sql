-- Numerators and denominators by month, level and unit: measures are added up within the level first (law 7).
-- A unit has a row where both sides are known.
{{ indicator_sides(ref('int_measure_month')) }}
