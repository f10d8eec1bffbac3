"""What every detector returns, and the checks every detector makes on what it is given."""
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class State(IntEnum):
    """What a detector can say about one series at one timepoint."""

    QUIET = 0
    ALARM = 1
    NOT_ENOUGH_HISTORY = 2   # the baseline the method asks for lies before the first count
    INCOMPLETE = 3           # the count to be judged is itself missing
    TOO_FEW_CASES = 4        # the method abstains: fewer recent cases than its own rule asks for


@dataclass(frozen=True)
class Detection:
    """Outcome of one detector; all arrays have shape (timepoint, series).

    ``limit``, ``expected`` and ``score`` are finite wherever ``state`` is QUIET or ALARM and may be NaN elsewhere.
    ``limit`` and ``expected`` are in cases per time unit; ``score`` is the detector's own scale (its docstring says
    which), larger meaning more unusual. ``alarm`` equals ``state == State.ALARM``.
    ``p_value``, ``dispersion`` and ``trend`` (log change per time unit, NaN where no trend was fitted) are given by
    the detectors that estimate them, else None. ``timepoints`` are 0-based rows of the counts.
    """

    timepoints: np.ndarray
    limit: np.ndarray
    expected: np.ndarray
    score: np.ndarray
    alarm: np.ndarray
    state: np.ndarray
    p_value: np.ndarray | None = None
    dispersion: np.ndarray | None = None
    trend: np.ndarray | None = None


def judge(
    observed: np.ndarray,
    timepoints: np.ndarray,
    limit: np.ndarray,
    expected: np.ndarray,
    score: np.ndarray,
    exceeds: np.ndarray,
    enough: np.ndarray | bool = True,
    abstains: np.ndarray | bool = False,
    limit_when_abstaining: float = np.nan,
    **estimates: np.ndarray,
) -> Detection:
    """Detection from a limit and the comparison ``exceeds``, states filled in the one order used everywhere.

    A missing count outranks a short history, which outranks the method's own abstention. A limit or expectation
    that is not finite although the history was there counts as no history: nothing was estimated.
    """
    computed = np.isfinite(limit) & np.isfinite(expected) & np.isfinite(score)
    enough = np.broadcast_to(enough, limit.shape)
    abstains = np.broadcast_to(abstains, limit.shape)
    state = np.where(exceeds, State.ALARM, State.QUIET).astype(np.int8)
    state[~computed | ~enough] = State.NOT_ENOUGH_HISTORY
    state[abstains & enough] = State.TOO_FEW_CASES
    state[np.isnan(observed)] = State.INCOMPLETE
    silent = state > State.ALARM
    return Detection(
        timepoints=timepoints,
        limit=np.where(silent, np.where(state == State.TOO_FEW_CASES, limit_when_abstaining, np.nan), limit),
        expected=np.where(silent, np.nan, expected),
        score=np.where(silent, np.nan, score),
        alarm=state == State.ALARM,
        state=state,
        **estimates,
    )


def as_counts(counts: np.ndarray) -> np.ndarray:
    """Counts as float (time, series); a vector becomes one series. Refuses negative and infinite counts."""
    array = np.asarray(counts, dtype=float)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"counts must have shape (time, series), not {array.shape}")
    if np.isinf(array).any() or (array < 0).any():
        raise ValueError("counts must be finite and not negative; a missing count is NaN")
    return array


def as_timepoints(timepoints, length: int) -> np.ndarray:
    """0-based rows to be judged; None means every row. Raises IndexError for a row that does not exist."""
    if timepoints is None:
        return np.arange(length)
    rows = np.atleast_1d(np.asarray(timepoints))
    if rows.size and not np.issubdtype(rows.dtype, np.integer):
        raise TypeError("timepoints must be whole numbers")
    if rows.size and (rows.min() < 0 or rows.max() >= length):
        raise IndexError(f"timepoints must lie in 0..{length - 1}")
    return rows.astype(int)


def as_days(dates, length: int) -> np.ndarray:
    """Dates as numpy days, checked to be one per row and strictly increasing."""
    days = np.asarray(dates, dtype="datetime64[D]")
    if days.shape != (length,):
        raise ValueError(f"dates must have one entry per row of counts ({length}), not shape {days.shape}")
    if np.isnat(days).any() or (np.diff(days) <= np.timedelta64(0)).any():
        raise ValueError("dates must be present and strictly increasing")
    return days
