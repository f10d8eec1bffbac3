"""Prospective space-time scan statistic over circular windows.

Kulldorff (1997) Commun Stat Theory Methods 26:1481-1496; prospective: Kulldorff (2001) J R Stat Soc A 164:61-72;
space-time permutation: Kulldorff et al. (2005) PLoS Med 2(3):e59; recurrence interval: Kleinman, Lazarus & Platt (2004) Am J
Epidemiol 159:217-224; Gumbel approximation: Abrams, Kulldorff & Kleinman (2010) Int J Health Geogr 9:61.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from surveillance.result import as_counts

EARTH_KM = 6371.0
BLOCK = 256  # replicates simulated together; keeps the counts of one circle in the processor's cache
TIE = 1e-9   # statistics closer than this are equal: they differ by rounding only


@dataclass(frozen=True)
class Cluster:
    """A cylinder: ``places`` (columns, nearest first) around column ``centre`` within ``radius_km``, rows ``first`` to
    ``last`` inclusive, ``observed`` and ``expected`` cases, ``statistic`` (log likelihood ratio), Monte Carlo
    ``p_value``, the Gumbel approximation ``p_gumbel`` of it, which reaches beyond the number of replicates, and
    ``recurrence_days``: the days within which one such cluster is expected by chance, from the Monte Carlo p-value, or
    from the approximation where fewer than ten replicates reached the statistic."""

    places: np.ndarray
    centre: int
    radius_km: float
    first: int
    last: int
    observed: int
    expected: float
    statistic: float
    p_value: float
    p_gumbel: float
    recurrence_days: float


@dataclass(frozen=True)
class Scan:
    """Clusters without common places, strongest first, and the largest statistic of every simulated replicate."""

    clusters: tuple[Cluster, ...]
    simulated: np.ndarray


@dataclass(frozen=True)
class Circle:
    """One centre: its places by distance, and for each distinct circle its number of places and radius."""

    centre: int
    order: np.ndarray
    sizes: np.ndarray
    radii: np.ndarray


def space_time_scan(
    counts, latitude, longitude, model: str = "permutation", *, population=None, max_days: int | None = None,
    max_radius_km: float | None = None, max_fraction: float = 0.5, min_cases: int = 2, replicates: int = 999,
    seed: int = 0, days_per_row: float = 1.0, max_clusters: int = 10,
) -> Scan:
    """Clusters that are alive in the last row: every circle of places times every window of the last 1.. ``max_days`` rows.

    ``counts`` (time, place) whole numbers without gaps; ``latitude`` and ``longitude`` (place,) in degrees. ``model``
    "permutation" needs cases only (expected = place total x time total / all cases); "poisson" expects cases in
    proportion to ``population``, of shape (place,) or (time, place). A circle may hold at most ``max_fraction`` of the
    cases (permutation) or population, and reach ``max_radius_km``; ``max_days`` defaults to half the period. Only high
    rates, at least ``min_cases`` cases. Places at the same distance enter a circle together.
    ``p_value`` = (1 + replicates at least as high) / (1 + replicates); simulations depend on ``seed`` alone.
    Raises ValueError for gaps, fractions of cases, missing population or coordinates that do not fit.
    """
    cases = _whole(counts)
    rows, places = cases.shape
    length = max(1, rows // 2) if max_days is None else max_days
    if not 1 <= length <= rows:
        raise ValueError(f"max_days must lie in 1..{rows}")
    if model not in ("permutation", "poisson"):
        raise ValueError(f"unknown model {model!r}")
    position = np.radians(np.column_stack([latitude, longitude]).astype(float))
    if position.shape != (places, 2) or not np.isfinite(position).all():
        raise ValueError("latitude and longitude need one finite value per place")
    total = int(cases.sum())
    if total == 0:
        return Scan((), np.zeros(replicates))
    risk = _risk(cases, model, population)
    recent = _windows((risk / risk.sum() * total)[:, :, None], length)[:, :, 0]
    size = cases.sum(axis=0) if model == "permutation" else risk.sum(axis=0)
    circles = _circles(position, size / size.sum(), max_radius_km, max_fraction)
    observed = _windows(cases[:, :, None], length)
    candidates = _evaluate(circles, observed[:, :, 0], recent, total, min_cases)
    chosen = _without_overlap(candidates, circles, max_clusters)
    simulated = _simulate(circles, cases, risk, model, recent, total, min_cases, replicates, np.random.default_rng(seed))
    return Scan(
        tuple(_cluster(c, circles, rows, simulated, days_per_row, observed, recent) for c in chosen), simulated
    )


def _whole(counts):
    cases = as_counts(counts)
    if np.isnan(cases).any() or (cases != np.floor(cases)).any():
        raise ValueError("counts must be whole numbers without gaps: leave out places that did not report")
    return cases.astype(np.int64)


def _risk(cases, model, population):
    """Weights (time, place) that the expected cases are proportional to."""
    if model == "permutation":
        return np.outer(cases.sum(axis=1), cases.sum(axis=0)).astype(float)
    if population is None:
        raise ValueError("the poisson model needs a population")
    risk = np.broadcast_to(np.asarray(population, float), cases.shape)
    if not np.isfinite(risk).all() or (risk < 0).any() or risk.sum() == 0:
        raise ValueError("population must be finite, not negative, and not zero everywhere")
    return risk


def _windows(values, length):
    """Sums over the last 1..length rows: (time, place, replicate) -> (place, window, replicate)."""
    return np.cumsum(values[::-1][:length], axis=0).transpose(1, 0, 2)


def distance_km(position: np.ndarray) -> np.ndarray:
    """Great-circle distances (place, place) from latitude and longitude in radians (haversine)."""
    half = (position[:, None, :] - position[None, :, :]) / 2
    cosine = np.cos(position[:, 0])
    chord = np.sin(half[:, :, 0]) ** 2 + cosine[:, None] * cosine * np.sin(half[:, :, 1]) ** 2
    return 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))


def _circles(position, share, max_radius_km, max_fraction):
    """Distinct circles, grouped by centre."""
    distance = distance_km(position)
    reach = np.inf if max_radius_km is None else max_radius_km
    seen: set[bytes] = set()
    circles = []
    for centre in range(len(position)):
        order = np.argsort(distance[centre], kind="stable")
        radius = distance[centre, order]
        inside = np.cumsum(share[order])
        complete = np.append(np.diff(radius) > TIE, True)  # the next place lies farther out
        allowed = np.flatnonzero(complete & (radius <= reach) & (inside <= max_fraction + 1e-12))
        sizes = []
        for last in allowed:
            member = np.zeros(len(position), dtype=bool)
            member[order[: last + 1]] = True
            key = np.packbits(member).tobytes()
            if key not in seen:
                seen.add(key)
                sizes.append(last + 1)
        if sizes:
            circles.append(Circle(centre, order[: sizes[-1]], np.array(sizes), radius[np.array(sizes) - 1]))
    return circles


def log_likelihood_ratio(observed, expected, total):
    """c ln(c/mu) + (C-c) ln((C-c)/(C-mu)) where more than expected was seen, else 0 (Kulldorff 1997, eq. 3)."""
    observed, expected = np.asarray(observed, float), np.asarray(expected, float)
    rest, rest_expected = total - observed, np.maximum(total - expected, 1e-300)
    high = (observed > expected) & (expected > 0)
    inside = special.xlogy(observed, observed / np.where(high, expected, 1.0))
    outside = special.xlogy(rest, np.where(rest > 0, rest, 1.0) / rest_expected)
    return np.where(high, inside + outside, 0.0)


def _evaluate(circles, observed, recent, total, min_cases):
    """(statistic, circle, size index, window) of every cylinder with enough cases, strongest first."""
    found = []
    for index, circle in enumerate(circles):
        cases = np.cumsum(observed[circle.order], axis=0)[circle.sizes - 1]
        expected = np.cumsum(recent[circle.order], axis=0)[circle.sizes - 1]
        statistic = np.where(cases >= min_cases, log_likelihood_ratio(cases, expected, total), 0.0)
        at = np.argwhere(statistic > 0)
        found += [(statistic[s, w], index, s, w) for s, w in at]
    # Among equal statistics the smaller circle, then the shorter window, tells the officer where to go.
    return sorted(found, key=lambda c: (-round(c[0], 9), circles[c[1]].sizes[c[2]], c[3]))


def _without_overlap(candidates, circles, most):
    """Strongest cylinders no two of which share a place."""
    taken: set[int] = set()
    chosen = []
    for candidate in candidates:
        _, index, size, _ = candidate
        places = circles[index].order[: circles[index].sizes[size]].tolist()
        if taken.isdisjoint(places):
            taken.update(places)
            chosen.append(candidate)
            if len(chosen) == most:
                break
    return chosen


def _cluster(candidate, circles, rows, simulated, days_per_row, observed, recent):
    statistic, index, size, window = candidate
    circle = circles[index]
    places = circle.order[: circle.sizes[size]]
    rank = 1 + int(np.sum(simulated >= statistic - TIE))
    p = rank / (1 + len(simulated))
    p_gumbel = gumbel_tail(statistic, simulated)
    return Cluster(
        places=places, centre=circle.centre, radius_km=float(circle.radii[size]), first=rows - 1 - int(window),
        last=rows - 1, observed=int(observed[places, window, 0].sum()), expected=float(recent[places, window].sum()),
        statistic=float(statistic), p_value=p, p_gumbel=p_gumbel,
        recurrence_days=days_per_row / (p if rank > 10 else min(p, p_gumbel)),
    )


def gumbel_tail(statistic: float, simulated: np.ndarray) -> float:
    """P(maximum >= statistic) from a Gumbel distribution with the moments of the simulated maxima; 1 if they are few."""
    if len(simulated) < 2 or simulated.std() == 0:
        return 1.0
    scale = simulated.std(ddof=1) * np.sqrt(6) / np.pi
    mode = simulated.mean() - np.euler_gamma * scale
    return float(max(-np.expm1(-np.exp(-(statistic - mode) / scale)), 1e-300))


def _simulate(circles, cases, risk, model, recent, total, min_cases, replicates, rng):
    """Largest statistic of each replicate under no cluster."""
    best = np.zeros(replicates)
    for begin in range(0, replicates, BLOCK):
        number = min(BLOCK, replicates - begin)
        draw = _permuted(cases, recent.shape[1], number, rng) if model == "permutation" else _multinomial(
            risk, total, recent.shape[1], number, rng)
        best[begin : begin + number] = _largest(circles, draw, recent, total, min_cases)
    return best


def _permuted(cases, length, number, rng):
    """Counts (place, window, replicate) after shuffling the dates over the cases."""
    day, place = np.nonzero(cases)
    repeat = cases[day, place]
    ages, places = np.repeat(len(cases) - 1 - day, repeat), np.repeat(place, repeat)
    shuffled = rng.permuted(np.broadcast_to(ages, (number, len(ages))), axis=1)
    return _tally(shuffled, np.broadcast_to(places, shuffled.shape), length, cases.shape[1])


def _multinomial(risk, total, length, number, rng):
    """Counts (place, window, replicate) of ``total`` cases thrown independently in proportion to ``risk``."""
    edges = np.cumsum(risk[::-1].ravel())
    cell = np.searchsorted(edges, rng.random((number, total)) * edges[-1], side="right")
    return _tally(cell // risk.shape[1], cell % risk.shape[1], length, risk.shape[1])


def _tally(age, place, length, places):
    """Cumulated counts (place, window, replicate) of cases with given age in rows and place, each (replicate, case)."""
    replicate, case = np.nonzero(age < length)
    cell = (place[replicate, case] * length + age[replicate, case]) * len(age) + replicate
    counts = np.bincount(cell, minlength=places * length * len(age)).reshape(places, length, len(age))
    return np.cumsum(counts, axis=1)


def _largest(circles, draw, recent, total, min_cases):
    """Largest statistic per replicate; the log likelihood ratio is linear in c but for one table of c ln c terms."""
    length, number = draw.shape[1:]
    c = np.arange(total + 1.0)
    table = special.xlogy(c, c) + special.xlogy(total - c, total - c)
    best = np.zeros((length, number))
    for circle in circles:
        inside = np.zeros((length, number), dtype=np.int64)
        expected = np.zeros((length, 1))
        done = 0
        for size in circle.sizes:
            for place in circle.order[done:size]:
                inside += draw[place]
                expected += recent[place][:, None]
            done = size
            positive = np.maximum(expected, 1e-300)
            rest = np.log(np.maximum(total - expected, 1e-300))
            slope = np.log(positive) - rest
            value = table.take(inside)
            value -= inside * slope
            value -= total * rest
            np.maximum(best, value, out=best, where=inside >= np.maximum(np.floor(expected) + 1, min_cases))
    return best.max(axis=0)
