"""Control charts and the simple historical limits kept for comparison: CUSUM, EWMA, GLR, RKI, Bayes, CDC.

Counterparts of the R implementation (Hoehle 2007, Comput Stat 22:571-582; Salmon et al. 2016, J Stat Softw 70(10)).
"""
from __future__ import annotations

import numpy as np
from scipy import special

from surveillance.baseline import moments, season_rows, standardised
from surveillance.distributions import count_quantile, count_tail
from surveillance.farrington import reference_rows
from surveillance.glm import fit_design, fit_negative_binomial
from surveillance.result import Detection, as_counts, as_days, as_timepoints, judge

VARIANTS = {1: (0, 6, True), 2: (1, 6, True), 3: (2, 4, False)}  # years back, half window, weeks of this year too
# Upper 95 % limits of a Poisson mean after 0..20 cases (Crow & Gardner 1959, Biometrika 46:441-453, table 1).
CROW_GARDNER = np.array([
    3.285, 5.323, 6.686, 8.102, 9.598, 11.177, 12.817, 13.765, 14.921, 16.768, 17.633, 19.050, 20.335, 21.364, 22.945,
    23.762, 25.400, 26.306, 27.735, 28.966, 30.017,
])


def cusum(
    counts, k: float = 1.04, h: float = 2.26, transform: str = "standard", *, mean=None, shape: float = 0.0,
    timepoints=None, training: int | None = None,
) -> Detection:
    """One-sided CUSUM of (transformed) counts (Rossi, Lampugnani & Marchi 1999, Stat Med 18:2111-2122).

    C_t = max(0, C_{t-1} + x_t - k), alarm where C_t >= h; the chart starts at the first timepoint and does not reset.
    x is the count under ``transform``: "standard" (y-m)/sqrt(m), "rossi", "anscombe", "none" for Poisson counts;
    "pearson_negbin", "anscombe_negbin" for variance m + ``shape`` m^2 (Hilbe 2011, sec. 5.2). ``mean`` (scalar or
    (time, series)) is the in-control mean m; None: the mean of the first ``training`` counts of each series (default:
    all before the first timepoint, or 52 when every row is asked for; those rows are NOT_ENOUGH_HISTORY).
    ``limit`` is the smallest count that would alarm given what has accumulated (whole for "standard", continuous else;
    for "none", as implemented, h minus the accumulated sum); ``score`` is C_t. A missing count leaves the sum as it was.
    Raises ValueError for an unknown transform or a shape that does not fit it.
    """
    if transform not in ("standard", "rossi", "anscombe", "none", "pearson_negbin", "anscombe_negbin"):
        raise ValueError(f"unknown transform {transform!r}")
    if transform.endswith("negbin") != (shape > 0):
        raise ValueError("shape must be positive for the negative-binomial transforms, and only for them")
    y, points, first, m = _in_control(counts, timepoints, training, mean)
    total = np.zeros(y.shape[1])
    limit, score = np.full_like(y, np.nan), np.full_like(y, np.nan)
    for t in range(first, points.max(initial=-1) + 1):
        room = h + k - total
        x = _transformed(y[t], m[t], transform, shape)
        total = np.where(np.isnan(x), total, np.maximum(0.0, total + x - k))
        limit[t] = np.maximum(h - total, 0.0) if transform == "none" else _untransformed(room, m[t], transform, shape)
        score[t] = total
    return judge(y[points], points, limit[points], m[points], score[points], score[points] >= h)


def _in_control(counts, timepoints, training, mean):
    """Checked counts, timepoints, first monitored row and the in-control mean (time, series), at least 1e-9."""
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    if training is None:
        training = min(52, len(y)) if timepoints is None else int(points.min(initial=len(y)))
    if mean is not None:
        m = np.broadcast_to(np.asarray(mean, float), y.shape)
        first = 0 if timepoints is None else int(points.min(initial=len(y)))
    else:
        m = np.broadcast_to(moments(y, np.arange(training)[None, :])[1], y.shape)
        first = training
    return y, points, first, np.maximum(m, 1e-9)


def _transformed(x, m, transform, shape):
    if transform == "standard":
        return (x - m) / np.sqrt(m)
    if transform == "rossi":
        return (x - 3 * m + 2 * np.sqrt(x * m)) / (2 * np.sqrt(m))
    if transform == "anscombe":
        return 1.5 * (np.cbrt(x) ** 2 - np.cbrt(m) ** 2) / m ** (1 / 6)
    if transform == "pearson_negbin":
        return (x - m) / np.sqrt(m + shape * m**2)
    if transform == "anscombe_negbin":
        curved = 3 / shape * (np.cbrt(1 + shape * x) ** 2 - np.cbrt(1 + shape * m) ** 2)
        return (curved + 3 * (np.cbrt(x) ** 2 - np.cbrt(m) ** 2)) / (2 * (shape * m**2 + m) ** (1 / 6))
    return x


