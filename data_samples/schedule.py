"""When rows leave an institution: one batch a month for the history, one a day for the last days of the period.

Put here: the slots of the period and the time at which a batch is received. Put elsewhere: what is in a batch (`outbox.py`).
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from data_samples.arrays import EPOCH, stream, to_date
from data_samples.institutions import month_days
from data_samples.parameters import Node


@dataclass(frozen=True)
class Slot:
    """One batch's span: rows entered from `first` to `last`; `daily` or monthly; `month` is its place in the period."""

    label: str
    first: int
    last: int
    daily: bool
    month: int


class Schedule:
    """The slots of a period. A row entered before the period goes with the first slot, one entered after it is not sent."""

    def __init__(self, p: Node, start: dt.date, months: int, daily_days: int, seed: int) -> None:
        self.p, self.seed = p, seed
        self.months = month_days(start, months)
        self.first, self.last = self.months[0][0], self.months[-1][1]
        window = max(self.last - daily_days + 1, self.first) if daily_days else self.last + 1
        self.window = window
        self.slots: list[Slot] = []
        for m, (a, b, label) in enumerate(self.months):
            if a < window:
                self.slots.append(Slot(label, a, min(b, window - 1), False, m))
            for d in range(max(a, window), b + 1):
                self.slots.append(Slot(str(EPOCH + d).replace("-", ""), d, d, True, m))
        self._ends = np.array([s.last for s in self.slots])

    def slot(self, days: np.ndarray) -> np.ndarray:
        """The slot of rows entered on some days; -1 after the period."""
        s = np.searchsorted(self._ends, days)
        return np.where(s < len(self._ends), s, -1)

    def month(self, days: np.ndarray) -> np.ndarray:
        """Months since 1970-01."""
        return to_date(days).astype("datetime64[M]").astype(int)

    def following_month_day(self, days: np.ndarray, day_of_month: int) -> np.ndarray:
        """A day of the month after each day."""
        first = (to_date(days).astype("datetime64[M]") + 1).astype("datetime64[D]")
        return (first - EPOCH).astype(int) + day_of_month - 1

    def of_month(self, m: int) -> list[int]:
        return [i for i, s in enumerate(self.slots) if s.month == m]

    def received(self, slot: int, sender: int, kind: str) -> dt.datetime:
        """When a sender's batch of a slot arrives: the morning after its last day, or late by days (monthly) or hours (daily)."""
        q, s = self.p.lateness, self.slots[slot]
        rng = stream(self.seed, 90, slot, sender)
        base = dt.datetime.combine((EPOCH + s.last + 1).astype(dt.date), dt.time())
        late = rng.random() < q.late_share.get(kind, q.late_share.other)
        if not s.daily and late and s.last + 1 != self.window:  # the last monthly file comes before the first daily one
            ahead = int(rng.integers(*q.monthly_receipt_days))
            return base + dt.timedelta(
                days=ahead, hours=int(rng.integers(*q.monthly_receipt_hours)), minutes=int(rng.integers(0, 60))
            )
        if not s.daily:
            return base + dt.timedelta(hours=int(rng.integers(*q.daily_receipt_hours)), minutes=int(rng.integers(0, 60)))
        extra = int(rng.integers(*q.daily_late_hours)) if late and s.last < self.last - 2 else 0
        return base + dt.timedelta(hours=int(rng.integers(*q.daily_receipt_hours)) + extra, minutes=int(rng.integers(0, 60)))

    def closing(self, m: int, sender: int) -> dt.datetime:
        """When the monthly extracts of month m arrive, if its rows went day by day."""
        rng, q = stream(self.seed, 91, m, sender), self.p.lateness
        base = dt.datetime.combine((EPOCH + self.months[m][1] + 1).astype(dt.date), dt.time())
        ahead = int(rng.integers(q.monthly_receipt_days[0] - 1, q.monthly_receipt_days[1]))
        return base + dt.timedelta(days=ahead, hours=int(rng.integers(*q.monthly_receipt_hours)), minutes=30)


def date_of(days: int) -> dt.date:
    return (EPOCH + int(days)).astype(dt.date)
