"""What is planted in the county and recorded: outbreaks, fraud, data faults and innocent patterns.

Put here: every departure from the plain simulation, and the ground truth file that records it.
Put elsewhere: the plain simulation.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from data_samples.arrays import Columns


class Plan:
    """Everything planted in one county."""

    routine_tag = -1

    def __init__(self, c: object) -> None:
        self.c = c

    def visits(self, g: object, m: int) -> Columns:
        return Columns()

    def stays(self, g: object, m: int) -> Columns:
        return Columns()

    def open_beds(self, g: object, days: np.ndarray, beds: np.ndarray, patients: np.ndarray) -> np.ndarray:
        return beds

    def sent_resident(self, who: np.ndarray, rows: dict[str, pl.Series]) -> dict[str, pl.Series]:
        return rows

    def season_shift(self, curve: str, days: np.ndarray, factor: np.ndarray) -> np.ndarray:
        return factor

    def note_cards(self, tag: np.ndarray, ids: pl.Series, day: np.ndarray) -> None:
        return None

    def material_factor(self, g: object, days: np.ndarray) -> np.ndarray:
        return np.ones(len(days))

    def tamper(self, sender: str, label: str, seq: int, extract: str, frame: pl.DataFrame, *_: object) -> pl.DataFrame:
        return frame


Tamper = Callable[..., pl.DataFrame]
