"""A small, seeded part of the scoreboard: the large one is ``python -m surveillance.scoreboard``."""
from __future__ import annotations

import numpy as np
import pytest

from surveillance.distributions import count_cdf, count_quantile, count_tail
from surveillance.scoreboard import at_rate, county_scoreboard, detectors, evaluate, judged_weeks, scoreboard, wilson
from surveillance.simulate import CURRENT, scenarios, simulate


@pytest.fixture(scope="module")
def truth():
    return simulate(replicates=4, seed=99)


@pytest.fixture(scope="module")
def board(truth):
    names = ("pooled", "pooled, one week", "Farrington flexible nbPlugin .01")
    return scoreboard(truth, {name: d for name, d in detectors().items() if name in names})


def test_the_house_detector_holds_its_false_positive_rate(board):
    for name in ("pooled", "pooled, one week"):
        assert 0.006 < board[name][0].fpr < 0.014


def test_the_house_detector_beats_farrington_flexible(board):
    ours, theirs = board["pooled"][1], board["Farrington flexible nbPlugin .01"][1]
    assert ours.pod > theirs.pod
    assert ours.sensitivity > theirs.sensitivity + 0.08
    assert ours.pod > 0.58 and ours.sensitivity > 0.42


def test_streams_and_neighbours_together_miss_fewer():
    rates = county_scoreboard(counties=3, seed=2, budget=0.1)
    assert rates["missed_joint"] <= rates["missed_alone"]


def test_scenarios_are_the_published_ones():
    every = scenarios()
    fourteenth = every[13]
    assert len(every) == 42 and fourteenth.dispersion == 1 and fourteenth.harmonics == 1 and not fourteenth.trend
    angle = 2 * np.pi * np.arange(1, 625) / 52
    np.testing.assert_allclose(fourteenth.mean, np.exp(1.5 + 0.2 * np.cos(angle) - 0.4 * np.sin(angle)))


def test_simulated_moments_and_seed(truth):
    again = simulate(replicates=4, seed=99)
    np.testing.assert_array_equal(truth.counts, again.counts)
    large = simulate(replicates=30, seed=3, only=(19,))
    early = large.counts[:300]
    assert early.mean() == pytest.approx(np.exp(0.5), rel=0.05)
    assert early.var() / early.mean() == pytest.approx(5, rel=0.1)
    assert (truth.outbreak[: CURRENT.start] == 0).all() and (truth.outbreak[:, truth.size == 0] == 0).all()


def test_quality_by_hand(truth):
    sick = truth.outbreak[CURRENT] > 0
    perfect = evaluate(sick, truth)
    assert (perfect.pod, perfect.sensitivity, perfect.ppv, perfect.fpr, perfect.delay) == (1, 1, 1, 0, 0)
    nothing = evaluate(np.zeros_like(sick), truth)
    assert (nothing.pod, nothing.fpr, nothing.specificity) == (0, 0, 1)
    score = np.random.default_rng(0).normal(size=sick.shape)
    assert evaluate(at_rate(score, truth, 0.05), truth).fpr == pytest.approx(0.05, abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_quantiles_and_tails_fit_together():
    rng = np.random.default_rng(1)
    mean, dispersion = np.exp(rng.uniform(-8, 12, 400)), 1 + np.exp(rng.uniform(-8, 4, 400)) * (rng.random(400) < 0.8)
    for p in (0.5, 0.95, 0.999):
        k = count_quantile(p, mean, dispersion)
        assert (count_cdf(k, mean, dispersion) >= p).all()
        assert (count_cdf(k - 1, mean, dispersion) < p).all()
        np.testing.assert_allclose(count_tail(k + 1, mean, dispersion), 1 - count_cdf(k, mean, dispersion), atol=1e-12)
    assert np.isnan(count_quantile(0.9, np.array([np.nan, np.inf, 1.0]), np.array([1.0, 1.0, np.nan]))).all()


def test_only_current_weeks_are_judged():
    assert (judged_weeks()[0], judged_weeks()[-1]) == (575, 623)
