"""The house detector: adjacent weeks judged together against a long robust baseline, and its joint form.

A single week tested with perfect knowledge of the baseline finds hardly more than Farrington flexible; what is left to
gain lies in adjacent weeks, places and streams (measured in docs/early-warning/pooled.md). Evidence for an outbreak is
the log likelihood ratio of a small mixture of outbreaks -- begun this week, last week or the week before, of several
sizes -- averaged with the smaller of the one-week and two-week tail probabilities.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from surveillance.distributions import count_quantile, count_tail
from surveillance.glm import fit_design
from surveillance.result import Detection, as_counts, as_days, as_timepoints, judge

CHUNK = 120_000
OUTLIER = 2.58          # standardised Anscombe residual above which a past week is weighted down (Noufaily 2013)
WORST_FACTOR = 3.0      # past weeks are cut at this multiple of the series' 98th percentile (plus ten cases)
RIDGE = 1e-3            # prior precision of seasonal, trend and covariate effects: a prior deviation of 30 on the log scale
SIZES = (1, 2, 3, 5, 8)  # outbreak sizes considered, in deviations of a week's count
SPREAD = (0.5, 0.42, 0.07)  # shares of an outbreak's cases in its first, second and third week
BEGUN = (3.0, 2.0, 0.5)     # weights of outbreaks that began this week, last week, the week before
LAGS = len(SPREAD)
LOG_WEIGHTS = np.log(np.repeat(BEGUN, len(SIZES)))[:, None, None]
# Chances that a stream of the place, or of a neighbour, shows an outbreak at this strength (0 = not at all).
OWN = ((0.5, 1.0), (0.3, 0.5), (0.2, 0.0))
NEAR = ((0.3, 0.5), (0.3, 0.25), (0.4, 0.0))
ALONE_ERROR = 0.05  # a larger share for single series costs the joint detector outbreaks (measured: half as many again)
PREDICTIVE = ((-np.sqrt(3), 1 / 6), (0.0, 2 / 3), (np.sqrt(3), 1 / 6))  # three-point normal quadrature
# From raw evidence to -log of the false-positive rate, fitted once between 5 % and 0.1 % on the 42 scenarios
# (seeds 77 and 5150; checked on fresh ones in docs/early-warning/pooled.md).
TAIL_SCALE = (0.872, 0.283)
RATIO_SCALE = (1.326, -2.727)
FINAL_SCALE = (1.04, -0.11)
ONE_WEEK_SCALE = (0.92, 0.51)


@dataclass(frozen=True)
class Baseline:
    """In-control ``mean`` (lag, timepoint, series) of the judged row (lag 0) and the LAGS - 1 rows before it; their
    ``dispersion`` and the standard ``error`` of the log mean (timepoint, series). NaN where nothing could be fitted."""

    mean: np.ndarray
    dispersion: np.ndarray
    error: np.ndarray


def pooled(
    counts, alpha: float = 0.01, *, per_year: int = 52, years: int = 10, min_years: int = 2, guard: int = 10,
    harmonics: int = 2, refit: int = 4, covariates=None, one_week: bool = False, dates=None, timepoints=None,
) -> Detection:
    """Pooled detector on ``counts`` (time, series), NaN = missing.

    Baseline: quasi-Poisson regression with ``harmonics`` and, from three years on, a trend, on up to ``years`` years that
    end ``guard`` rows before the judged row (refitted every ``refit`` rows), past outliers weighted down, plus any
    ``covariates`` (time, q) such as holidays or weekdays. With ``dates`` the season follows the calendar, so 53-week
    years keep it; ``per_year`` is the number of rows per year. ``one_week`` judges the current row alone (earlier by a
    little, finds less).

    ``score`` is -log of the approximate false-positive rate, ``p_value`` = exp(-score); alarm where it is below ``alpha``
    and the count exceeds its expectation. ``limit`` is the largest count that would not alarm by the current row alone.
    ``dispersion`` is given. Fewer than ``min_years`` of baseline: NOT_ENOUGH_HISTORY. A missing previous count is
    replaced by its expectation. Raises ValueError for senseless options.
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    base = fit_baseline(y, points, per_year, years, min_years, guard, harmonics, refit, covariates, dates)
    rows = recent_rows(y, points, base)
    score = one_week_score(rows, base) if one_week else pooled_score(rows, base)
    score = np.where(rows[0] > base.mean[0], score, 0.0)
    score = np.where(np.isnan(base.mean[0]), np.nan, score)
    p_value = np.exp(-score)
    return judge(
        y[points], points, _single_limit(alpha, base), base.mean[0], score, p_value < alpha, p_value=p_value,
        dispersion=base.dispersion,
    )


