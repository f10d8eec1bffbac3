"""What every detector must hold, whatever the counts: permutation, causality, gaps, zeros, giants, scaling, week 53."""
from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surveillance import (
    State,
    bayes,
    cdc,
    cusum,
    ears,
    ewma,
    farrington,
    farrington_flexible,
    fixed_threshold,
    glr,
    moving_percentile,
    never_seen,
    pooled,
    pooled_streams,
    rki,
)
from surveillance.farrington import reference_rows

WEEKS = 230
ROWS = np.arange(212, WEEKS)
FLEXIBLE = {"b": 3, "no_periods": 10, "past_weeks_not_included": 26, "p_threshold_trend": 1.0, "alpha": 0.01}
DETECTORS = {
    "farrington_flexible nbPlugin": lambda y: farrington_flexible(y, threshold_method="nbPlugin", timepoints=ROWS, **FLEXIBLE),
    "farrington_flexible muan": lambda y: farrington_flexible(y, threshold_method="muan", timepoints=ROWS, **FLEXIBLE),
    "farrington_flexible delta": lambda y: farrington_flexible(y, b=3, timepoints=ROWS),
    "farrington": lambda y: farrington(y, b=3, timepoints=ROWS),
    "C1": lambda y: ears(y, "C1", timepoints=ROWS),
    "C2": lambda y: ears(y, "C2", min_sigma=0.5, timepoints=ROWS),
    "C3": lambda y: ears(y, "C3", min_sigma=0.5, timepoints=ROWS),
    "cusum": lambda y: cusum(y, timepoints=ROWS),
    "cusum rossi": lambda y: cusum(y, transform="rossi", timepoints=ROWS),
    "cusum anscombe_negbin": lambda y: cusum(y, transform="anscombe_negbin", shape=0.3, timepoints=ROWS),
    "cusum pearson_negbin": lambda y: cusum(y, transform="pearson_negbin", shape=0.3, timepoints=ROWS),
    "ewma": lambda y: ewma(y, timepoints=ROWS),
    "glr poisson": lambda y: glr(y, timepoints=ROWS),
    "glr negbin": lambda y: glr(y, "negbin", timepoints=ROWS),
    "rki": lambda y: rki(y, 2, timepoints=ROWS),
    "bayes": lambda y: bayes(y, 3, timepoints=ROWS),
    "cdc": lambda y: cdc(y, b=3, timepoints=ROWS),
    "moving percentile": lambda y: moving_percentile(y, 80, 3, timepoints=ROWS),
    "fixed threshold": lambda y: fixed_threshold(y, 3, timepoints=ROWS),
    "never seen": lambda y: never_seen(y, 100, timepoints=ROWS),
    "pooled": lambda y: pooled(y, timepoints=ROWS),
    "pooled one week": lambda y: pooled(y, one_week=True, timepoints=ROWS),
    "pooled streams": lambda y: pooled_streams(y, np.arange(y.shape[1]), np.zeros((y.shape[1],) * 2), timepoints=ROWS),
}
each_detector = pytest.mark.parametrize("name", DETECTORS)


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def sample(seed: int, mean: float = 4.0, series: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    season = np.exp(0.4 * np.sin(2 * np.pi * np.arange(WEEKS) / 52))[:, None] * mean
    return rng.negative_binomial(season * np.ones(series) / 0.8, 1 / 1.8).astype(float)


def check(result):
    assert result.state.shape == result.limit.shape == result.alarm.shape
    judged = result.state <= State.ALARM
    for values in (result.limit, result.expected, result.score):
        assert np.isfinite(values[judged]).all()
    np.testing.assert_array_equal(result.alarm, result.state == State.ALARM)
    assert (result.limit[judged] >= 0).all()


@each_detector
@settings(max_examples=4, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), mean=st.sampled_from([0.05, 0.5, 4.0, 300.0]))
def test_series_do_not_touch_each_other(name, seed, mean):
    y = sample(seed, mean)
    result = DETECTORS[name](y)
    check(result)
    order = np.random.default_rng(seed).permutation(y.shape[1])
    permuted = DETECTORS[name](y[:, order])
    np.testing.assert_allclose(permuted.limit, result.limit[:, order], rtol=1e-9)
    np.testing.assert_array_equal(permuted.state, result.state[:, order])