def _untransformed(v, m, transform, shape):
    """Count whose transform is v, at least 0."""
    if transform == "standard":
        # a count that reaches the limit exactly must not be pushed up by the rounding of its own transform
        return np.maximum(np.ceil(np.sqrt(m) * v + m - 1e-9), 0.0)
    if transform == "rossi":
        inside = 4 * m + 2 * np.sqrt(m) * v
        # as implemented: a negative root is squared too, a small positive limit where any count would alarm
        return np.where(inside >= 0, (np.sqrt(np.maximum(inside, 0.0)) - np.sqrt(m)) ** 2, 0.0)
    if transform == "anscombe":
        return np.maximum(v * m ** (1 / 6) / 1.5 + np.cbrt(m) ** 2, 0.0) ** 1.5
    if transform == "pearson_negbin":
        return np.maximum(v * np.sqrt(m + shape * m**2) + m, 0.0)
    low = np.zeros_like(m)
    high = m + 1
    while (short := _transformed(high, m, transform, shape) < v).any():
        high = np.where(short, 2 * high, high)
    for _ in range(60):
        middle = (low + high) / 2
        short = _transformed(middle, m, transform, shape) < v
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return high


def ewma(
    counts, weight: float = 0.4, width: float = 3.0, *, mean=None, dispersion=1.0, timepoints=None,
    training: int | None = None,
) -> Detection:
    """Exponentially weighted moving average of counts (Borror, Champ & Rigdon 1998, J Qual Technol 30:352-361).

    Z_t = weight x y_t + (1 - weight) Z_{t-1}, from the in-control mean; alarm where Z exceeds mean + ``width`` x its
    exact standard deviation, the variance of a count being ``dispersion`` x mean (1 = Poisson; scalar or per series).
    ``mean``, ``training``, missing counts as in cusum. ``limit`` is the count that would just alarm given Z so far;
    ``score`` is the number of standard deviations Z lies above the mean. Raises ValueError for a weight outside (0, 1].
    """
    if not 0 < weight <= 1:
        raise ValueError("weight must lie in (0, 1]")
    y, points, first, m = _in_control(counts, timepoints, training, mean)
    limit, score = np.full_like(y, np.nan), np.full_like(y, np.nan)
    smooth = m[min(first, len(y) - 1)].copy()
    share = np.zeros(y.shape[1])
    for t in range(first, points.max(initial=-1) + 1):
        present = ~np.isnan(y[t])
        grown = (1 - weight) ** 2 * share + weight**2
        sd = np.sqrt(grown * m[t] * dispersion)
        limit[t] = np.maximum((m[t] + width * sd - (1 - weight) * smooth) / weight, 0.0)
        moved = weight * y[t] + (1 - weight) * smooth
        score[t] = (moved - m[t]) / sd
        smooth, share = np.where(present, moved, smooth), np.where(present, grown, share)
    return judge(y[points], points, limit[points], m[points], score[points], score[points] > width)


def rki(counts, variant: int = 1, weeks_per_year: int = 52, dates=None, timepoints=None) -> Detection:
    """RKI 1, 2, 3: upper 95 % limit of a Poisson mean below 20, mean + 2 deviations from there.

    ``variant`` 1: last 6 weeks; 2: these and +-6 weeks a year ago; 3: +-4 weeks of the two past years. ``score`` is the
    excess in units of (limit - mean). Source: Salmon et al. (2016) sec. 3; Crow & Gardner (1959).
    """
    y, points, rows = _season(counts, variant, weeks_per_year, dates, timepoints)
    _, mean, sd = moments(y, rows)
    short = rows.min(axis=1) < 0
    mean[short] = np.nan
    table = CROW_GARDNER[np.floor(np.nan_to_num(np.minimum(mean, 20.0))).astype(int)]
    limit = np.where(mean > 20, mean + 2 * sd, table)
    return judge(
        y[points], points, limit, mean, standardised(y[points], mean, limit - mean), y[points] > limit,
    )


