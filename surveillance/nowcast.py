"""How many cases will there be once the late reports are in: nowcasts with intervals.

Lawless (1994) Can J Stat 22:15-31 (reverse-time hazards of the reporting delay); Hoehle & an der Heiden (2014)
Biometrics 70:993-1002 (Bayesian nowcast under truncation).
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Nowcast:
    """Per time (and series): ``reported`` so far, ``estimate`` (predictive median) of the final count, its interval
    ``lower`` to ``upper`` (whole cases), and ``completeness`` = share of the final count reported by now."""

    reported: np.ndarray
    estimate: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    completeness: np.ndarray


def reporting_triangle(event, report, now, max_delay: int, first=None) -> tuple[np.ndarray, np.ndarray]:
    """Counts by event day and delay as known on day ``now``.

    ``event``, ``report``: one date per case (a report before its event is refused). Returns (days, triangle): days from
    ``first`` (default: the first event) to ``now``, triangle (day, delay 0..max_delay) with NaN where the delay has not
    passed yet. Cases reported after ``now``, before ``first`` or later than ``max_delay`` are left out.
    """
    event, report = np.asarray(event, "datetime64[D]"), np.asarray(report, "datetime64[D]")
    now = np.datetime64(now, "D")
    delay = (report - event).astype(int)
    if (delay < 0).any():
        raise ValueError("a case was reported before it happened")
    known = (report <= now) & (delay <= max_delay)
    start = np.datetime64(first, "D") if first is not None else (event[known].min() if known.any() else now)
    known &= event >= start
    days = np.arange(start, now + np.timedelta64(1, "D"))
    triangle = np.zeros((len(days), max_delay + 1))
    np.add.at(triangle, ((event[known] - start).astype(int), delay[known]), 1)
    age = np.arange(len(days))[::-1]
    triangle[age[:, None] < np.arange(max_delay + 1)] = np.nan
    return days, triangle


def nowcast(
    triangle, method: str = "bayes", level: float = 0.95, *, window: int | None = None, level_days: int = 14,
    level_shape: float = 1.0, samples: int = 2000, seed: int = 0,
) -> Nowcast:
    """Final counts of every day of a reporting triangle (day, delay) or (day, delay, series), NaN = not yet known.

    Each missing cell must follow the known ones of its day. ``method`` "lawless": reported / estimated completeness with
    a normal interval (delta method; empty where nothing is reported). "bayes": hazards drawn from their Beta posterior,
    widened by the over-dispersion of past delays, and the expected number from a Gamma posterior whose prior mean is the
    level of the last ``level_days`` complete days with shape ``level_shape`` -- so that a day without any report yet still
    has an interval. ``window``: event days the delays are learnt from (None = all). Results have shape (day,) or
    (day, series); the simulation depends on ``seed`` alone. Raises ValueError for a malformed triangle or option.
    """
    n = np.asarray(triangle, float)
    if n.ndim not in (2, 3):
        raise ValueError("triangle must have shape (day, delay) or (day, delay, series)")
    if method not in ("bayes", "lawless") or not 0 < level < 1:
        raise ValueError("method must be 'bayes' or 'lawless' and level between 0 and 1")
    block = n[:, :, None] if n.ndim == 2 else n
    known = ~np.isnan(block)
    if (block < 0).any() or (np.diff(known.astype(int), axis=1) > 0).any():
        raise ValueError("counts must not be negative, and unknown delays must come last")
    rng = np.random.default_rng(seed)
    parts = [
        _lawless(block[:, :, s], level, window) if method == "lawless"
        else _bayes(block[:, :, s], level, window, level_days, level_shape, samples, rng)
        for s in range(block.shape[2])
    ]
    columns = [np.stack(values, axis=1) for values in zip(*parts, strict=True)]
    return Nowcast(*(column[:, 0] if n.ndim == 2 else column for column in columns))


def _hazard_counts(n, window):
    """Cases with delay d, and with delay <= d, among the event days for which delay d is known."""
    recent = n if window is None else n[-window:]
    known = ~np.isnan(recent)
    filled = np.where(known, recent, 0.0)
    return filled.sum(axis=0), np.where(known, np.cumsum(filled, axis=1), 0.0).sum(axis=0)


def _known_delay(n):
    """Largest known delay of every day."""
    return (~np.isnan(n)).sum(axis=1) - 1


def _lawless(n, level, window):
    hits, at_risk = _hazard_counts(n, window)
    hazard = np.divide(hits, at_risk, out=np.zeros_like(hits), where=at_risk > 0)
    cdf = np.append(np.cumprod((1 - hazard)[:0:-1])[::-1], 1.0)
    spread = np.divide(hazard, at_risk * (1 - hazard), out=np.zeros_like(hits), where=(at_risk > 0) & (hazard < 1))
    spread = np.append(np.cumsum(spread[:0:-1])[::-1], 0.0)
    delay = _known_delay(n)
    reported = np.nansum(n, axis=1)
    share = cdf[delay]
    expected = np.divide(reported, share, out=np.zeros_like(reported), where=share > 0)
    sd = np.sqrt(expected**2 * spread[delay] + expected * (1 - share) / np.where(share > 0, share, 1.0))
    z = special.ndtri((1 + level) / 2)
    lower = np.maximum(np.floor(expected - z * sd), reported)
    return reported, np.round(expected), lower, np.ceil(expected + z * sd), share


def _bayes(n, level, window, level_days, level_shape, samples, rng):
    hits, at_risk = _hazard_counts(n, window)
    delay = _known_delay(n)
    reported = np.nansum(n, axis=1)
    phi = _delay_dispersion(n, hits, at_risk)
    hazard = rng.beta((0.5 + hits) / phi, (0.5 + at_risk - hits) / phi, size=(samples, len(hits)))
    cdf = np.hstack([np.cumprod((1 - hazard)[:, :0:-1], axis=1)[:, ::-1], np.ones((samples, 1))])
    share = cdf[:, delay]
    point = np.append(np.cumprod((1 - np.divide(
        hits + 0.5, at_risk + 1))[:0:-1])[::-1], 1.0)[delay]
    estimate = (reported + level_shape) / (point + level_shape / _level(reported, point, level_days))
    # A day's own completeness scatters around the common one as a beta-binomial with dispersion phi.
    precision = np.maximum((np.maximum(estimate, 2.0) - phi) / np.maximum(phi - 1, 1e-6), 0.5)
    open_day = delay < n.shape[1] - 1
    own = np.ones_like(share)
    inner = np.clip(share[:, open_day], 1e-9, 1 - 1e-9)
    own[:, open_day] = rng.beta(inner * precision[open_day], (1 - inner) * precision[open_day])
    prior_rate = level_shape / _level(reported, point, level_days)
    intensity = rng.gamma(level_shape + reported, 1.0, size=own.shape) / (prior_rate + own)
    total = reported + rng.poisson(intensity * (1 - own))
    total = np.where(open_day, total, reported)
    tail = (1 - level) / 2
    lower, middle, upper = np.quantile(total, [tail, 0.5, 1 - tail], axis=0, method="inverted_cdf")
    return reported, middle, lower, upper, point


def _level(reported, share, level_days):
    """Mean final count of the last ``level_days`` days that are at least half complete; at least half a case."""
    usable = np.flatnonzero(share >= 0.5)[-level_days:]
    if not len(usable):
        return max(reported.sum() / max(share.sum(), 1e-9), 0.5)
    return max(reported[usable].sum() / share[usable].sum(), 0.5)


def _delay_dispersion(n, hits, at_risk):
    """Pearson dispersion, at least 1, of the delay counts around the common hazards."""
    known = ~np.isnan(n)
    exposed = np.where(known, np.cumsum(np.where(known, n, 0.0), axis=1), 0.0)[:, 1:]
    hazard = np.divide(hits, at_risk, out=np.zeros_like(hits), where=at_risk > 0)[1:]
    variance = exposed * hazard * (1 - hazard)
    used = variance > 0.05
    freedom = used.sum() - (hazard > 0).sum()
    if freedom < 10:
        return 1.0
    square = (np.where(known[:, 1:], n[:, 1:], 0.0) - exposed * hazard) ** 2
    return max(1.0, float((square[used] / variance[used]).sum() / freedom))
