"""Quasi-Poisson log-linear regression of thousands of series at once by iteratively reweighted least squares.

Two shapes of design, both shared by the whole batch so that each step is one matrix product:
``fit_groups`` (seasonal factor + slope: the normal equations are an arrow matrix with a closed-form solution) and
``fit_design`` (any small design matrix). Both follow McCullagh & Nelder (1989, sec. 2.5) with the start, step limit
and stopping rule of the common implementation, because groups made only of zeros have no finite estimate: there the
answer *is* the stopping rule.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

MAX_STEPS = 25
TOLERANCE = 1e-8
LARGEST_PREDICTOR = 300.0
SMALLEST_MEAN = np.finfo(float).eps  # part of the rule: the mean of an empty season is held above this
SMALLEST_PREDICTOR = np.log(SMALLEST_MEAN)


@dataclass(frozen=True)
class GroupFit:
    """Fits of a batch of P problems over n observations and G groups.

    ``level`` (P, G) and ``slope`` (P,) are on the log scale, ``mean`` (P, n) the fitted means. ``working`` (P, n) are
    the working weights of the step before the last; ``group_weight``, ``group_centre`` (P, G) and ``slope_information``
    (P,) summarise their information matrix. ``converged`` (P,) says whether the stopping rule was met.
    """

    level: np.ndarray
    slope: np.ndarray
    mean: np.ndarray
    working: np.ndarray
    group_weight: np.ndarray
    group_centre: np.ndarray
    slope_information: np.ndarray
    converged: np.ndarray

    def predict(self, group: int, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Linear predictor and its variance factor x'(X'WX)^-1 x at a group and time, each of shape (P,)."""
        return (
            self.level[:, group] + self.slope * time,
            _over(1.0, self.group_weight[:, group])
            + _over((time - self.group_centre[:, group]) ** 2, self.slope_information),
        )

    def leverage(self, group: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Hat values of the weighted regression, shape (P, n)."""
        spread = (time - self.group_centre[:, group]) ** 2 * _over(1.0, self.slope_information)[:, None]
        return self.working * (_over(1.0, self.group_weight)[:, group] + spread)


def fit_groups(
    counts: np.ndarray,
    weights: np.ndarray,
    group: np.ndarray,
    groups: int,
    time: np.ndarray,
    trend: bool,
    offset: np.ndarray | None = None,
) -> GroupFit:
    """Fit log mean = level of the group (+ slope x time) (+ offset).

    ``counts`` and ``weights`` have shape (P, n); an observation with weight 0 takes no part (its count must still be a
    number). ``group`` (n,) holds 0..groups-1, ``time`` (n,) any unit, ``offset`` (P, n) is on the log scale.
    """
    indicator = np.eye(groups)[group]
    columns = np.hstack([indicator, indicator * time[:, None], (time * time)[:, None]])
    problems = len(counts)
    level = np.zeros((problems, groups))
    slope = np.zeros(problems)
    mean = np.empty_like(counts)
    working = np.empty_like(counts)
    information = np.zeros((problems, 2 * groups + 1))
    converged = np.zeros(problems, dtype=bool)

    active = np.arange(problems)
    y, omega = counts, weights
    shift = offset
    log_y = np.log(np.where(y > 0, y, 1.0))
    start = y + 0.1
    eta = np.log(start)
    mu = start
    deviance = _deviance(y, omega, log_y, eta, mu)
    total = weights.sum(axis=1)
    lev = slp = None
    for step in range(MAX_STEPS):
        used = omega * mu
        sums = used @ columns
        if step == 0:
            response = eta - (mu - y) / mu
            if shift is not None:
                response = response - shift
            lev, slp = _solve(sums, groups, trend, (used * response) @ columns[:, : 2 * groups])
            old_lev, old_slp = lev, slp
        else:
            residual = omega * (y - mu)
            d_lev, d_slp = _solve(sums, groups, trend, residual @ columns[:, : 2 * groups])
            old_lev, old_slp = lev, slp
            lev, slp = lev + d_lev, slp + d_slp
        eta = lev @ indicator.T
        if trend:
            eta += slp[:, None] * time
        if shift is not None:
            eta += shift
        with np.errstate(over="ignore", invalid="ignore"):  # a step that overflows is halved below
            mu = np.maximum(np.exp(eta), SMALLEST_MEAN)
            new = _deviance(y, omega, log_y, eta, mu)
        for _ in range(MAX_STEPS):
            wild = ~np.isfinite(new)
            if not wild.any():
                break
            lev = np.where(wild[:, None], (lev + old_lev) / 2, lev)
            slp = np.where(wild, (slp + old_slp) / 2, slp)
            eta = lev @ indicator.T + slp[:, None] * time + (0.0 if shift is None else shift)
            with np.errstate(over="ignore", invalid="ignore"):
                mu = np.maximum(np.exp(eta), SMALLEST_MEAN)
                new = _deviance(y, omega, log_y, eta, mu)
        with np.errstate(invalid="ignore"):
            done = np.abs(new - deviance) < TOLERANCE * (np.abs(new) + 0.1)
        deviance = new
        last = step == MAX_STEPS - 1
        store = np.ones(len(active), dtype=bool) if last else done
        if store.any():
            at = active[store]
            level[at], slope[at], mean[at], working[at] = lev[store], slp[store], mu[store], used[store]
            information[at], converged[at] = sums[store], done[store]
            keep = ~store
            if not keep.any():
                break
            active, y, omega, log_y = active[keep], y[keep], omega[keep], log_y[keep]
            mu, eta, lev, slp, deviance = mu[keep], eta[keep], lev[keep], slp[keep], deviance[keep]
            shift = None if shift is None else shift[keep]
    centre, spread = _centre(information, groups, trend)
    converged &= total > 0
    return GroupFit(level, slope, mean, working, information[:, :groups], centre, spread, converged)


@dataclass(frozen=True)
class DesignFit:
    """Fits of P problems with q columns: ``coefficients`` (P, q), ``mean`` and ``working`` weights (P, n),
    ``covariance`` (P, q, q) = inverse information at dispersion 1, ``converged`` (P,)."""

    coefficients: np.ndarray
    mean: np.ndarray
    working: np.ndarray
    covariance: np.ndarray
    converged: np.ndarray


def fit_design(
    counts: np.ndarray, weights: np.ndarray, design: np.ndarray, shape: np.ndarray | None = None,
    start: np.ndarray | None = None, ridge: np.ndarray | None = None,
) -> DesignFit:
    """Fit log mean = design @ coefficients, design (n, q) shared by all problems; counts and weights (P, n).

    ``shape`` (P,) makes it negative binomial with variance mean + shape x mean^2 (0 or None: Poisson).
    ``start`` (P, n) are starting means, ``ridge`` (q,) the precision of a normal prior around 0 per column. Where the
    weighted design is collinear the least-norm solution is given.
    """
    y, omega = counts, weights
    width = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    alpha = None if shape is None else shape[:, None]
    mu = y + 0.1 if start is None else start
    eta = np.log(mu)
    log_y = np.log(np.where(y > 0, y, 1.0))
    deviance = _design_deviance(y, omega, log_y, eta, mu, alpha)
    out = DesignFit(
        np.zeros((len(y), width)), np.empty_like(mu), np.empty_like(mu), np.empty((len(y), width, width)),
        np.zeros(len(y), dtype=bool),
    )
    active = np.arange(len(y))
    prior = np.zeros(width) if ridge is None else ridge
    beta = None
    for step in range(MAX_STEPS):
        used = omega * mu if alpha is None else omega * mu / (1 + alpha * mu)
        information = (used @ products).reshape(-1, width, width) + np.diag(prior)
        response = y / mu - 1 if beta is not None else eta + y / mu - 1
        pull = (used * response) @ design - (0.0 if beta is None else prior * beta)
        move = _move(information, pull)
        old, beta = beta, move if beta is None else beta + move
        eta, mu, new = _means(beta, design, y, omega, log_y, alpha)
        for _ in range(MAX_STEPS):
            wild = ~np.isfinite(new)
            if old is None or not wild.any():
                break
            beta = np.where(wild[:, None], (beta + old) / 2, beta)
            eta, mu, new = _means(beta, design, y, omega, log_y, alpha)
        done = np.abs(new - deviance) < TOLERANCE * (np.abs(new) + 0.1)
        deviance = new
        store = np.ones(len(active), dtype=bool) if step == MAX_STEPS - 1 else done
        if store.any():
            at = active[store]
            out.coefficients[at], out.mean[at], out.working[at] = beta[store], mu[store], used[store]
            out.covariance[at], out.converged[at] = _inverse(information[store]), done[store]
            keep = ~store
            if not keep.any():
                break
            active, y, omega, log_y = active[keep], y[keep], omega[keep], log_y[keep]
            eta, mu, beta, deviance = eta[keep], mu[keep], beta[keep], deviance[keep]
            alpha = None if alpha is None else alpha[keep]
    return out


def fit_negative_binomial(counts: np.ndarray, weights: np.ndarray, design: np.ndarray) -> tuple[DesignFit, np.ndarray]:
    """Maximum-likelihood negative binomial regression: (fit, shape) with variance mean + shape x mean^2.

    Alternates the regression and the shape (Venables & Ripley 2002, sec. 7.4, with its stopping rules). Where the counts
    scatter no more than Poisson the shape is 0 and the fit is the Poisson one. Weights must be 0 or 1.
    """
    fit = fit_design(counts, weights, design)
    mean = fit.mean
    theta = _size_estimate(counts, weights, mean)
    freedom = np.maximum(weights.sum(axis=1) - design.shape[1], 1)
    scale = np.sqrt(2 * freedom)
    loglik = _negbin_loglik(counts, weights, mean, theta)
    settled = ~np.isfinite(theta)
    result, size = fit, np.where(np.isfinite(theta), theta, np.inf)
    for _ in range(MAX_STEPS):
        at = np.flatnonzero(~settled)
        if not len(at):
            break
        step = fit_design(counts[at], weights[at], design, 1 / size[at], mean[at])
        new = _size_estimate(counts[at], weights[at], mean[at])
        lost = ~np.isfinite(new)
        new = np.where(lost, size[at], new)  # a size that runs away is left where it was
        likelihood = _negbin_loglik(counts[at], weights[at], step.mean, new)
        change = np.abs(loglik[at] - likelihood) / scale[at] + np.abs(new - size[at])
        for name in ("coefficients", "mean", "working", "covariance", "converged"):
            getattr(result, name)[at] = getattr(step, name)
        mean = result.mean
        size[at], loglik[at] = new, likelihood
        settled[at] = lost | (change <= TOLERANCE)
    return result, np.where(np.isfinite(size), 1 / size, 0.0)


def _size_estimate(y, weights, mean):
    """Newton's method for the negative-binomial size at given means; infinite where there is no over-dispersion."""
    used = weights > 0
    size = used.sum(axis=1) / np.einsum("ij,ij->i", weights, (y / mean - 1) ** 2)
    moving = np.ones(len(size), dtype=bool)
    for _ in range(MAX_STEPS - 1):
        th = np.abs(size)[:, None]
        ratio = (y + th) / (mean + th)
        score = special.digamma(th + y) - special.digamma(th) + np.log(th) + 1 - np.log(th + mean) - ratio
        info = (
            special.polygamma(1, th) - special.polygamma(1, th + y) - 1 / th + 2 / (mean + th) - ratio / (mean + th)
        )
        change = (weights * score).sum(axis=1) / (weights * info).sum(axis=1)
        size = np.where(moving, th[:, 0] + change, size)
        moving &= np.abs(change) > np.finfo(float).eps ** 0.25
        if not moving.any():
            break
    return np.where((size > 0) & (size < 1e6) & ~moving, size, np.inf)


def _negbin_loglik(y, weights, mean, size):
    th = np.where(np.isfinite(size), size, 1e6)[:, None]
    value = (
        special.gammaln(th + y) - special.gammaln(th) - special.gammaln(y + 1)
        + th * np.log(th) + special.xlogy(y, mean) - (th + y) * np.log(th + mean)
    )
    return (weights * value).sum(axis=1)


def _move(information, pull):
    try:
        return np.linalg.solve(information, pull[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # some problem of the batch is collinear in its weights: least-norm step for all
        return (np.linalg.pinv(information, hermitian=True) @ pull[:, :, None])[:, :, 0]


def _inverse(information):
    try:
        return np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(information, hermitian=True)


def _means(beta, design, y, omega, log_y, alpha):
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is seen in the deviance and halved away
        eta = np.clip(beta @ design.T, SMALLEST_PREDICTOR, LARGEST_PREDICTOR)
        mu = np.exp(eta)
        return eta, mu, _design_deviance(y, omega, log_y, eta, mu, alpha)


def _design_deviance(y, omega, log_y, eta, mu, alpha):
    """Deviance per problem; alpha (P, 1) is the negative-binomial shape, None or 0 for Poisson."""
    if alpha is None:
        return _deviance(y, omega, log_y, eta, mu)
    curved = np.where(alpha > 0, alpha, 1.0)
    shrink = np.log1p(curved * mu) - np.log1p(curved * y)
    gap = np.where(alpha > 0, (y + 1 / curved) * shrink, mu - y)
    return 2 * np.einsum("ij,ij->i", omega, y * (log_y - eta) + gap)


def _deviance(y, omega, log_y, eta, mu):
    """Poisson deviance per problem; y log y is 0 at y = 0."""
    return 2 * np.einsum("ij,ij->i", omega, y * (log_y - eta) - (y - mu))


def _over(numerator, denominator):
    """numerator / denominator, 0 where the denominator is 0: an empty group informs nothing."""
    denominator = np.asarray(denominator)
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), 0.0)


def _centre(sums, groups, trend):
    """Weighted mean time of each group and the information on the slope (0 without a trend)."""
    centre = _over(sums[:, groups : 2 * groups], sums[:, :groups])
    if not trend:
        return centre, np.zeros(len(sums))
    return centre, sums[:, -1] - np.einsum("ij,ij->i", sums[:, groups : 2 * groups], centre)


def _solve(sums, groups, trend, right):
    """Solution of the arrow-shaped normal equations; right holds the group sums of r and of time x r."""
    centre, spread = _centre(sums, groups, trend)
    slope = np.zeros(len(sums))
    if trend:
        pull = right[:, groups:].sum(axis=1) - np.einsum("ij,ij->i", centre, right[:, :groups])
        slope = _over(pull, spread)
    return _over(right[:, :groups], sums[:, :groups]) - centre * slope[:, None], slope