def bayes(
    counts, variant: int = 1, alpha: float = 0.05, weeks_per_year: int = 52, dates=None, timepoints=None,
) -> Detection:
    """Bayes 1, 2, 3: predictive negative-binomial quantile after n baseline counts under Jeffreys' prior.

    Riebler (2004), see Hoehle (2007): size = sum + 1/2, prob = n/(n+1). Baselines as in rki. Alarm where the count
    exceeds the ``1 - alpha`` quantile; ``p_value`` is P(X >= count), ``score`` = -log10 of it.
    """
    y, points, rows = _season(counts, variant, weeks_per_year, dates, timepoints)
    number, mean, _ = moments(y, rows)
    number = np.where((rows.min(axis=1) < 0)[:, None] | (number == 0), np.nan, number)
    expected = mean + 0.5 / number
    dispersion = 1 + 1 / number
    limit = count_quantile(1 - alpha, expected, dispersion)
    p_value = count_tail(np.nan_to_num(y[points]), expected, dispersion)
    return judge(y[points], points, limit, expected, -_log10(p_value), y[points] > limit, p_value=p_value)


def _log10(p):
    return np.log10(np.maximum(p, 1e-300))


def _season(counts, variant, per_year, dates, timepoints):
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}; choose 1, 2 or 3")
    years, half, this_year = VARIANTS[variant]
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    days = None if dates is None else as_days(dates, len(y))
    past = reference_rows(points, days, len(y), per_year, years)[:, 1:]
    return y, points, season_rows(points, past, half, half if this_year else 0)


def cdc(
    counts, b: int = 5, m: int = 1, alpha: float = 0.025, weeks_per_year: int = 52, dates=None, timepoints=None,
) -> Detection:
    """CDC: the last four weeks against the same and ``m`` neighbouring four-week blocks of ``b`` past years.

    Stroup, Williamson, Herndon & Karon (1989) Stat Med 8:323-329. ``limit`` = mean + z_{1-alpha/2} s sqrt(1 + 1/n), in
    cases per *four weeks*, as is ``expected``; ``score`` is the standardised excess. A block with a missing week is left
    out; a current block with one is INCOMPLETE.
    """
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    days = None if dates is None else as_days(dates, len(y))
    blocks = np.full_like(y, np.nan)
    blocks[3:] = y[3:] + y[2:-1] + y[1:-2] + y[:-3]
    past = reference_rows(points, days, len(y), weeks_per_year, b)[:, 1:]
    rows = past[:, :, None] + 4 * np.arange(-m, m + 1)
    rows = np.where((past[:, :, None] >= 0) & (rows >= 3), rows, -1).reshape(len(points), -1)
    number, mean, sd = moments(blocks, rows)
    mean[(rows < 0).any(axis=1)] = np.nan
    error = sd * np.sqrt(1 + 1 / np.maximum(number, 1))
    limit = mean - special.ndtri(alpha / 2) * error
    observed = blocks[points]
    observed[points < 3] = y[points[points < 3]]
    return judge(observed, points, limit, mean, standardised(observed, mean, error), observed > limit)


def glr(
    counts, distribution: str = "poisson", threshold: float = 5.0, weeks_per_year: int = 52, harmonics: int = 1,
    trend: bool = True, *, timepoints=None, training: int | None = None,
) -> Detection:
    """Generalised likelihood ratio chart for a lasting rise of the level (Hoehle & Paul 2008, CSDA 52:4357-4368, eq. 5).

    The in-control mean is a (negative binomial) regression with ``harmonics`` and ``trend`` on the first ``training``
    rows (default: all before the first timepoint, or four years when every row is asked for). ``score`` is the largest
    log likelihood ratio over all starts since the last alarm; alarm at ``threshold``, then the chart starts anew.
    ``limit`` is the count at which a rise in this week alone would alarm. ``trend`` of the result is None.
    A missing count is passed over. Series without a fit: NOT_ENOUGH_HISTORY. Raises ValueError for an unknown
    distribution.
    """
    if distribution not in ("poisson", "negbin"):
        raise ValueError(f"unknown distribution {distribution!r}")
    y = as_counts(counts)
    points = as_timepoints(timepoints, len(y))
    if training is None:
        training = min(4 * weeks_per_year, len(y)) if timepoints is None else int(points.min(initial=len(y)))
    time = np.arange(1, len(y) + 1.0)
    angle = 2 * np.pi * np.outer(time, np.arange(1, harmonics + 1)) / weeks_per_year
    design = np.column_stack([np.ones(len(y)), *([time / weeks_per_year] if trend else []), np.cos(angle), np.sin(angle)])
    past = y[:training].T
    present = ~np.isnan(past)
    fitted = (present.sum(axis=1) > 2 * design.shape[1]) & (np.nansum(past, axis=1) > 0)
    mean, shape = np.full_like(y, np.nan), np.zeros(y.shape[1])
    if fitted.any():
        history, weights = np.where(present, past, 0.0)[fitted], present[fitted].astype(float)
        if distribution == "negbin":
            fit, shape[fitted] = fit_negative_binomial(history, weights, design[:training])
        else:
            fit = fit_design(history, weights, design[:training])
        with np.errstate(over="ignore"):  # an expectation beyond all numbers is no expectation
            extrapolated = np.exp(design @ fit.coefficients.T)
        mean[:, fitted] = np.where(np.isfinite(extrapolated), np.maximum(extrapolated, 1e-12), np.nan)
    score = np.full_like(y, np.nan)
    since = np.full(y.shape[1], training)
    for t in range(training, points.max(initial=-1) + 1):
        begin = int(since.min())
        window = slice(begin, t + 1)
        allowed = np.arange(begin, t + 1)[:, None] >= since
        score[t] = np.where(allowed, _log_ratios(y[window], mean[window], shape), 0.0).max(axis=0)
        since = np.where(score[t] >= threshold, t + 1, since)
    return judge(
        y[points], points, _single_week_limit(mean[points], shape, threshold), mean[points], score[points],
        score[points] >= threshold,
    )


