"""Farrington's regression detector: the classic method and its flexible extension.

Farrington, Andrews, Beale & Catchpole (1996) J R Stat Soc A 159:547-563; Noufaily et al. (2013) Stat Med
32:1206-1222. Both are exact counterparts of the common R implementation, including the places where that departs
from the papers (marked "as implemented" below), so that results can be compared digit by digit.
"""
from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from surveillance.distributions import count_quantile, count_tail
from surveillance.glm import GroupFit, fit_groups
from surveillance.result import Detection, as_counts, as_days, as_timepoints, judge

POWER = {"2/3": 2 / 3, "1/2": 1 / 2, "none": 1.0}
CHUNK = 120_000  # observations fitted together: a few arrays of this size stay in the processor's cache


@dataclass(frozen=True)
class Layout:
    """Baseline of one timepoint, relative to it: row offsets, seasonal group (last = same season), time."""

    rows: np.ndarray
    group: np.ndarray
    time: np.ndarray


@dataclass(frozen=True)
class Rule:
    """How a baseline is fitted; ``flexible`` chooses how the standard errors are formed (see _fit)."""

    groups: int
    trend: bool
    p_threshold: float
    reweight: bool
    weights_threshold: float
    flexible: bool


def farrington_flexible(
    counts,
    weeks_per_year: int = 52,
    b: int = 5,
    w: int = 3,
    no_periods: int = 1,
    past_weeks_not_included: int | None = None,
    weights_threshold: float = 2.58,
    p_threshold_trend: float = 0.05,
    alpha: float = 0.05,
    threshold_method: str = "delta",
    limit54: tuple[int, int] = (5, 4),
    dates=None,
    timepoints=None,
    *,
    reweight: bool = True,
    trend: bool = True,
    power_transform: str = "2/3",
    population=None,
) -> Detection:
    """Flexible Farrington: quasi-Poisson regression on the same season of past years, outliers weighted down.

    Parameters: ``counts`` (time, series), NaN = missing; ``weeks_per_year`` time units per year (52 weeks, 12 months);
    ``b`` years back, ``w`` half window, ``no_periods`` levels of the seasonal factor (1 = only the windows are
    used), ``past_weeks_not_included`` most recent weeks left out (None = w); baseline counts with a standardised
    Anscombe residual above ``weights_threshold`` are weighted by its inverse square (``reweight``); a trend is kept
    if b >= 3, its p-value is below ``p_threshold_trend`` and the expectation does not exceed every baseline count;
    ``threshold_method`` is "delta" (interval after ``power_transform`` "2/3", "1/2" or "none"; Farrington 1996 eq. 5),
    "nbPlugin" or "muan" (negative-binomial quantile at the mean, or at its upper limit; Noufaily 2013 sec. 3.4), all
    one-sided at ``alpha``; fewer than limit54[0] cases in the last limit54[1] weeks: state TOO_FEW_CASES.
    With ``dates`` (one per row) the reference of a week is the same date in earlier years moved to the nearest same
    weekday, so years of 53 weeks keep their season. ``population`` (time, series) enters as a log offset.

    Defaults are those of the R implementation; Noufaily et al. recommend no_periods=10, past_weeks_not_included=26,
    p_threshold_trend=1, alpha=0.01 and "nbPlugin" or "muan".

    Returns a Detection; ``score`` is the exceedance score (y - expected)/(limit - expected), an alarm if above 1
    (as implemented, for nbPlugin and muan the prediction enters it on the log scale); with ``p_value`` of the count,
    ``dispersion`` (at least 1) and ``trend``. Raises ValueError for options or dates that make no sense.
    """
    if threshold_method not in ("delta", "nbPlugin", "muan"):
        raise ValueError(f"unknown threshold_method {threshold_method!r}")
    _check(alpha, power_transform)
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    past = w if past_weeks_not_included is None else past_weeks_not_included
    log_population = None if population is None else np.log(as_counts(population))
    if log_population is not None and log_population.shape != y.shape:
        raise ValueError("population must have the shape of counts")
    rule = Rule(no_periods, trend and b >= 3, p_threshold_trend, reweight, weights_threshold, flexible=True)
    layouts = _layouts(len(y), points, dates, weeks_per_year, b, w, no_periods, past)
    estimates = _estimate(y, points, log_population, layouts, rule)
    limit, score, p_value, expected = _limits(y[points], estimates, threshold_method, POWER[power_transform], alpha)
    return judge(
        y[points], points, limit, expected, score, (score > 1) & (y[points] > 0), enough=_reached(layouts, points),
        abstains=recent_cases(y, points, limit54[1]) < limit54[0],
        p_value=p_value, dispersion=estimates["dispersion"], trend=estimates["trend"],
    )


