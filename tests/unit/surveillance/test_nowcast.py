"""Nowcasts beside the published ones, and their coverage on simulated delays."""
from __future__ import annotations

import numpy as np
import pytest

from surveillance.nowcast import nowcast, reporting_triangle


@pytest.fixture
def hus(golden):
    rows = list(golden.rows("husO104Hosp_linelist.csv"))
    event, report = [r["dHosp"] for r in rows], [r["dReport"] for r in rows]
    days, triangle = reporting_triangle(event, report, "2011-06-02", 15)
    want = {}
    for row in golden.rows("nowcast_husO104.csv"):
        want.setdefault(row["method"], {})[np.datetime64(row["date"])] = [
            float(row[key]) for key in ("reported_by_now", "nowcast", "lo", "hi")
        ]
    return days, triangle, want, np.array([np.sum(np.array(event, "datetime64[D]") == d) for d in days])


def test_reported_counts_are_the_published_ones(hus):
    days, triangle, want, _ = hus
    reported = nowcast(triangle, "lawless").reported
    for day, (by_now, *_) in want["lawless"].items():
        assert reported[days == day][0] == by_now


def test_lawless_estimates_agree_with_the_published_ones(hus):
    days, triangle, want, _ = hus
    got = nowcast(triangle, "lawless")
    for day, (_, estimate, _, _) in want["lawless"].items():
        assert abs(got.estimate[days == day][0] - estimate) <= 1


def test_bayes_estimates_lie_within_the_published_intervals(hus):
    """Ours intervals are wider: they allow for the over-dispersion of the delays (4.6 here: a reporting system at its limits)."""
    days, triangle, want, final = hus
    got = nowcast(triangle)
    for day, (_, estimate, low, high) in want["bayes.trunc"].items():
        at = days == day
        assert low <= got.estimate[at][0] <= high
        assert got.lower[at][0] <= estimate <= got.upper[at][0]
        assert got.lower[at][0] <= final[at][0] <= got.upper[at][0]


@pytest.mark.parametrize(("mean", "varying"), [(5, False), (40, False), (40, True)])
def test_interval_covers_the_final_counts(mean, varying):
    rng = np.random.default_rng(5)
    share = 0.75 ** np.arange(15)
    share /= share.sum()
    covered = []
    for repeat in range(40):
        level = mean * np.exp(0.5 * np.sin(np.arange(60) / 9))
        full = np.array([
            rng.multinomial(rng.poisson(rng.gamma(3, m / 3) if varying else m), rng.dirichlet(20 * share) if varying else share)
            for m in level
        ]).astype(float)
        known = np.where(np.arange(60)[::-1][:, None] < np.arange(15), np.nan, full)
        got = nowcast(known, samples=500, seed=repeat)
        final = full.sum(axis=1)
        covered.append(((got.lower <= final) & (final <= got.upper))[-14:])
    assert 0.9 <= np.mean(covered) <= 0.995


def test_complete_days_are_left_as_they_are_and_series_are_independent():
    rng = np.random.default_rng(1)
    known = rng.poisson(3.0, (30, 4, 2)).astype(float)
    known[np.arange(30)[::-1][:, None] < np.arange(4)] = np.nan
    got = nowcast(known, seed=2)
    done = np.arange(30) < 27
    np.testing.assert_array_equal(got.lower[done], got.reported[done])
    np.testing.assert_array_equal(got.upper[done], got.reported[done])
    assert (got.lower <= got.estimate).all() and (got.estimate <= got.upper).all() and (got.reported <= got.lower).all()
    assert got.estimate.shape == (30, 2)
    np.testing.assert_allclose(got.completeness[:, 0], nowcast(known[:, :, 0]).completeness)


def test_nothing_reported_at_all_still_has_an_interval():
    known = np.zeros((20, 5))
    known[np.arange(20)[::-1][:, None] < np.arange(5)] = np.nan
    got = nowcast(known)
    assert np.isfinite([got.estimate, got.lower, got.upper]).all()


@pytest.mark.parametrize("bad", [np.ones(5), -np.ones((5, 3)), np.array([[np.nan, 1.0]])])
def test_malformed_triangles_are_refused(bad):
    with pytest.raises(ValueError):
        nowcast(bad)


def test_a_report_before_its_event_is_refused():
    with pytest.raises(ValueError):
        reporting_triangle(["2024-01-02"], ["2024-01-01"], "2024-01-05", 3)