def _log_ratios(y, mean, shape):
    """Largest log likelihood ratio of a rise that began at each row and lasts to the end, shape as y."""
    y, mean = np.where(np.isnan(y), 0.0, y), np.where(np.isnan(y), 0.0, mean)
    cases = np.cumsum(y[::-1], axis=0)[::-1]
    normal = np.cumsum(mean[::-1], axis=0)[::-1]
    above = cases > normal
    ratio = np.log(np.where(above, cases, 1.0) / np.where(above, normal, 1.0))
    result = np.where(above, ratio * cases - (cases - normal), np.where(np.isnan(normal), np.nan, 0.0))
    for series in np.flatnonzero(shape > 0):
        result[:, series] = _negbin_log_ratios(y[:, series], mean[:, series], shape[series])
    return result


def _negbin_log_ratios(y, mean, shape):
    """As _log_ratios for one negative-binomial series; the rise has no closed form and is found by Newton steps."""
    weight = np.cumsum(((y - mean) / (1 + shape * mean))[::-1])[::-1]
    result = np.zeros(len(y))
    starts = np.flatnonzero(weight > 0)
    if not len(starts):
        return result
    part = np.arange(len(y)) >= starts[:, None]
    counted = np.where(part, y, 0.0)
    kappa = np.log(counted.sum(axis=1) / np.where(part, mean, 0.0).sum(axis=1)).clip(0.0)
    for _ in range(60):
        raised = shape * mean * np.exp(kappa)[:, None]
        slope = np.where(part, (y - raised / shape) / (1 + raised), 0.0).sum(axis=1)
        bend = np.where(part, (1 + shape * y) * raised / shape / (1 + raised) ** 2, 0.0).sum(axis=1)
        move = np.clip(slope / bend, -1.0, 1.0)  # the log likelihood is concave in kappa: a bounded step cannot get lost
        kappa = np.maximum(kappa + move, 0.0)
        if np.abs(move).max() < 1e-12:
            break
    raised = np.log1p(shape * mean * np.exp(kappa)[:, None]) - np.log1p(shape * mean)
    result[starts] = np.where(part, y * kappa[:, None] - (y + 1 / shape) * raised, 0.0).sum(axis=1)
    return np.maximum(result, 0.0)


def _single_week_limit(mean, shape, threshold):
    """Count y > mean at which y log(y/mean) - ... reaches the threshold in one week, by bisection."""
    low = np.array(mean)
    high = mean + 10 * threshold + 10 * np.sqrt(threshold * (mean + shape * mean**2)) + 10

    def ratio(y):
        poisson = y * np.log(y / mean) - (y - mean)
        curved = np.where(shape > 0, shape, 1.0)
        negbin = y * np.log(y / mean) - (y + 1 / curved) * (np.log1p(curved * y) - np.log1p(curved * mean))
        return np.where(shape > 0, negbin, poisson)

    while (short := ratio(high) < threshold).any():
        high = np.where(short, 2 * high, high)
    for _ in range(60):
        middle = (low + high) / 2
        short = ratio(middle) < threshold
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return high