def farrington(
    counts,
    weeks_per_year: int = 52,
    b: int = 5,
    w: int = 3,
    alpha: float = 0.05,
    limit54: tuple[int, int] = (5, 4),
    dates=None,
    timepoints=None,
    *,
    reweight: bool = True,
    trend: bool = True,
    power_transform: str = "2/3",
) -> Detection:
    """Classic Farrington: quasi-Poisson regression on +-w weeks of b past years (Farrington 1996, sec. 3).

    Arguments and result as in farrington_flexible; differences: residuals are weighted down above 1, the trend must be
    significant at 5 %, the limit is the upper end of a *two-sided* prediction interval at ``alpha`` with the dispersion
    (at least 1) as scale. As implemented, the limit is 0 where the state is TOO_FEW_CASES.
    """
    _check(alpha, power_transform)
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    rule = Rule(1, trend and b >= 3, 0.05, reweight, weights_threshold=1.0, flexible=False)
    layouts = _layouts(len(y), points, dates, weeks_per_year, b, w, 1, w)
    estimates = _estimate(y, points, None, layouts, rule)
    limit, score, p_value, expected = _limits(y[points], estimates, "delta", POWER[power_transform], alpha / 2)
    return judge(
        y[points], points, limit, expected, score, (score > 1) & (y[points] > 0), enough=_reached(layouts, points),
        abstains=recent_cases(y, points, limit54[1]) < limit54[0], limit_when_abstaining=0.0,
        p_value=p_value, dispersion=estimates["dispersion"], trend=estimates["trend"],
    )


def _check(alpha, power_transform):
    if power_transform not in POWER:
        raise ValueError(f"unknown power_transform {power_transform!r}")
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")


def recent_cases(y: np.ndarray, points: np.ndarray, weeks: int) -> np.ndarray:
    """Cases in the ``weeks`` rows that end at each timepoint; a missing count adds nothing."""
    total = np.vstack([np.zeros((1, y.shape[1])), np.cumsum(np.nan_to_num(y), axis=0)])
    return total[points + 1] - total[np.maximum(points + 1 - weeks, 0)]


def reference_rows(points, days, length: int, per_year: int, years: int) -> np.ndarray:
    """Rows of the same week (or month, or day) 0..years years before each timepoint; -1 where there is none.

    Undated: multiples of ``per_year``. Dated: the same calendar date, for weekly data moved by at most three days to
    the weekday of the series (29 February counts as 1 March in a year without it).
    """
    if days is None:
        rows = points[:, None] - per_year * np.arange(years + 1)
        return np.where(rows >= 0, rows, -1)
    now = days[points]
    month = now.astype("datetime64[M]")
    day_of_month = now - month.astype("datetime64[D]")
    back = (month[:, None] - 12 * np.arange(years + 1)).astype("datetime64[D]") + day_of_month[:, None]
    if length > 1 and days[1] - days[0] == np.timedelta64(7, "D"):
        gap = (now[:, None] - back).astype(int) % 7
        back = back + np.where(gap > 3, gap - 7, gap)
    rows = np.searchsorted(days, back)
    found = (rows < length) & (days[np.minimum(rows, length - 1)] == back)
    return np.where(found, rows, -1)


def _layouts(length, points, dates, per_year, years, half, periods, past):
    """Timepoints grouped by identical relative baseline: list of (Layout, positions in ``points``)."""
    if years < 1 or half < 0 or periods < 1 or past < 0 or per_year < 1:
        raise ValueError("b, no_periods and weeks_per_year must be at least 1, w and past weeks at least 0")
    days = None if dates is None else as_days(dates, length)
    references = reference_rows(points, days, length, per_year, years)
    found: dict[bytes, tuple[Layout, list[int]]] = {}
    for position, (now, rows) in enumerate(zip(points, references, strict=True)):
        if rows.min() - half < 0:
            continue
        layout = _layout(rows - now, half, periods, past)
        if not len(layout.rows):
            continue
        if days is not None:
            unit = (days[1] - days[0]).astype(float)
            layout = Layout(layout.rows, layout.group, (days[now + layout.rows] - days[now]).astype(float) / unit)
        key = layout.rows.tobytes() + layout.group.tobytes() + layout.time.tobytes()
        found.setdefault(key, (layout, []))[1].append(position)
    return [(layout, np.array(positions)) for layout, positions in found.values()]


