"""Counts of a baseline window, gathered without ever building the (timepoint, window, series) block."""
from __future__ import annotations

import numpy as np

LARGEST_SCORE = 1e30


def moments(y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number present, mean and sample standard deviation of ``y`` over ``rows`` (timepoint, window).

    Rows below 0 and missing counts are left out; the mean is NaN where nothing is left, the deviation where fewer
    than two counts are. Each result has shape (timepoint, series).
    """
    number = np.zeros((len(rows), y.shape[1]))
    total = np.zeros_like(number)
    for column in rows.T:
        value, present = _column(y, column)
        number += present
        total += value
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    square = np.zeros_like(number)
    for column in rows.T:
        value, present = _column(y, column)
        square += np.where(present, (value - mean) ** 2, 0.0)
    return number, mean, np.where(number > 1, np.sqrt(square / np.maximum(number - 1, 1)), np.nan)


def _column(y, column):
    value = y[np.maximum(column, 0)]
    present = ~np.isnan(value) & (column >= 0)[:, None]
    return np.where(present, value, 0.0), present


def season_rows(points, references, half: int, this_year: int) -> np.ndarray:
    """Rows of the ``this_year`` weeks before each timepoint and of +- ``half`` weeks around every past reference.

    ``references`` (timepoint, years) as from farrington.reference_rows without its first column; a reference that
    does not exist gives rows below 0.
    """
    now = points[:, None] - np.arange(1, this_year + 1)
    around = references[:, :, None] + np.arange(-half, half + 1)
    around = np.where(references[:, :, None] >= 0, around, -1)
    return np.hstack([now, around.reshape(len(points), -1)])


def standardised(observed, mean, sd):
    """(observed - mean) / sd; an excess over a constant baseline scores the largest number, not infinity."""
    excess = observed - mean
    constant = np.where(excess > 0, LARGEST_SCORE, np.where(excess == 0, 0.0, excess))
    return np.where(sd > 0, excess / np.where(sd > 0, sd, 1.0), constant)
