"""Simulated surveillance series with known outbreaks: the 42 scenarios, and a county with neighbours and streams.

Noufaily et al. (2013) Stat Med 32:1206-1222, sec. 4; evaluation as Bedubourg & Le Strat (2017) PLoS ONE 12:e0181227.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WEEKS = 624
BASELINE = slice(312, 575)   # weeks in which past outbreaks may start
CURRENT = slice(575, 624)    # the 49 weeks that are judged
PAST_SIZES = (0, 2, 3, 5, 10)
SETS = (  # log level, weekly trend, cosine and sine amplitude, variance / mean
    (0.10, 0.0025, 0.60, 0.60, 1.5),
    (-2.0, 0.0050, 0.10, 0.30, 2.0),
    (1.50, 0.0030, 0.20, -0.40, 1.0),
    (0.50, 0.0020, 0.50, 0.50, 5.0),
    (2.50, 0.0010, 1.00, 0.10, 3.0),
    (3.75, 0.0010, 0.10, -0.10, 1.1),
    (5.00, 0.0001, 0.05, 0.01, 1.2),
)


@dataclass(frozen=True)
class Scenario:
    """One of the 42: parameter set (0..6), trend or not, number of harmonics, and what follows from them."""

    number: int
    parameters: int
    trend: bool
    harmonics: int
    dispersion: float
    mean: np.ndarray


@dataclass(frozen=True)
class Simulated:
    """``counts`` and ``outbreak`` (cases of the current outbreak) have shape (WEEKS, series); the rest (series,):
    ``scenario`` 1..42, ``size`` of the current outbreak in deviations (0 = none), ``start`` its week (-1 = none)."""

    counts: np.ndarray
    outbreak: np.ndarray
    mean: np.ndarray
    dispersion: np.ndarray
    scenario: np.ndarray
    size: np.ndarray
    start: np.ndarray


def scenarios() -> tuple[Scenario, ...]:
    """The 42 scenarios: for each parameter set without and with trend, 0, 1 or 2 harmonics."""
    week = np.arange(1, WEEKS + 1)
    found = []
    for index, (level, slope, cosine, sine, dispersion) in enumerate(SETS):
        for trend in (False, True):
            for harmonics in (0, 1, 2):
                log_mean = level + slope * trend * week
                for j in range(1, harmonics + 1):
                    angle = 2 * np.pi * j * week / 52
                    log_mean = log_mean + cosine * np.cos(angle) + sine * np.sin(angle)
                found.append(Scenario(len(found) + 1, index, trend, harmonics, dispersion, np.exp(log_mean)))
    return tuple(found)


def draw_counts(mean: np.ndarray, dispersion: float, rng: np.random.Generator) -> np.ndarray:
    """Independent counts with the given mean and variance = dispersion x mean (1: Poisson)."""
    if dispersion <= 1:
        return rng.poisson(mean).astype(float)
    return rng.negative_binomial(mean / (dispersion - 1), 1 / dispersion).astype(float)


def draw_outbreak(start: int, cases: float, span: slice, rng: np.random.Generator) -> np.ndarray:
    """Cases per week (WEEKS,) of an outbreak of Poisson(cases), each floor(LogNormal(0, 0.5)) weeks after its start."""
    size = rng.poisson(cases)
    week = start + np.floor(rng.lognormal(0.0, 0.5, size)).astype(int)
    week = week[(week >= span.start) & (week < span.stop)]
    return np.bincount(week, minlength=WEEKS).astype(float)


def simulate(replicates: int = 100, seed: int = 20131, only: tuple[int, ...] | None = None) -> Simulated:
    """For every scenario (or those numbered in ``only``) ``replicates`` series without and as many with a current outbreak.

    Every series has four past outbreaks of a size drawn from PAST_SIZES deviations of its baseline; a current outbreak
    has 1..10 deviations and starts in any judged week. Depends on ``seed`` alone.
    """
    rng = np.random.default_rng(seed)
    columns = []
    for scenario in scenarios():
        if only is not None and scenario.number not in only:
            continue
        for _ in range(replicates):
            for with_outbreak in (False, True):
                y = draw_counts(scenario.mean, scenario.dispersion, rng)
                deviation = y.std(ddof=1)
                past = rng.choice(PAST_SIZES)
                size = int(rng.integers(1, 11)) if with_outbreak else 0
                counts = y.copy()
                for start in rng.choice(np.arange(BASELINE.start, BASELINE.stop), 4, replace=False):
                    counts += draw_outbreak(start, past * deviation, slice(0, CURRENT.start), rng)
                start = int(rng.integers(CURRENT.start, CURRENT.stop)) if with_outbreak else -1
                outbreak = draw_outbreak(start, size * deviation, CURRENT, rng) if with_outbreak else np.zeros(WEEKS)
                columns.append((counts + outbreak, outbreak, scenario, size, start))
    return Simulated(
        counts=np.column_stack([c[0] for c in columns]),
        outbreak=np.column_stack([c[1] for c in columns]),
        mean=np.column_stack([c[2].mean for c in columns]),
        dispersion=np.array([c[2].dispersion for c in columns]),
        scenario=np.array([c[2].number for c in columns]),
        size=np.array([c[3] for c in columns]),
        start=np.array([c[4] for c in columns]),
    )