def _reached(layouts, points):
    """Whether the baseline of each timepoint lies within the counts, (timepoint, 1)."""
    reached = np.zeros((len(points), 1), dtype=bool)
    for _, positions in layouts:
        reached[positions] = True
    return reached


def _layout(references: np.ndarray, half: int, periods: int, past: int) -> Layout:
    """Rows and seasonal groups of a baseline whose reference rows lie at ``references`` (0, -52, ...)."""
    same_season = periods - 1
    first = references[-1] - half
    group = np.full(-first, -1)
    for later, earlier in itertools.pairwise(references):
        group[earlier - half - first : earlier + half + 1 - first] = same_season
        if periods > 1:
            # the gap between two windows is cut into equal blocks, the remainder spread over the first ones
            gap = later - earlier - 2 * half - 1
            if gap < periods - 1:
                raise ValueError("no_periods is too large for the weeks between two windows")
            size, rest = divmod(gap, periods - 1)
            sizes = np.full(periods - 1, size) + (np.arange(periods - 1) < rest)
            start = earlier + half + 1 - first
            group[start : start + gap] = np.repeat(np.arange(periods - 1), sizes)
    if half:
        group[-half:] = same_season
    rows = np.arange(first, 0)
    kept = (group >= 0) & (rows < -past)
    return Layout(rows[kept], group[kept], rows[kept].astype(float))


