"""Small vectorised tools the generator's modules share.

Put here: conversions between numpy integers and contract types, seeded draws, and the column container.
Put elsewhere: anything that knows what a visit, a person or a price is.
"""

from collections.abc import Iterable

import numpy as np
import polars as pl
import pyarrow as pa

SECONDS_A_DAY = 86400
EPOCH = np.datetime64("1970-01-01", "D")


class Columns:
    """Equal-length numpy arrays by name, taken, joined and extended together."""

    def __init__(self, **arrays: np.ndarray) -> None:
        self.__dict__.update(arrays)

    def __len__(self) -> int:
        return len(next(iter(self.__dict__.values()))) if self.__dict__ else 0

    def take(self, index: np.ndarray) -> "Columns":
        """The rows that `index` (positions or a mask) names, in that order."""
        return Columns(**{k: v[index] for k, v in self.__dict__.items()})

    def set(self, **arrays: np.ndarray) -> "Columns":
        self.__dict__.update(arrays)
        return self

    @staticmethod
    def join(parts: Iterable["Columns"]) -> "Columns":
        """All parts one after another; a column that a part lacks is filled with zero."""
        parts = [p for p in parts if len(p)]
        if not parts:
            return Columns()
        names = {k: v.dtype for p in parts for k, v in p.__dict__.items()}
        return Columns(**{k: np.concatenate([p.__dict__.get(k, np.zeros(len(p), t)) for p in parts]) for k, t in names.items()})


def stream(seed: int, *path: int) -> np.random.Generator:
    """An own random stream for every place in the county's history, so that no part disturbs another."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))


def day(date: object) -> int:
    """Days since 1970-01-01 of a date."""
    return int((np.datetime64(date, "D") - EPOCH).astype(int))


def to_date(days: np.ndarray | int) -> np.ndarray:
    return EPOCH + np.asarray(days).astype("timedelta64[D]")


def dates(days: np.ndarray, valid: np.ndarray | None = None) -> pl.Series:
    """Day numbers as a date column; null where `valid` is false."""
    s = pl.Series(np.asarray(days, np.int32)).cast(pl.Date)
    return s if valid is None else nullable(s, valid)


def datetimes(seconds: np.ndarray, valid: np.ndarray | None = None) -> pl.Series:
    """Seconds since 1970-01-01 (Asia/Shanghai wall time) as a datetime column; null where `valid` is false."""
    s = pl.Series(np.asarray(seconds, np.int64) * 1_000_000).cast(pl.Datetime("us"))
    return s if valid is None else nullable(s, valid)


def decimals(units: np.ndarray, precision: int, scale: int, valid: np.ndarray | None = None) -> pl.Series:
    """Whole units of the last place (fen, for money) as an exact decimal column."""
    words = np.empty((len(units), 2), np.int64)
    words[:, 0] = units
    words[:, 1] = words[:, 0] >> 63
    array = pa.Array.from_buffers(pa.decimal128(precision, scale), len(words), [None, pa.py_buffer(words)])
    s = pl.Series(pl.from_arrow(array))
    return s if valid is None else nullable(s, valid)


def nullable(series: pl.Series, valid: np.ndarray) -> pl.Series:
    """The series with null where `valid` is false."""
    return series.zip_with(
        pl.Series(np.asarray(valid, bool)), pl.Series([None], dtype=series.dtype).new_from_index(0, len(series))
    )


def pick(rng: np.random.Generator, shares: dict, n: int) -> np.ndarray:
    """n positions into the keys of `shares`, drawn with those weights."""
    weights = np.array(list(shares.values()), float)
    return np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(n), side="right").clip(max=len(weights) - 1)


def pick_codes(rng: np.random.Generator, shares: dict, n: int) -> pl.Series:
    """n codes drawn with the weights of `shares`."""
    return pl.Series(list(shares), dtype=pl.String).gather(pick(rng, shares, n))


def numbered(prefix: str | pl.Series, numbers: np.ndarray, width: int) -> pl.Series:
    """Identifiers: prefix and a zero-padded number."""
    number = (pl.Series(np.asarray(numbers, np.int64)) + 10**width).cast(pl.String).str.slice(1)
    return prefix + number


def spread(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For counts per parent: each child's parent position, and its place 0, 1, 2 … under that parent."""
    parent = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return parent, np.arange(len(parent)) - first[parent]


def apportion(total: int, weights: np.ndarray) -> np.ndarray:
    """Whole parts of `total` in proportion to the weights (largest remainders)."""
    exact = total * np.asarray(weights, float) / np.sum(weights)
    parts = np.floor(exact).astype(int)
    order = np.argsort(parts - exact, kind="stable")
    parts[order[: total - parts.sum()]] += 1
    return parts
