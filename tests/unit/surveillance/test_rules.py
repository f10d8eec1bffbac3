"""Fixed thresholds, moving percentile, cluster rules and the legal clock, on cases worked by hand."""
from __future__ import annotations

import numpy as np
import pytest

from surveillance import State, by_group, cluster_rule, fixed_threshold, hours_left, moving_percentile, never_seen, single_case
from surveillance.clusters import ATTENTION, EVENT


def test_a_single_case_alarms_even_where_the_rest_is_missing():
    result = single_case(np.array([[0, 1, np.nan]]))
    assert result.state.tolist() == [[State.QUIET, State.ALARM, State.INCOMPLETE]]
    late = fixed_threshold(np.array([[2.0], [np.nan]]), 2, window=2)
    assert late.state[:, 0].tolist() == [State.ALARM, State.ALARM]


def test_threshold_per_series_and_window():
    counts = np.array([[1.0, 1], [1, 1], [0, 1], [1, 0]])
    result = fixed_threshold(counts, [2, 3], window=3)
    assert result.alarm.tolist() == [[False, False], [True, False], [True, True], [True, False]]
    assert result.score[-1].tolist() == [2, 2]


def test_a_disease_new_to_the_county():
    counts = np.zeros((300, 1))
    counts[[20, 290, 295]] = 1
    result = never_seen(counts, 260, timepoints=[10, 285, 290, 295])
    assert result.state[:, 0].tolist() == [State.NOT_ENOUGH_HISTORY, State.QUIET, State.ALARM, State.QUIET]


def test_moving_percentile_by_hand():
    counts = np.zeros(40)
    counts[[8, 9, 10, 11, 12]] = [1, 2, 3, 4, 5]
    counts[[18, 19, 20, 21, 22]] = [6, 7, 8, 9, 10]
    counts[30] = 8.5
    result = moving_percentile(counts, 75, years=2, half_width=2, per_year=10, timepoints=[30])
    assert result.limit[0, 0] == np.percentile(np.arange(1, 11), 75)
    assert result.expected[0, 0] == 5.5
    assert result.alarm[0, 0] and result.score[0, 0] == 0.8


def test_moving_percentile_of_daily_counts_sums_seven_days():
    counts = np.ones((800, 1))
    result = moving_percentile(counts, 80, years=2, per_year=365, period=7, timepoints=[790])
    assert result.limit[0, 0] == 7 and result.alarm[0, 0]
    counts[788] = np.nan
    assert moving_percentile(counts, 80, years=2, per_year=365, period=7, timepoints=[790]).state == State.INCOMPLETE


def test_cluster_rules_by_class_and_school():
    rule = {(r.disease, r.unit): r for r in ATTENTION}
    classes = np.zeros((10, 3))
    classes[2, 0], classes[8, 0], classes[9, 1], classes[9, 2] = 2, 1, 2, 1
    by_class = cluster_rule(classes, rule["hand_foot_mouth", "class"], timepoints=[9])
    assert by_class.alarm.tolist() == [[False, True, False]]
    schools, sums = by_group(classes, ["A", "A", "B"])
    assert schools.tolist() == ["A", "B"] and sums[9].tolist() == [2, 1]
    assert not cluster_rule(sums, rule["hand_foot_mouth", "institution"], timepoints=[9]).alarm.any()
    assert all(r.cases >= 1 and r.days >= 1 for r in ATTENTION + EVENT)


def test_the_legal_clock():
    known = ["2025-09-01T08:00", "2025-09-01T08:00", "2025-09-01T08:00"]
    reported = ["2025-09-01T09:30", "2025-09-01T11:00", "NaT"]
    left, late = hours_left(known, reported, "2025-09-01T09:00", 2)
    assert left.tolist() == [0.5, -1.0, 1.0]
    assert late.tolist() == [False, True, False]
    with pytest.raises(ValueError):
        hours_left(["2025-09-01T08:00"], ["2025-09-01T07:00"], "2025-09-01T09:00", 2)


@pytest.mark.parametrize("call", [
    lambda: fixed_threshold(np.ones((3, 1)), 0), lambda: never_seen(np.ones((3, 1)), 0),
    lambda: moving_percentile(np.ones((3, 1)), 100), lambda: by_group(np.ones((3, 2)), ["A"]),
])
def test_senseless_options_are_refused(call):
    with pytest.raises(ValueError):
        call()