def _estimate(y, points, log_population, layouts, rule):
    """Expectation, dispersion, trend and standard error of every timepoint and series, each (timepoint, series)."""
    shape = (len(points), y.shape[1])
    out = {name: np.full(shape, np.nan) for name in ("log_mean", "dispersion", "trend", "error")}
    flat = {name: array.reshape(-1) for name, array in out.items()}
    by_series = np.ascontiguousarray(y.T)
    offset_by_series = None if log_population is None else np.ascontiguousarray(log_population.T)
    for layout, positions in layouts:
        size = max(1, CHUNK // len(layout.rows))
        problems = (positions[:, None] * shape[1] + np.arange(shape[1])).ravel()
        for begin in range(0, len(problems), size):
            chunk = problems[begin : begin + size]
            at, series = points[chunk // shape[1]], chunk % shape[1]
            cells = (series[:, None], at[:, None] + layout.rows)
            offset = offset_now = None
            if offset_by_series is not None:
                offset, offset_now = offset_by_series[cells], offset_by_series[series, at]
            for name, values in _fit_chunk(by_series[cells], layout, rule, offset, offset_now).items():
                flat[name][chunk] = values
    return out


def _fit_chunk(y, layout, rule, offset, offset_now):
    """Estimates for a batch that shares a layout; the trend is dropped where the trend rule rejects it."""
    present = ~np.isnan(y)
    y = np.where(present, y, 0.0)
    if offset is not None:
        present &= np.isfinite(offset)
        offset = np.where(present, offset, 0.0)
    values, trend_p = _fit(y, present, layout, rule, offset, offset_now)
    if not rule.trend:
        return values
    with np.errstate(over="ignore"):  # an expectation that overflows exceeds every count, as it should
        no_extrapolation = np.exp(values["log_mean"]) <= y.max(axis=1)
    # A threshold of 1 means "always": a slope of exactly zero has p = 1, and rounding must not decide.
    rejected = ~(((trend_p < rule.p_threshold) | (rule.p_threshold >= 1)) & no_extrapolation)
    if rejected.any():
        plain, _ = _fit(
            y[rejected], present[rejected], layout, replace(rule, trend=False),
            None if offset is None else offset[rejected], None if offset_now is None else offset_now[rejected],
        )
        for name, value in values.items():
            value[rejected] = plain[name]
    return values


def _fit(y, present, layout, rule, offset, offset_now):
    """Estimates of every problem in a batch, and the p-value of its trend (1 where there is none)."""
    weights = present.astype(float)
    occupied = weights @ np.eye(rule.groups)[layout.group] > 0
    freedom = present.sum(axis=1) - occupied.sum(axis=1) - rule.trend
    fit = fit_groups(y, weights, layout.group, rule.groups, layout.time, rule.trend, offset)
    dispersion = _mean_square(fit.working, y, fit.mean, freedom)
    converged = fit.converged
    trend_dispersion = dispersion
    if rule.reweight:
        weights = _anscombe_weights(y, present, fit, layout, np.maximum(dispersion, 1), rule.weights_threshold)
        fit = fit_groups(y, weights, layout.group, rule.groups, layout.time, rule.trend, offset)
        dispersion = _mean_square(fit.working, y, fit.mean, freedom)
        converged = converged & fit.converged
        # as implemented (flexible): prior weights stand in for the working weights in the standard errors
        trend_dispersion = _mean_square(weights, y, fit.mean, freedom) if rule.flexible else dispersion
    error_dispersion = trend_dispersion if rule.flexible else np.maximum(dispersion, 1)
    log_mean, factor = fit.predict(rule.groups - 1, 0.0)
    if offset_now is not None:
        log_mean = log_mean + offset_now
    usable = converged & (freedom > 0) & occupied[:, -1]
    trend_p = np.ones(len(y))
    if rule.trend:
        known = usable & (fit.slope_information > 0) & (trend_dispersion > 0)
        error = np.sqrt(trend_dispersion[known] / fit.slope_information[known])
        trend_p[known] = 2 * special.stdtr(freedom[known], -np.abs(fit.slope[known]) / error)
    values = {
        "log_mean": log_mean,
        "dispersion": np.maximum(dispersion, 1.0),
        "trend": fit.slope if rule.trend else np.full(len(y), np.nan),
        "error": np.sqrt(error_dispersion * factor),
    }
    return {name: np.where(usable, value, np.nan) for name, value in values.items()}, trend_p


def _mean_square(weights, y, mean, freedom):
    """Weighted sum of squared working residuals per degree of freedom."""
    square = np.einsum("ij,ij->i", weights, ((y - mean) / mean) ** 2)
    return np.where(freedom > 0, square / np.maximum(freedom, 1), np.nan)


def _anscombe_residuals(y, fit: GroupFit, layout, dispersion):
    """Standardised Anscombe residuals of the Poisson mean (Farrington 1996 eq. 8 with hat values)."""
    cube = np.cbrt(fit.mean)
    residual = 1.5 * (np.cbrt(y) ** 2 / np.sqrt(cube) - np.sqrt(fit.mean))
    slack = 1 - fit.leverage(layout.group, layout.time)
    known = slack > 1e-14  # an observation alone in its group is fitted exactly and cannot stand out
    return np.where(known, residual / np.sqrt(dispersion[:, None] * np.where(known, slack, 1.0)), 0.0)


def _anscombe_weights(y, present, fit, layout, dispersion, threshold):
    """Weights s^-2 above the threshold, 1 below, scaled to sum to the number of observations."""
    s = _anscombe_residuals(y, fit, layout, dispersion)
    weights = np.where(s > threshold, 1 / np.where(s > threshold, s, 1.0) ** 2, 1.0) * present
    total = weights.sum(axis=1, keepdims=True)
    return weights * (present.sum(axis=1, keepdims=True) / np.where(total > 0, total, 1.0))


def _limits(observed, estimates, method, power, alpha):
    """Limit, exceedance score, p-value and expectation, each (timepoint, series)."""
    log_mean, phi, error = estimates["log_mean"], estimates["dispersion"], estimates["error"]
    z = -special.ndtri(alpha)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        expected = np.exp(log_mean)
        if method == "delta":
            relative = power * np.sqrt(phi * expected + (error * expected) ** 2) / expected
            base = 1 + z * relative
            limit = expected * base ** (1 / power)
            p_value = special.ndtr((1 - (observed / expected) ** power) / relative)
            return limit, (observed - expected) / (limit - expected), p_value, expected
        mean = expected if method == "nbPlugin" else np.exp(log_mean + z * error)
        limit = count_quantile(1 - alpha, mean, phi)
        score = (observed - log_mean) / (limit - log_mean)
        finite = np.isfinite(mean)
        p_value = np.where(finite, count_tail(observed, np.where(finite, mean, 1.0), phi), np.nan)
        return limit, score, p_value, expected
