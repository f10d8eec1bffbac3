"""What is planted in the county and recorded: outbreaks, fraud, data faults and innocent patterns.

Put here: how a run acts on what is planted, and the ground truth file that records it. Put elsewhere: what is planted
(`plantings.py`), and the plain simulation.
"""

import csv
import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from data_samples.arrays import SECONDS_A_DAY, Columns, decimals, stream, to_date
from data_samples.institutions import year_of
from data_samples.plantings import Entry, Plantings
from data_samples.schedule import date_of

COLUMNS = (
    "gt_id",
    "kind",
    "institution_code",
    "person_keys",
    "record_ids",
    "start_date",
    "end_date",
    "magnitude",
    "expected_rule",
    "expected_indicator",
    "detect_by_date",
    "note",
)
KINDS = {"O": "outbreak", "F": "fraud", "Q": "quality", "I": "innocent"}
MOST_IDS = 2000  # a pattern of more records than this is recorded by its dates and size alone


class Plan(Plantings):
    """Everything planted in one county; asked by each stage of a run, and written down at its end."""

    routine_tag = -1

    def __init__(self, c: object) -> None:
        self.c, self.q, self.root = c, c.p.planted, c.scale**0.5
        self.entries: dict[int, Entry] = {}
        self.missing: dict[str, str] = dict(self.q.unplanned)
        self._visits: dict[tuple[str, int], list[Columns]] = {}
        self._stays: dict[tuple[str, int], list[Columns]] = {}
        self.rng = stream(c.seed, 80)
        self._reserved = np.zeros(len(c.persons.sex), bool)
        s = c.schedule
        self.history = [m for m, (a, b, _) in enumerate(s.months) if b < s.window]
        self.tags: dict[str, int] = {}
        for name in sorted(n for n in dir(self) if re.fullmatch(r"_plant_[a-z]\d\d", n)):
            reason = getattr(self, name)()
            if reason:
                self.missing[f"GT-{name[-3:].upper()}"] = reason
        c.busy_until[self._reserved] = 2**30  # nobody planted has a stay that is not

    # ------------------------------------------------------------------ asked by the run

    def visits(self, g: object, m: int) -> Columns:
        """Planted visits of a group in a month."""
        return Columns.join(self._visits.get((g.name, m), []))

    def stays(self, g: object, m: int) -> Columns:
        """Planted stays of a group, by month of admission."""
        return Columns.join(self._stays.get((g.name, m), []))

    def season_shift(self, curve: str, days: np.ndarray, factor: np.ndarray, height: Callable) -> np.ndarray:
        """The weekly curve of a disease, moved earlier where an early season is planted."""
        start = getattr(self, "_flu", None)
        if curve != "influenza" or start is None:
            return factor
        weeks = np.array([int(d.astype(object).isocalendar()[1]) for d in to_date(days + 7 * self.q.O03.weeks_earlier)])
        return np.where(days >= start, height(weeks), factor)

    def material_factor(self, g: object, days: np.ndarray) -> np.ndarray:
        """What the consumables of visits or stays are multiplied with."""
        if hasattr(self, "F20") and self.F20[0] in g.insts:
            return np.where(days >= self.F20[1], self.F20[2], 1.0)
        return np.ones(len(days))

    def open_beds(self, g: object, days: np.ndarray, beds: np.ndarray, patients: np.ndarray) -> np.ndarray:
        """The open beds that a group reports."""
        if hasattr(self, "Q13") and self.Q13[0] in g.insts:
            k = int(np.flatnonzero(g.insts == self.Q13[0])[0])
            when = (days >= self.Q13[1]) & (days <= self.Q13[2])
            few = np.maximum(np.floor(patients[k, 0] * self.q.Q13.open_share), 1).astype(int)
            beds = beds.copy()
            beds[k, 0] = np.where(when, np.minimum(few, beds[k, 0]), beds[k, 0])
        return beds

    def sent_resident(self, who: np.ndarray, rows: dict[str, pl.Series]) -> dict[str, pl.Series]:
        """Resident rows as they are sent, with the wrong sex of the test persons."""
        test = np.isin(who, self.Q05)
        if not test.any():
            return rows
        sex = self.c.persons.sex[who]
        return rows | {"sex_code": pl.Series(np.where(test, 3 - sex, sex)).cast(pl.String)}

    def alter_visits(self, g: object, m: int, v: Columns) -> None:
        """Changes to a month's visits before they are charged."""
        if hasattr(self, "F18") and self.F18[1] == m and self.F18[2] in g.insts:
            tag, _, inst, end = self.F18
            mine = (v.inst == inst) & (self.rng.random(len(v)) < self.q.F18.share) & (v.day <= end)
            v.set(settle_at=np.where(mine, np.maximum(end - self.rng.integers(0, 2, len(v)), v.day), 0).astype(np.int64))
            self.F18_rows = (tag, mine)
        if self.I09 in g.insts:
            weekday = (v.day + 3) % 7
            v.set(entry_shift=np.where(v.inst == self.I09, (4 - weekday) % 7, 0))

    def alter_visit_lines(self, g: object, m: int, v: Columns, lines: Columns) -> Columns:
        """Adds planted lines to a month's visits."""
        cat, added = self.c.catalogue, []

        def chosen(gt: str, n: int) -> np.ndarray:
            inst = getattr(self, gt)[2]
            charged = np.unique(lines.parent)
            own = charged[v.inst[charged] == inst]
            return np.sort(self.rng.permutation(own)[:n])

        def add(parent: np.ndarray, names: list[str], tag: int, copies: int, beyond: int = 0) -> None:
            for name in names:
                item = int(np.flatnonzero((cat.frame["name"] == name).to_numpy())[0])
                price = cat.price[g.level, int(year_of(v.day[0]))][item]
                for k in range(copies):
                    n = len(parent)
                    added.append(
                        Columns(
                            parent=parent,
                            item=np.full(n, item),
                            quantity=np.full(n, 1000),
                            price=np.full(n, price),
                            amount=np.full(n, price // 100),
                            second=v.day[parent].astype(np.int64) * SECONDS_A_DAY + v.second[parent] + 300,
                            tag=np.full(n, tag if k == copies - 1 else 0),
                            beyond=np.full(n, beyond),
                        )
                    )

        for gt in ("F06", "F07", "F13"):
            planted = getattr(self, gt, None)
            if planted is None or planted[1] != m or planted[2] not in g.insts:
                continue
            tag, _, inst, n = planted
            if gt == "F06":
                add(chosen(gt, n // len(self.q.F06.panel)), self.q.F06.panel, tag, 1)
            elif gt == "F07":
                add(chosen(gt, n), [self.q.F07.item], tag, 2)
            else:
                staff = self.c.staff
                own = staff.roster[staff.start[inst] : staff.start[inst] + staff.doctors[inst] - staff.in_wards[inst]]
                weak = own[staff.antibiotic[own] < 2][: self.q.F13.doctors]
                parent = chosen(gt, n)
                doctor = getattr(v, "doctor", np.zeros(len(v), np.int64)).copy()
                doctor[parent] = weak[np.arange(len(parent)) % len(weak)] if len(weak) else 0
                v.set(doctor=doctor)
                if len(weak):
                    add(parent, [self.q.F13.item], tag, 1, beyond=1)
        if not added:
            return lines
        lines = Columns.join([lines, *added])
        return lines.take(np.lexsort((lines.second, lines.parent)))

    def alter_stays(self, g: object, s: Columns) -> None:
        """Changes to a month's stays before they are charged."""
        if hasattr(self, "Q02") and self.Q02[1] in g.insts:
            _, _, a, b = self.Q02
            mine = (s.out >= a) & (s.out <= b) & (self.rng.random(len(s)) < self.q.Q02.share)
            s.set(coded=np.where(mine, b + self.q.Q02.later_days, 0))

    def alter_stay_lines(self, g: object, m: int, s: Columns, lines: Columns) -> Columns:
        """Oxygen for more hours than a day has."""
        planted = getattr(self, "F05", None)
        if planted is None or planted[1] != m or planted[2] not in g.insts:
            return lines
        tag, _, inst, n = planted
        oxygen = np.flatnonzero(lines.item == self.c.catalogue.special["oxygen"])
        intensive = oxygen[s.dept[lines.parent[oxygen]] == g.intensive_in]
        pool = np.r_[intensive, np.setdiff1d(oxygen, intensive)][:n]
        lines.set(tag=np.zeros(len(lines), np.int64))
        if len(pool) < n:  # a thinned county may have no such lines that month
            stay = self.rng.integers(0, len(s), n - len(pool))
            item = self.c.catalogue.special["oxygen"]
            price = self.c.catalogue.price[g.level, int(year_of(s.admit[0]))][item]
            more = Columns(
                parent=stay,
                item=np.full(len(stay), item),
                quantity=np.full(len(stay), 1000),
                price=np.full(len(stay), price),
                amount=np.full(len(stay), price // 100),
                second=s.admitted[stay] + 3600,
                day=s.admit[stay],
                tag=np.full(len(stay), tag),
            )
            lines = Columns.join([lines, more])
            lines = lines.take(np.lexsort((lines.second, lines.parent)))
            pool = np.r_[np.flatnonzero(lines.tag == tag), np.flatnonzero(lines.item == item)[: len(pool)]]
        lines.tag[pool] = tag
        lines.quantity[lines.tag == tag] = (
            self.rng.integers(*self.q.F05.hours, int((lines.tag == tag).sum()), endpoint=True) * 1000
        )
        return lines

    def overstated(
        self, cols: dict, last: dict, changed: np.ndarray, inst: np.ndarray, end: np.ndarray, pay: Columns, cancelled: np.ndarray
    ) -> tuple[dict, dict, np.ndarray, np.ndarray]:
        """Settlements of the hospital that sends three months again: first too high, later right."""
        touched = np.zeros(len(inst), bool)
        if hasattr(self, "Q14"):
            _, own, a, b, again = self.Q14
            touched = (inst == own) & (end >= a) & (end <= b) & (pay.total > 0) & ~cancelled
            touched &= self.c.schedule.slot(np.full(len(inst), again)) > self.c.schedule.slot(end)
            extra = np.where(touched, np.rint(pay.total * (self.q.Q14.factor - 1)).astype(np.int64), 0)
            high = {
                "total_fee": decimals(pay.total + extra, 14, 2),
                "in_scope_amount": decimals(pay.scope + extra, 14, 2),
                "cash_pay": decimals(pay.cash + extra, 12, 2),
            }
            last = last | {k: cols[k] for k in high}
            cols = cols | high
            changed = np.where(touched, again, changed)
        return cols, last, changed, touched

    def lateness(self, slot: object, kind: str) -> dt.timedelta:
        """By how much longer a batch takes than usual."""
        late = hasattr(self, "Q10") and kind == "village" and slot.month == self.Q10 and not slot.daily
        return dt.timedelta(days=self.q.Q10.days if late else 0)

    def held_back(self, inst: int, slot: object) -> str:
        """Whether an institution sends a slot: 'send', 'hold', or 'double' when it sends all that was held, twice."""
        if hasattr(self, "Q01") and inst == self.Q01[0] and slot.daily and self.Q01[1] <= slot.first <= self.Q01[2]:
            return "double" if slot.first == self.Q01[2] else "hold"
        return "send"

    def no_file(self, m: int) -> bool:
        """Whether the out-of-county file of a month never comes."""
        return getattr(self, "Q04", None) == m

    def before(self, inst: int, extract: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Rows as an institution sends them, and the rows it will have to send again."""
        if extract in ("inpatient_stay", "case_front_page") and hasattr(self, "Q03") and inst == self.Q03[1]:
            when = pl.col("admitted_at").dt.date().is_between(date_of(self.Q03[2]), date_of(self.Q03[3]))
            swapped = pl.col("admission_route").replace({"1": "2", "2": "1"})
            frame = frame.with_columns(admission_route=pl.when(when).then(swapped).otherwise(pl.col("admission_route")))
        if extract == "catalog_mapping" and hasattr(self, "Q11") and inst == self.c.inst.find(self.q.Q11.place):
            bad = pl.col("local_item_code") == self.Q11
            frame = frame.with_columns(
                atc_code=pl.when(bad).then(pl.lit(self.q.Q11.atc)).otherwise(pl.col("atc_code")),
                antibiotic_level=pl.when(bad).then(pl.lit("0")).otherwise(pl.col("antibiotic_level")),
                generic_name=pl.when(bad).then(pl.lit(self.q.Q11.generic)).otherwise(pl.col("generic_name")),
            )
        if extract == "charge_line" and hasattr(self, "Q06") and inst == self.Q06[1]:
            tag, _, a, b, items = self.Q06
            bad = pl.col("local_item_code").is_in(items) & pl.col("occurred_at").dt.date().is_between(date_of(a), date_of(b))
            right = frame.filter(bad)
            if right.height:
                self.entries[tag].records += [x for x in right["charge_id"].to_list() if x not in self.entries[tag].records]
                times = pl.lit(self.q.Q06.factor)
                wrong = [
                    pl.when(bad).then((pl.col(k) * times).cast(frame[k].dtype)).otherwise(pl.col(k))
                    for k in ("unit_price", "amount")
                ]
                return frame.with_columns(wrong), right.with_columns(op_type=pl.lit("U"))
        return frame, None

    def after(self, sender: str, label: str, seq: int, extract: str, local: pl.DataFrame, header: str | None) -> pl.DataFrame:
        """A file as it leaves the institution; a number becomes text with a unit where that is planted."""
        if extract == "case_front_page" and seq == 1 and hasattr(self, "Q09") and (sender, label) == self.Q09[1:] and header:
            self.entries[self.Q09[0]].magnitude = f"{local.height} rows"
            return local.with_columns(pl.concat_str([pl.col(header).cast(pl.String), pl.lit(self.q.Q09.text)]).alias(header))
        return local

    def corrected_after(self, sender: str, label: str) -> dict[str, int]:
        """Extracts that a sender sends again because of how its file was written, and after how many days."""
        if hasattr(self, "Q09") and (sender, label) == self.Q09[1:]:
            return {"case_front_page": self.q.Q09.corrected_days}
        return {}

    # ------------------------------------------------------------------ recording

    def note(self, tag: np.ndarray, ids: np.ndarray, person: np.ndarray) -> None:
        """Records the ids and persons of planted visits or stays."""
        for t in np.unique(tag[tag > 0]):
            mine = tag == t
            entry = self.entries[int(t)]
            entry.records += [str(x) for x in ids[mine]]
            entry.persons += [
                x for x in self.c.persons.resident_id.gather(np.unique(person[mine])).to_list() if x not in entry.persons
            ]

    def note_lines(self, lines: Columns, charge: pl.Series) -> None:
        """Records the ids of planted charge lines."""
        tag = getattr(lines, "tag", None)
        if tag is not None:
            for t in np.unique(tag[tag > 0]):
                self.entries[int(t)].records += charge.gather(np.flatnonzero(tag == t)).to_list()

    def note_cards(self, tag: np.ndarray, ids: pl.Series, day: np.ndarray) -> None:
        """Records the ids of planted report cards, if they were sent."""
        sent = self.c.schedule.slot(day) >= 0
        for t in np.unique(tag[(tag > 0) & sent]):
            self.entries[int(t)].records += ids.gather(np.flatnonzero((tag == t) & sent)).to_list()

    def note_settlements(self, inst: np.ndarray, v: Columns, setl: pl.Series, has: np.ndarray) -> None:
        """Records bunched settlements."""
        rows = getattr(self, "F18_rows", None)
        if rows is not None and len(rows[1]) == len(v):
            self.entries[rows[0]].records += setl.gather(np.flatnonzero(rows[1] & has)).to_list()
            self.F18_rows = None

    def finish(self) -> None:
        """Takes out what found nothing to be planted on: in a county so thin that no such record fell into its time."""
        for tag, e in list(self.entries.items()):
            if not e.magnitude and not e.records:
                self.missing[e.gt_id] = "no such record fell into its time"
                del self.entries[tag]

    def write(self, path: Path) -> None:
        """Writes the ground truth file, one line for each planted thing."""
        with path.open("w", encoding="utf-8", newline="") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(COLUMNS)
            for e in sorted(self.entries.values(), key=lambda e: e.gt_id):
                many = len(e.records) > MOST_IDS
                magnitude = e.magnitude or f"{len(e.records)} records"
                w.writerow(
                    [
                        e.gt_id,
                        KINDS[e.gt_id[3]],
                        ";".join(dict.fromkeys(e.institutions)),
                        "" if many else ";".join(e.persons),
                        "" if many else ";".join(e.records),
                        date_of(e.first),
                        date_of(e.last),
                        magnitude,
                        e.rule,
                        e.indicator,
                        date_of(e.first + e.detect_days) if e.detect_days is not None else "",
                        e.note,
                    ]
                )
