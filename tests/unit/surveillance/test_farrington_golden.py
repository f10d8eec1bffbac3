"""Farrington flexible against the reference implementation, digit by digit."""
from __future__ import annotations

import numpy as np
import pytest

from surveillance.farrington import farrington_flexible

OPTION = {
    "noPeriods": "no_periods", "pastWeeksNotIncluded": "past_weeks_not_included",
    "weightsThreshold": "weights_threshold", "pThresholdTrend": "p_threshold_trend",
    "thresholdMethod": "threshold_method", "powertrans": "power_transform",
}
# Where the slope is zero in exact arithmetic, the reference keeps or drops the trend by its rounding error (with the
# threshold at 1 it means to keep it always, as ours does); its p-value then follows a coin, not a rule.
ROUNDING_SLOPE = 1e-14


def relative_error(ours, theirs):
    return np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-300), initial=0.0)


def test_every_point_agrees_with_the_reference(golden):
    configs = golden.configs()
    points = 0
    for (config, dataset, unit), want in golden.grouped("farrington_flexible.csv.gz", "config", "dataset", "unit").items():
        options = {OPTION.get(name, name): value for name, value in configs[config].items()}
        if options.pop("populationOffset", False):
            options["population"] = golden.counts(dataset, unit, "population")
        got = farrington_flexible(
            golden.counts(dataset, unit), weeks_per_year=golden.period(dataset, unit),
            dates=golden.dates(dataset, unit), timepoints=want["row"], **options,
        )
        where = f"{config} {dataset} {unit}"
        np.testing.assert_array_equal(got.alarm[:, 0], want["alarm"] == 1, where)
        for name, ours in (("upperbound", got.limit), ("expected", got.expected), ("phi", got.dispersion)):
            theirs = want[name]
            np.testing.assert_array_equal(np.isfinite(ours[:, 0]), np.isfinite(theirs), f"missing {name} {where}")
            kept = np.isfinite(theirs)
            assert relative_error(ours[kept, 0], theirs[kept]) < 1e-9, f"{name} {where}"
        ours, theirs = got.trend[:, 0], want["trend_coef"]
        slope = np.where(np.isnan(ours), theirs, ours)
        ruled = ~(np.abs(slope) < ROUNDING_SLOPE)
        np.testing.assert_array_equal(np.isfinite(ours[ruled]), np.isfinite(theirs[ruled]), f"trend kept {where}")
        np.testing.assert_array_equal(np.isfinite(got.p_value[ruled, 0]), np.isfinite(want["pvalue"][ruled]), where)
        kept = ruled & np.isfinite(want["pvalue"])
        np.testing.assert_allclose(got.p_value[kept, 0], want["pvalue"][kept], rtol=0, atol=1e-7, err_msg=where)
        judged = np.isfinite(want["upperbound"]) & ruled
        np.testing.assert_allclose(got.score[judged, 0], want["score"][judged], rtol=1e-9, atol=1e-9, err_msg=where)
        points += len(want["row"])
    assert points > 500


@pytest.mark.parametrize("option", [
    {"threshold_method": "magic"}, {"power_transform": "3/4"}, {"alpha": 0}, {"b": 0}, {"no_periods": 60},
])
def test_senseless_options_are_refused(option):
    with pytest.raises(ValueError):
        farrington_flexible(np.ones(300), **option)