@each_detector
@settings(max_examples=3, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_the_future_does_not_change_the_past(name, seed):
    y = sample(seed)
    result = DETECTORS[name](y)
    for future in (np.zeros((30, y.shape[1])), sample(seed + 1)[:30]):
        longer = DETECTORS[name](np.vstack([y, future]))
        np.testing.assert_allclose(longer.limit, result.limit, rtol=1e-9)
        np.testing.assert_allclose(longer.score, result.score, rtol=1e-8, atol=1e-9)
        np.testing.assert_array_equal(longer.state, result.state)


@each_detector
def test_a_missing_week_is_incomplete_and_never_an_alarm(name):
    y = sample(3, 6.0)
    y[ROWS[5]] = np.nan
    y[150:152, 1] = np.nan
    y[100, 2] = np.nan
    result = DETECTORS[name](y)
    check(result)
    assert (result.state[5] == State.INCOMPLETE).all()
    assert not result.alarm[5].any()
    assert (result.state[-1] <= State.ALARM).all() or name in ("C3",)


@each_detector
def test_a_series_of_zeros_is_quiet(name):
    result = DETECTORS[name](np.zeros((WEEKS, 2)))
    check(result)
    assert not result.alarm.any()


@each_detector
def test_a_series_never_reported_says_nothing(name):
    result = DETECTORS[name](np.full((WEEKS, 2), np.nan))
    check(result)
    assert (result.state == State.INCOMPLETE).all()


@each_detector
@pytest.mark.parametrize("giant", [1e4, 1e9])
def test_one_enormous_count(name, giant):
    y = sample(11, 6.0, 2)
    y[150, 0] = giant      # far back: must not break the fit
    y[ROWS[-1], 1] = giant  # now: must be seen
    result = DETECTORS[name](y)
    check(result)
    if name not in ("C3", "never seen"):  # C3 as implemented looks at the weeks before; the disease is not new
        assert result.alarm[-1, 1]


@pytest.mark.parametrize("detect", [
    ears, rki, bayes, cdc, glr, farrington, farrington_flexible, pooled, moving_percentile, lambda y: never_seen(y, 100),
])
def test_too_short_a_history_is_said(detect):
    result = detect(sample(5)[:6])
    check(result)
    assert (result.state == State.NOT_ENOUGH_HISTORY).all()


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "cdc"])
def test_limits_scale_with_the_counts(name):
    y = sample(8, 30.0) + 1
    result, scaled = DETECTORS[name](y), DETECTORS[name](7 * y)
    judged = (result.state <= State.ALARM) & (scaled.state <= State.ALARM)
    np.testing.assert_allclose(scaled.limit[judged], 7 * result.limit[judged], rtol=1e-9)


def test_expectations_scale_with_the_counts():
    y = sample(9, 50.0) * 3
    result, scaled = (farrington_flexible(k * y, b=3, no_periods=10, p_threshold_trend=1.0, timepoints=ROWS) for k in (1, 5))
    np.testing.assert_allclose(scaled.expected, 5 * result.expected, rtol=1e-6)


def test_week_53_keeps_the_season():
    days = np.datetime64("2012-01-02") + 7 * np.arange(52 * 13)  # Mondays; 2015 and 2020 have 53 ISO weeks
    rows = reference_rows(np.array([660]), days, len(days), 52, 8)[0]
    assert (rows >= 0).all()
    now = days[660]
    for years, row in enumerate(rows):
        gap = abs((days[row] - (now - np.timedelta64(int(round(365.2425 * years)), "D"))).astype(int))
        assert gap <= 4
        assert (now - days[row]).astype(int) % 7 == 0
    assert rows[-1] < 660 - 8 * 52  # a 53rd week lies between


def test_a_53_week_year_does_not_shift_the_peak():
    days = np.datetime64("2008-12-29") + 7 * np.arange(52 * 12 + 2)
    phase = (days.astype(float) / 365.2425) % 1
    y = np.round(200 * np.exp(1.5 * np.cos(2 * np.pi * phase)))[:, None]
    rows = np.arange(520, len(days))
    options = {"b": 8, "no_periods": 10, "p_threshold_trend": 1.0, "past_weeks_not_included": 26, "timepoints": rows}
    dated = farrington_flexible(y, dates=days, **options)
    undated = farrington_flexible(y, **options)
    error = [np.abs(r.expected[:, 0] - y[rows, 0]).mean() for r in (dated, undated)]
    assert error[0] < error[1]
    seasonal = pooled(y, dates=days, timepoints=rows)
    np.testing.assert_allclose(seasonal.expected[:, 0], y[rows, 0], rtol=0.02)


@pytest.mark.parametrize("bad", [-np.ones((10, 1)), np.full((10, 1), np.inf), np.ones((2, 2, 2))])
def test_impossible_counts_are_refused(bad):
    with pytest.raises(ValueError):
        ears(bad)


@pytest.mark.parametrize("points", [[-1], [WEEKS]])
def test_rows_that_do_not_exist_are_refused(points):
    with pytest.raises(IndexError):
        ears(sample(1), timepoints=points)