def pooled_streams(
    counts, place, neighbours, alpha: float = 0.01, *, per_year: int = 52, years: int = 10, min_years: int = 2,
    guard: int = 10, harmonics: int = 2, refit: int = 4, covariates=None, dates=None, timepoints=None,
) -> Detection:
    """Joint detector: all streams of a place, and those of its neighbours, asked about the same outbreak.

    ``counts`` (time, series); ``place`` (series,) says which place 0..P-1 a series belongs to; ``neighbours`` (P, P) is
    true where two places are adjacent. Baselines as in pooled, one per series. For each outbreak considered (start and
    size) the likelihood ratios of the place's series are multiplied, each allowing for a stream that shows it fully, by
    half or not at all, and those of neighbours by half, a quarter or not at all (OWN, NEAR).

    A place is also judged by the strongest of its own series, so that what a single stream shows alone is not averaged
    away; that way is given ALONE_ERROR of the error, the joint one the rest (Bonferroni).

    Returns a Detection of shape (timepoint, place): ``p_value`` = min(1, exp(-score)) bounds the false-positive rate,
    since the likelihood ratio of a mixture has expectation 1 without outbreak (Markov); alarms at ``alpha`` are thus on
    the safe side, and the threshold for a given alarm budget comes from a back-test of ``score``.
    ``expected`` is the sum over the place's series, ``limit`` the sum of its one-row limits. A missing series adds no
    evidence; a place without any judged series is INCOMPLETE or NOT_ENOUGH_HISTORY.
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")
    y = as_counts(counts)
    index = np.asarray(place)
    near = np.asarray(neighbours, dtype=bool)
    if index.shape != (y.shape[1],) or near.ndim != 2 or near.shape[0] != near.shape[1] or index.max() >= len(near):
        raise ValueError("place needs one entry per series, neighbours one row and column per place")
    points = as_timepoints(timepoints, len(y))
    base = fit_baseline(y, points, per_year, years, min_years, guard, harmonics, refit, covariates, dates)
    rows = recent_rows(y, points, base)
    judged = ~np.isnan(base.mean[0]) & ~np.isnan(y[points])
    member = np.eye(len(near))[index]
    own = _any_strength(rows, base, OWN, judged) @ member
    beside = _any_strength(rows, base, NEAR, judged) @ member @ (near & ~np.eye(len(near), dtype=bool))
    joint = special.logsumexp(own + beside + LOG_WEIGHTS - np.log(np.exp(LOG_WEIGHTS).sum()), axis=0)
    alone = np.where(judged & (rows[0] > base.mean[0]), pooled_score(rows, base), 0.0)
    strongest = np.stack([alone[:, index == p].max(axis=1, initial=0.0) for p in range(len(near))], axis=1)
    alone_share = ALONE_ERROR / np.maximum(member.sum(axis=0), 1)
    score = np.maximum(joint + np.log(1 - ALONE_ERROR), strongest + np.log(alone_share))
    totals = [np.where(judged, values, 0.0) @ member for values in (y[points], base.mean[0], _single_limit(alpha, base))]
    seen = judged.astype(float) @ member > 0
    arrived = (~np.isnan(y[points])).astype(float) @ member > 0
    observed = np.where(arrived, totals[0], np.nan)
    score = np.where(totals[0] > totals[1], score, np.minimum(score, 0.0))
    p_value = np.where(seen, np.exp(-np.maximum(score, 0.0)), np.nan)
    return judge(observed, points, totals[2], totals[1], score, p_value < alpha, enough=seen, p_value=p_value)


def _any_strength(rows, base, chances, judged):
    """Log of the likelihood ratio averaged over the strengths a series may show an outbreak with; 0 where not judged."""
    mixed = None
    for chance, strength in chances:
        ratio = np.where(judged, log_ratios(rows, base, strength), 0.0) if strength > 0 else 0.0
        mixed = np.log(chance) + ratio if mixed is None else np.logaddexp(mixed, np.log(chance) + ratio)
    return mixed


def recent_rows(y: np.ndarray, points: np.ndarray, base: Baseline) -> np.ndarray:
    """Counts (lag, timepoint, series) of the judged row and those before; a missing one counts as expected."""
    rows = np.stack([y[np.maximum(points - lag, 0)] for lag in range(LAGS)])
    return np.where(np.isnan(rows), np.nan_to_num(base.mean), rows)


def one_week_score(rows: np.ndarray, base: Baseline) -> np.ndarray:
    """-log of the false-positive rate of the current row alone, (timepoint, series)."""
    return _scaled(_surprise(rows[0], base.mean[0], base), ONE_WEEK_SCALE)


def pooled_score(rows: np.ndarray, base: Baseline) -> np.ndarray:
    """-log of the false-positive rate of adjacent rows judged together, (timepoint, series)."""
    single = _surprise(rows[0], base.mean[0], base)
    double = _surprise(rows[0] + rows[1], base.mean[0] + base.mean[1], base) - 0.15  # a slight preference for earliness
    tails = _scaled(np.maximum(single, double), TAIL_SCALE)
    ratio = _scaled(special.logsumexp(log_ratios(rows, base) + LOG_WEIGHTS, axis=0), RATIO_SCALE)
    return _scaled((tails + ratio) / 2, FINAL_SCALE)


def _scaled(value, scale):
    return np.maximum(scale[0] * value + scale[1], 0.0)


def _surprise(count, mean, base):
    """-log P(X >= count) with the uncertainty of the mean averaged over (a predictive tail)."""
    tail = sum(w * count_tail(count, mean * np.exp(e * base.error), base.dispersion) for e, w in PREDICTIVE)
    return -np.log(np.maximum(tail, 1e-300))


def log_ratios(rows: np.ndarray, base: Baseline, strength: float = 1.0) -> np.ndarray:
    """Log likelihood ratios of every outbreak considered against none, (start x size, timepoint, series).

    An outbreak of k deviations adds SPREAD x k deviations to the rows since its start. ``strength`` scales all sizes (a
    neighbour or a weaker stream sees a part of the outbreak).
    """
    mean = base.mean * np.exp(base.error**2 / 2)
    variance = (base.dispersion + base.mean[0] * base.error**2) * mean
    # Beyond the largest outbreak considered a count says no more than at it: else its thin tail would speak against one.
    rows = np.minimum(rows, mean + SIZES[-1] * SPREAD[0] * np.sqrt(variance))
    quiet = [_log_pmf(rows[lag], mean[lag], variance[lag]) for lag in range(LAGS)]
    ratios = []
    for start in range(LAGS):
        for size in SIZES:
            total = np.zeros(mean.shape[1:])
            for lag in range(start + 1):
                extra = size * strength * SPREAD[start - lag] * np.sqrt(variance[lag])
                total += _log_pmf(rows[lag], mean[lag] + extra, variance[lag] + extra) - quiet[lag]
            ratios.append(total)
    return np.stack(ratios)


def _log_pmf(y, mean, variance):
    """Log probability of a negative binomial, without its y! term, which cancels; variance at least the mean."""
    excess = np.maximum(variance / mean - 1, 1e-6)
    size = mean / excess
    return special.gammaln(y + size) - special.gammaln(size) - size * np.log1p(excess) + y * np.log(excess / (1 + excess))


def _single_limit(alpha, base):
    """Count whose one-row evidence just reaches alpha, at the predictive mean and variance."""
    tail = alpha ** (1 / ONE_WEEK_SCALE[0]) * np.exp(ONE_WEEK_SCALE[1] / ONE_WEEK_SCALE[0])
    mean = base.mean[0] * np.exp(base.error**2 / 2)
    return count_quantile(1 - min(tail, 0.5), mean, base.dispersion + base.mean[0] * base.error**2)


def fit_baseline(
    y, points, per_year=52, years=10, min_years=2, guard=10, harmonics=2, refit=4, covariates=None, dates=None,
) -> Baseline:
    """In-control mean and dispersion for every timepoint and series (arguments as in pooled)."""
    if min(years, min_years, refit, per_year) < 1 or guard < 0 or harmonics < 0 or min_years > years:
        raise ValueError("years, min_years, refit, per_year must be at least 1 (min_years at most years), guard at least 0")
    design = _design(len(y), per_year, harmonics, dates, covariates)
    shape = (len(points), y.shape[1])
    out = Baseline(np.full((LAGS, *shape), np.nan), np.full(shape, np.nan), np.full(shape, np.nan))
    anchors = points - points % refit
    for anchor in np.unique(anchors):
        stop = anchor - guard
        start = max(0, stop - years * per_year)
        if stop - start < min_years * per_year:
            continue
        at = np.flatnonzero(anchors == anchor)
        columns = np.ones(design.shape[1], dtype=bool)
        columns[1] = stop - start >= 3 * per_year
        used = design[:, columns].copy()
        if columns[1]:
            used[:, 1] -= design[stop, 1]  # the trend counts from here, so that nothing later can touch the past
        size = max(1, CHUNK // (stop - start))
        for begin in range(0, y.shape[1], size):
            series = slice(begin, begin + size)
            past = y[start:stop, series].T
            judged = np.stack([used[np.maximum(points[at] - lag, 0)] for lag in range(LAGS)])
            _fill(out, at, series, past, used[start:stop], judged)
    return out


def _design(length, per_year, harmonics, dates, covariates):
    """Columns: level, trend per five years, harmonics, covariates."""
    if dates is None:
        phase = np.arange(length) / per_year
    else:
        phase = as_days(dates, length).astype("datetime64[D]").astype(float) / 365.2425
    angle = 2 * np.pi * np.outer(phase, np.arange(1, harmonics + 1))
    columns = [np.ones(length), phase / 5, np.cos(angle), np.sin(angle)]
    if covariates is not None:
        extra = np.asarray(covariates, float).reshape(length, -1)
        if not np.isfinite(extra).all():
            raise ValueError("covariates must be finite")
        columns.append(extra)
    return np.column_stack(columns)


def _fill(out, at, series, past, design, judged):
    """Fit one batch of series and write its predictions for the timepoints ``at``; judged is (lag, timepoint, column)."""
    present = ~np.isnan(past)
    counts, weights = np.where(present, past, 0.0), present.astype(float)
    observed = present.sum(axis=1)
    ridge = np.append(0.0, np.full(design.shape[1] - 1, RIDGE))
    enough = observed >= np.maximum(2 * design.shape[1], present.shape[1] / 2)
    if not enough.any():
        return
    counts, weights, observed = counts[enough], weights[enough], observed[enough]
    # One impossible week must not become the baseline: no past count weighs more than a few times the usual worst.
    rank = np.floor(0.98 * (observed - 1)).astype(int)  # missing counts sort last
    worst = np.take_along_axis(np.sort(past[enough], axis=1), rank[:, None], axis=1)
    counts = np.minimum(counts, WORST_FACTOR * worst + 10)
    freedom = observed - design.shape[1]
    fit = fit_design(counts, weights, design, ridge=ridge)
    phi = _pearson(counts, weights, fit.mean, freedom)
    residual = 1.5 * (np.cbrt(counts) ** 2 / fit.mean ** (1 / 6) - np.sqrt(fit.mean)) / np.sqrt(phi)[:, None]
    weights = weights / np.maximum(np.where(residual > OUTLIER, residual, 1.0), 1.0) ** 2
    weights *= (observed / weights.sum(axis=1))[:, None]
    fit = fit_design(counts, weights, design, start=fit.mean, ridge=ridge)
    phi = _pearson(counts, weights, fit.mean, freedom)
    least = 0.5 / observed  # never having seen a case is not proof that there is none to come
    with np.errstate(over="ignore"):  # an expectation beyond all numbers is reported as none
        mean = np.maximum(np.exp(judged @ fit.coefficients.T), least)
    variance = phi * np.einsum("ti,pij,tj->tp", judged[0], fit.covariance, judged[0])
    known = fit.converged & np.isfinite(mean).all(axis=0)
    columns = np.arange(out.dispersion.shape[1])[series][enough]
    cells = np.ix_(at, columns)
    out.mean[(slice(None), *cells)] = np.where(known, mean, np.nan)
    out.error[cells] = np.where(known, np.sqrt(np.minimum(variance, 1.0)), np.nan)
    out.dispersion[cells] = np.where(known, phi, np.nan)


def _pearson(counts, weights, mean, freedom):
    return np.maximum(np.einsum("ij,ij->i", weights, (counts - mean) ** 2 / mean) / freedom, 1.0)
