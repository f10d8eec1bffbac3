"""Fixed thresholds and the moving percentile of the national automated-alert system.

Moving percentile: Yang et al. (2011) and the operating rules of the China Infectious Diseases Automated-alert and
Response System; its measured false-positive rate is in docs/early-warning/moving-percentile.md.
"""
from __future__ import annotations

import numpy as np

from surveillance.farrington import recent_cases, reference_rows
from surveillance.result import Detection, as_counts, as_days, as_timepoints, judge


def fixed_threshold(counts, threshold, window: int = 1, *, timepoints=None) -> Detection:
    """Alarm where the last ``window`` rows together hold at least ``threshold`` cases.

    ``counts`` (time, series), NaN = missing: it adds nothing, but a missing current row is INCOMPLETE unless the cases
    that did arrive already reach the threshold -- one case of plague is an alarm whatever else is outstanding.
    ``threshold`` is a scalar or one per series, at least 1 (1 = single-case alert). ``limit`` is the threshold less
    one case, ``score`` the cases seen, ``expected`` 0. Raises ValueError for thresholds or windows below 1.
    """
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    least = np.broadcast_to(np.asarray(threshold, float), (y.shape[1],))
    if window < 1 or not (least >= 1).all():
        raise ValueError("threshold and window must be at least 1")
    seen = recent_cases(y, points, window)
    reached = seen >= least
    observed = np.where(reached & np.isnan(y[points]), 0.0, y[points])
    limit = np.broadcast_to(least - 1, seen.shape)
    return judge(observed, points, limit, np.zeros_like(seen), seen, reached)


def single_case(counts, *, timepoints=None) -> Detection:
    """Alarm at every case: fixed_threshold with threshold 1, for the diseases whose every case is an event."""
    return fixed_threshold(counts, 1, timepoints=timepoints)


def never_seen(counts, rows_back: int, *, timepoints=None) -> Detection:
    """Alarm at a case of what had none in the ``rows_back`` rows before (new to the county, or absent for years).

    ``limit`` and ``expected`` are 0, ``score`` the cases. Fewer rows before: NOT_ENOUGH_HISTORY. Missing past counts
    are taken as no cases, which errs on the side of alarm.
    """
    if rows_back < 1:
        raise ValueError("rows_back must be at least 1")
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    before = recent_cases(y, points, rows_back + 1) - np.nan_to_num(y[points])
    enough = (points >= rows_back)[:, None]
    score = np.nan_to_num(y[points])
    zero = np.zeros_like(score)
    return judge(y[points], points, zero, zero, score, (score > 0) & (before == 0), enough=enough)


def moving_percentile(
    counts, percentile: float = 80.0, years: int = 3, half_width: int = 2, per_year: int = 52, period: int = 1,
    dates=None, timepoints=None,
) -> Detection:
    """Count of the current period against the percentile of the same and neighbouring periods of past years.

    A period is the last ``period`` rows (7 for daily data with ``per_year`` 365); its sum is compared with the sums of
    the same period and of ``half_width`` periods before and after it in each of the ``years`` past years. Alarm where
    the current sum is above zero and reaches or exceeds the percentile (linear interpolation between order
    statistics). ``limit`` is the percentile, ``expected`` the median, ``score`` the share of past periods below the
    current one, all on sums per period. Periods with a missing row are left out (the current one: INCOMPLETE); less than
    half of the periods left: NOT_ENOUGH_HISTORY. Raises ValueError for a percentile outside (0, 100).
    """
    if not 0 < percentile < 100:
        raise ValueError("percentile must lie between 0 and 100")
    if years < 1 or half_width < 0 or period < 1:
        raise ValueError("years and period must be at least 1, half_width at least 0")
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    days = None if dates is None else as_days(dates, len(y))
    sums = np.full_like(y, np.nan)
    if len(y) >= period:
        sums[period - 1 :] = np.lib.stride_tricks.sliding_window_view(y, period, axis=0).sum(axis=-1)
    past = reference_rows(points, days, len(y), per_year, years)[:, 1:, None] + period * np.arange(-half_width, half_width + 1)
    known = reference_rows(points, days, len(y), per_year, years)[:, 1:, None] >= 0
    rows = np.where(known & (past >= 0), past, -1).reshape(len(points), -1)
    observed = sums[points]
    observed[np.isnan(y[points])] = np.nan
    limit, expected, score = (np.full(observed.shape, np.nan) for _ in range(3))
    for at in range(len(points)):  # one timepoint at a time: a window is a few dozen rows of all series
        window = np.where((rows[at] >= 0)[:, None], sums[rows[at]], np.nan)
        number = (~np.isnan(window)).sum(axis=0)
        usable = 2 * number >= rows.shape[1]
        if usable.any():
            limit[at, usable], expected[at, usable] = np.nanpercentile(window[:, usable], [percentile, 50], axis=0)
            score[at, usable] = (window[:, usable] < observed[at, usable]).sum(axis=0) / number[usable]
    return judge(observed, points, limit, expected, score, (observed >= limit) & (observed > 0))
