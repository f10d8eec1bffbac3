"""Tail areas and quantiles of the count distributions, vectorised and safe at their edges.

scipy.stats is not used: its negative-binomial quantile has ended the whole process on parameters that are not
finite, and its argument checking costs more than the numbers.
"""
from __future__ import annotations

import numpy as np
from scipy import special


def count_cdf(k: np.ndarray, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """P(X <= k) for X with the given mean and variance = dispersion x mean.

    Negative binomial with size mean / (dispersion - 1); Poisson where the dispersion is 1. NaN parameters give NaN.
    """
    k, mean, dispersion = np.broadcast_arrays(np.asarray(k, float), mean, dispersion)
    return _by_model(np.floor(k) + 1, mean, dispersion, 0.0, special.betainc, special.gammaincc)


def count_tail(y: np.ndarray, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """P(X >= y), accurate far out in the tail where 1 - cdf would be rounded away."""
    y, mean, dispersion = np.broadcast_arrays(np.asarray(y, float), mean, dispersion)
    return _by_model(y, mean, dispersion, 1.0, special.betaincc, special.gammainc)


def _by_model(above, mean, dispersion, below, negbin_part, poisson_part):
    """The incomplete beta or gamma function at ``above``, ``below`` where that is not positive, NaN where unknown.

    Each function is called only where its arguments are finite and its model holds.
    """
    known = np.isfinite(above) & np.isfinite(mean) & np.isfinite(dispersion)
    result = np.where(known, below, np.nan)
    result[known & (above > 0) & (mean <= 0)] = 1 - below
    inside = known & (above > 0) & (mean > 0)
    negbin, poisson = inside & (dispersion > 1), inside & (dispersion <= 1)
    excess = dispersion[negbin] - 1
    result[negbin] = negbin_part(mean[negbin] / excess, above[negbin], 1 / dispersion[negbin])
    result[poisson] = poisson_part(above[poisson], mean[poisson])
    return result


def count_quantile(p: float, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """Smallest whole k with P(X <= k) >= p; NaN where mean or dispersion is not finite.

    Bracketing by doubling from a Cornish-Fisher start, then bisection: a handful of incomplete-beta calls each.
    """
    mean, dispersion = np.broadcast_arrays(np.asarray(mean, float), np.asarray(dispersion, float))
    quantile = np.full(mean.shape, np.nan)
    valid = np.isfinite(mean) & np.isfinite(dispersion) & (mean >= 0)
    m, d = mean[valid], dispersion[valid]
    z = special.ndtri(p)
    sd = np.sqrt(m * d)
    low = np.floor(np.maximum(m + sd * (z + (2 * d - 1) / np.maximum(sd, 1e-300) * (z * z - 1) / 6) - 1, 0.0))
    low = np.where(np.isfinite(low), low, 0.0)
    # Invariant wanted: cdf(low) < p <= cdf(high), low = -1 allowed.
    step = np.ones_like(low)
    while (too_high := (low >= 0) & (count_cdf(low, m, d) >= p)).any():
        low = np.where(too_high, np.maximum(low - step, -1.0), low)
        step = np.where(too_high, 2 * step, step)
    step = np.ones_like(low)
    high = low + 1
    while (too_low := count_cdf(high, m, d) < p).any():
        low = np.where(too_low, high, low)
        high = np.where(too_low, high + step, high)
        step = np.where(too_low, 2 * step, step)
    while True:
        middle = np.floor((low + high) / 2)
        wide = (middle > low) & (middle < high)  # also ends where whole numbers are no longer representable
        if not wide.any():
            break
        reached = count_cdf(middle, m, d) >= p
        high = np.where(wide & reached, middle, high)
        low = np.where(wide & ~reached, middle, low)
    quantile[valid] = high
    return quantile
