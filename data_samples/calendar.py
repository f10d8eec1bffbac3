"""Days: weekdays, holidays, the Spring Festival and the seasons of the illness classes.

Put here: how busy a day is. Put elsewhere: who comes on it (`events.py`).
"""

import datetime as dt

import chinese_calendar
import numpy as np

from data_samples.arrays import EPOCH, to_date
from data_samples.parameters import Node


class Calendar:
    """Factors per day from `first` to `last`: `weekday`, `holiday` (by place), `admission`, `festival` flags."""

    def __init__(self, p: Node, first: int, last: int) -> None:
        self.p, self.first = p, first
        q = p.calendar
        days = np.arange(first, last + 1)
        self.weekday_number = (days + 3) % 7  # 1970-01-01 was a Thursday
        self.weekday = np.array(q.weekday)[self.weekday_number]
        self.admission = np.array(q.admission_weekday)[self.weekday_number]
        self.holiday = np.zeros(len(days), bool)
        self.festival = np.zeros(len(days), bool)
        self.return_window = np.zeros(len(days), bool)
        self.known = True
        spring: dict[int, list[int]] = {}
        for i, d in enumerate(days):
            date = (EPOCH + d).astype(dt.date)
            try:
                off, name = chinese_calendar.get_holiday_detail(date)
            except NotImplementedError:  # the library knows the years that the State Council has announced
                self.known = False
                continue
            if off and name:
                self.holiday[i] = True
                if name == chinese_calendar.Holiday.spring_festival.value:
                    self.festival[i] = True
                    spring.setdefault(date.year, []).append(int(d))
        before, after = q.festival_return_days
        self.spring = {y: min(v) + 1 for y, v in spring.items()}  # the eve is the first day off
        for d in self.spring.values():
            a, b = max(d - before - first, 0), max(d + after - first, 0)
            self.return_window[a:b] = True
        month = to_date(days).astype("datetime64[M]").astype(int) % 12
        self.month = month

    def at(self, values: np.ndarray, days: np.ndarray) -> np.ndarray:
        """A factor's values on some days."""
        return values[days - self.first]

    def visits(self, days: np.ndarray, village: bool) -> np.ndarray:
        """How busy an outpatient day is, relative to the mean."""
        rest = self.p.calendar.holiday.village if village else self.p.calendar.holiday.county
        return self.at(self.weekday, days) * np.where(self.at(self.holiday, days), rest, 1.0)
