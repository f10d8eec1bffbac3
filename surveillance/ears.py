"""EARS C1, C2 and C3: a week against the few weeks just before it.

Hutwagner, Thompson, Seeman & Treadwell (2003) J Urban Health 80:i89-i96; limits as in Salmon, Schumacher & Hoehle
(2016) J Stat Softw 70(10), eqs. 1-3.
"""
from __future__ import annotations

import numpy as np
from scipy import special

from surveillance.baseline import LARGEST_SCORE, moments, standardised
from surveillance.result import Detection, as_counts, as_timepoints, judge

LAG = {"C1": 0, "C2": 2, "C3": 2}
ALPHA = {"C1": 0.001, "C2": 0.001, "C3": 0.025}


def ears(
    counts, method: str = "C1", baseline: int = 7, *, alpha: float | None = None, min_sigma: float = 0.0,
    timepoints=None,
) -> Detection:
    """EARS on ``counts`` (time, series): mean + z x deviation of the ``baseline`` counts before (C1) or two earlier.

    C3 adds up by how much the two timepoints before exceeded their C2 mean, beyond one deviation each, and alarms
    where that sum exceeds z; as implemented, the current count enters only as the origin of the limit.
    ``alpha`` defaults to 0.001 (C1, C2) and 0.025 (C3); ``min_sigma`` is the least deviation. ``score`` is the
    standardised excess (C1, C2) or the accumulated C3 statistic. Missing baseline counts are left out; fewer than two
    leave no deviation: NOT_ENOUGH_HISTORY, as does a C3 that divides zero by zero because the baseline was constant
    (give a ``min_sigma``, CDC practice is 0.5, and it is always defined).
    Raises ValueError for an unknown method, a baseline below 2 or alpha outside (0, 1).
    """
    if method not in LAG:
        raise ValueError(f"unknown EARS method {method!r}; choose C1, C2 or C3")
    if baseline < 2:
        raise ValueError("baseline needs at least two timepoints")
    alpha = ALPHA[method] if alpha is None else alpha
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    z = -special.ndtri(alpha)
    observed = y[points]
    mean, sd = _recent(y, points, baseline, LAG[method], min_sigma)
    if method != "C3":
        limit = mean + z * sd
        return judge(observed, points, limit, mean, standardised(observed, mean, sd), observed > limit)
    total = np.zeros_like(mean)
    for back in (1, 2):
        rows = points - back
        there = np.maximum(rows, 0)
        before, deviation = _recent(y, there, baseline, 2, min_sigma)
        c2 = standardised(y[there], before, deviation)
        undefined = (deviation == 0) & (y[there] == before)  # 0 / 0 in the definition: nothing to go by
        c2[undefined | (rows < 0)[:, None]] = np.nan
        total += np.where(np.isnan(y[there]), 0.0, np.maximum(c2 - 1, 0))
    limit = np.maximum(observed + sd * (z - total), 0.0)
    limit[(sd == 0) & (total > LARGEST_SCORE / 10)] = np.nan  # 0 x infinity in the definition
    return judge(observed, points, limit, mean, total, observed > limit)


def _recent(y, points, baseline, lag, min_sigma):
    rows = points[:, None] - lag - np.arange(1, baseline + 1)
    _, mean, sd = moments(y, rows)
    sd = np.maximum(sd, min_sigma)
    short = rows.min(axis=1) < 0
    mean[short] = np.nan
    return mean, sd
