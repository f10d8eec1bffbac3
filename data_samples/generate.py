"""Makes a synthetic county's landing zone, its own truth tables and the record of what is planted in it.

Put here: the order of a run. Put elsewhere: each of its steps.
"""

import csv
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from data_samples.arrays import Columns, stream
from data_samples.charges import reprice, stay_lines, visit_lines
from data_samples.county import County, Group
from data_samples.events import draw_stays, draw_visits
from data_samples.institutions import month_days, year_of
from data_samples.money import settle, split_lines
from data_samples.outbox import Outbox, Truth
from data_samples.parameters import load_parameters
from data_samples.planted import Plan
from data_samples.records import Desk, stay_records, visit_records
from data_samples.reports import Files, cards, elsewhere, notified_visits, population_table
from data_samples.schedule import Slot, date_of
from quality.contract import load_contracts, load_value_sets

Progress = Callable[[str, str, int], None]
REFERENCE = ("institution", "department", "staff", "catalog_mapping")


@dataclass
class Summary:
    """What a run made."""

    out: Path
    scale: float
    months: int
    seed: int
    institutions: int
    batches: int
    files: int
    bytes: int
    rows_sent: dict[str, int] = field(default_factory=dict)
    rows_true: dict[str, int] = field(default_factory=dict)
    as_of: dt.date | None = None


class Run:
    """One generation, month by month and group by group."""

    def __init__(
        self, out: Path, scale: float, months: int, start: dt.date, seed: int, daily_days: int, progress: Progress | None
    ) -> None:
        self.out, self.p, self.months, self.seed = out, load_parameters(), months, seed
        self.progress = getattr(progress, "counted", progress) or (lambda *_: None)
        self.contracts = load_contracts()
        out.mkdir(parents=True, exist_ok=True)
        for part in (out / "landing", out / "truth"):
            if part.exists() and any(part.iterdir()):
                raise ValueError(f"{part} is not empty: a county is written into a new folder")
        self.c = County(self.p, scale, months, start, seed, daily_days)
        self.c.plan = Plan(self.c)
        self.truth = Truth(out / "truth" / "tables", self.contracts)
        self.box = Outbox(out / "landing", self.contracts, self.c.schedule, self.c.plan.after)
        self.files = Files(self.c)
        self.reference = {
            e: f
            for e, f in (
                ("institution", self.c.inst.institution_rows()),
                ("department", self.c.inst.department_rows()),
                ("staff", self.c.staff.rows),
            )
        }
        self.card_serial = 0

    def run(self) -> Summary:
        c, s = self.c, self.c.schedule
        warm = self.p.inpatient.warm_up_months
        first = s.months[0]
        start = date_of(first[0])
        back = [(start.year * 12 + start.month - 1 - k) for k in range(warm, 0, -1)]
        for k, ym in enumerate(back):
            a, b, label = month_days(dt.date(ym // 12, ym % 12 + 1, 1), 1)[0]
            for n, g in enumerate(c.groups):
                if g.has_stays:
                    self._stays(g, n, -warm + k, np.arange(a, b + 1), label)
        total = len(s.months) * len(c.groups)
        for m, (a, b, label) in enumerate(s.months):
            self.notified = notified_visits(c, m)
            self.card_serial = 0
            for n, g in enumerate(c.groups):
                self.progress("月份 | months", f"{label} {g.name}", total)
                self._group(g, n, m, np.arange(a, b + 1), label)
            self._authorities(m)
        self._finish()
        return Summary(
            self.out,
            c.scale,
            self.months,
            self.seed,
            c.inst.n,
            self.box.batches,
            self.box.files,
            self.box.bytes,
            self.box.rows_sent,
            self.truth.rows,
            self.as_of,
        )

    def _emit(self, g: Group) -> Callable:
        dialect = self.box.dialect(g.profile)

        def emit(extract: str, frame: pl.DataFrame, truth: bool) -> None:
            if extract not in dialect.extracts or not frame.height:
                return
            frame = dialect.conform(extract, frame)
            if truth:
                self.truth.add(extract, frame)
            self.box.hold(g.name, extract, frame)

        return emit

    def _cdc_emit(self, extract: str, frame: pl.DataFrame, truth: bool) -> None:
        if frame.height:
            self.truth.add(extract, frame)
            self.box.hold("CDC", extract, frame.with_columns(inst=pl.lit(0, pl.Int32)))

    def _group(self, g: Group, n: int, m: int, days: np.ndarray, label: str) -> None:
        c = self.c
        if g.mix_out is not None:
            self._visits(g, n, m, days, label)
        if g.has_stays:
            self._stays(g, n, m, days, label)
            g.wards.report(Desk(c, g, stream(self.seed, 40, n, m), self._emit(g)), days)
        if g.kind == "township":
            d = Desk(c, g, stream(self.seed, 41, n, m), self._emit(g))
            if m == 0:
                self.files.first_list(d)
                second = self.files.unmerged(d, c.plan.Q07)
                c.plan.entries[c.plan.tags["Q07"]].records = second.to_list()
            self.files.changes(d, m)
        self._batches(g, m)

    def _visits(self, g: Group, n: int, m: int, days: np.ndarray, label: str) -> None:
        c, p = self.c, self.p
        rng = stream(self.seed, 20, n, m)
        planted = Columns.join([c.plan.visits(g, m), self.notified.get(g.kind, Columns())])
        v = draw_visits(p, rng, g, c.visit_illness, c.persons, c.calendar, days, c.schedule.first, planted)
        if not len(v):
            return
        if not hasattr(v, "card"):
            v.set(card=np.zeros(len(v), np.int64))
        c.plan.alter_visits(g, m, v)
        growth = p.institutions[g.kind].fee_growth ** ((v.day - c.schedule.first) / 365.25)
        lines = visit_lines(p, rng, g.till, v, c.visit_illness, g.mix_out, growth, c.plan.material_factor(g, v.day))
        lines = c.plan.alter_visit_lines(g, m, v, lines)
        split_lines(p, c.catalogue, lines)
        pay = settle(
            p, rng, p.insurance.outpatient[g.level], lines, len(v), c.persons.insurance[v.person], c.persons.poor[v.person], False
        )
        d = Desk(c, g, rng, self._emit(g))
        done = visit_records(d, v, lines, pay, label)
        self.card_serial = cards(Desk(c, g, rng, self._cdc_emit), v, done, m, self.card_serial)

    def _stays(self, g: Group, n: int, m: int, days: np.ndarray, label: str) -> None:
        c, p = self.c, self.p
        rng = stream(self.seed, 30, n, m + 1000)
        s = draw_stays(p, rng, g, c.stay_illness, c.persons, c.calendar, days, c.schedule.first, c.plan.stays(g, m), c.busy_until)
        if not len(s):
            return
        c.wards_of(g, rng, s)
        s = s.take(s.out >= c.schedule.first)
        if not len(s):
            return
        c.plan.alter_stays(g, s)
        growth = p.institutions[g.kind].fee_growth ** ((s.admit - c.schedule.first) / 365.25)
        lines = stay_lines(p, rng, g.till, g.kind, s, c.stay_illness, g.mix_in, growth, c.plan.material_factor(g, s.admit))
        lines = c.plan.alter_stay_lines(g, m, s, lines)
        reprice(lines)
        split_lines(p, c.catalogue, lines)
        pay = settle(
            p, rng, p.insurance.inpatient[g.kind], lines, len(s), c.persons.insurance[s.person], c.persons.poor[s.person], True
        )
        stay_records(Desk(c, g, rng, self._emit(g)), s, lines, pay, label)

    def _monthly_frames(self, g: Group, i: int, m: int) -> dict[str, pl.DataFrame]:
        """The full lists and accounts that institution i sends for a month."""
        c = self.c
        frames = {e: f.filter(pl.col("inst") == i) for e, f in self.reference.items()}
        if g.mix_out is not None:
            frames["catalog_mapping"] = self._catalogue(g, i, m)
        dialect = self.box.dialect(g.profile)
        if "finance_monthly" in dialect.extracts:
            names = {k: v for k, v in load_value_sets()["VS_FINLINE"].values.items()}
            frames["finance_monthly"] = c.accounts.report(self.p, c.inst.kind, c.inst.code, names, np.array([i]), m, c.scale)
        return {e: dialect.conform(e, f) for e, f in frames.items() if e in dialect.extracts and f.height}

    def _catalogue(self, g: Group, i: int, m: int) -> pl.DataFrame:
        year = int(year_of(self.c.schedule.months[m][0]))
        key = (g.kind, year)
        if getattr(self, "_catalogue_key", None) != key:
            self._catalogue_key, self._catalogue_rows = key, self.c.catalogue.rows(self.c.inst, np.array([i]), year)
        return self._catalogue_rows.with_columns(inst=pl.lit(i, pl.Int32), institution_code=pl.lit(self.c.inst.code[i]))

    def _batches(self, g: Group, m: int) -> None:
        c, s = self.c, self.c.schedule
        slots = s.of_month(m)
        due = self.box.due(g.name, slots[-1])
        begins_monthly, ends_daily = not s.slots[slots[0]].daily, s.slots[slots[-1]].daily
        held: dict[int, dict[str, list[pl.DataFrame]]] = {}
        for i in (int(x) for x in g.insts):
            sender, system = c.inst.code[i], f"{g.profile} 1.0"
            full = self._monthly_frames(g, i, m)
            for k in slots:
                slot = s.slots[k]
                frames = due.get((i, k), {})
                if not slot.daily and not ends_daily:
                    frames = {**full, **frames}
                elif not slot.daily and m == 0:  # lists first, so that references resolve; accounts close with the month
                    frames = {**{e: f for e, f in full.items() if e != "finance_monthly"}, **frames}
                what = c.plan.held_back(i, slot)
                if what == "hold" or i in held:
                    for e, f in frames.items():
                        held.setdefault(i, {}).setdefault(e, []).append(f)
                    if what == "hold":
                        continue
                    frames = {e: pl.concat(f) for e, f in held.pop(i).items()}
                if frames:
                    self._send(
                        g, i, slot, s.received(k, i, g.kind) + c.plan.lateness(slot, g.kind), frames, twice=what == "double"
                    )
            if ends_daily:
                a, b, label = s.months[m]
                frames = {e: c.plan.before(i, e, f)[0] for e, f in full.items()}
                self.box.write(sender, g.profile, label, 2 if begins_monthly else 1, a, b, s.closing(m, i), frames, system)
            if "finance_monthly" in full:
                self.truth.add("finance_monthly", full["finance_monthly"])

    def _send(self, g: Group, i: int, slot: Slot, received: dt.datetime, frames: dict[str, pl.DataFrame], twice: bool) -> None:
        """Writes one batch with the faults planted in it, and queues the files that will correct them."""
        plan, sender, system = self.c.plan, self.c.inst.code[i], f"{g.profile} 1.0"
        again, sent = {}, {}
        for e, f in frames.items():
            sent[e], right = plan.before(i, e, f)
            if right is not None:
                again[e] = (right, self.p.planted.Q06.corrected_days)
        for e, days in plan.corrected_after(sender, slot.label).items():
            if e in frames:
                again[e] = (frames[e], days)
        for seq in (1, 2) if twice else (1,):
            self.box.write(
                sender,
                g.profile,
                slot.label,
                seq,
                slot.first,
                slot.last,
                received + dt.timedelta(minutes=20 * (seq - 1)),
                sent,
                system,
            )
        for n, (e, (f, days)) in enumerate(again.items()):
            self.box.queue(
                sender, g.profile, slot.label, 2 + n, slot.first, slot.last, received + dt.timedelta(days=days), {e: f}, system
            )

    def _authorities(self, m: int) -> None:
        c, s, box = self.c, self.c.schedule, self.box
        a, b, label = s.months[m]
        due = box.due("CDC", s.of_month(m)[-1])
        for k in s.of_month(m):
            frames = due.get((0, k))
            if frames:
                slot = s.slots[k]
                box.write(
                    "CDC",
                    "canonical",
                    slot.label,
                    1,
                    slot.first,
                    slot.last,
                    s.received(k, -1 % 997, "other"),
                    frames,
                    "report cards export",
                )
        year = int(year_of(a))
        if m == 0 or year != int(year_of(s.months[m - 1][0])):
            table = population_table(c, year)
            self.truth.add("population", table)
            received = dt.datetime.combine(date_of(a), dt.time(9, 30)) + dt.timedelta(days=self.p.lateness.population_day - 1)
            box.write("BUREAU", "canonical", str(year), 1, a, b, received, {"population": table}, "population statistics")
        low, high = self.p.lateness.out_of_county_day
        day = int(stream(self.seed, 92, m).integers(low, high))
        received = dt.datetime.combine(date_of(b + 1), dt.time(15, 0)) + dt.timedelta(days=day - 1)
        if not c.plan.no_file(m) and received.date() <= date_of(s.last + self.p.lateness.monthly_receipt_days[1]):
            table = elsewhere(c, m)
            self.truth.add("out_of_county_settlement", table)
            box.write("NHSA", "canonical", label, 1, a, b, received, {"out_of_county_settlement": table}, "settlement export")

    def _finish(self) -> None:
        c, s = self.c, self.c.schedule
        self.box.flush()
        for e, f in self.reference.items():
            for g in c.groups:
                own = f.filter(pl.col("inst").is_in(g.insts.tolist()))
                self.truth.add(e, self.box.dialect(g.profile).conform(e, own))
        year = int(year_of(s.months[-1][0]))
        for g in c.groups:
            if g.mix_out is not None:
                for i in g.insts:
                    rows = c.catalogue.rows(c.inst, np.array([i]), year)
                    self.truth.add("catalog_mapping", self.box.dialect(g.profile).conform("catalog_mapping", rows))
        self.truth.add("resident", self.box.dialect(self.p.institutions.township.profile).conform("resident", self.files.truth()))
        self.truth.close()
        self.as_of = self.box.latest.date() + dt.timedelta(days=1)
        with (self.out / "landing" / "senders.csv").open("w", encoding="utf-8", newline="") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(["sender_code", "profile", "name"])
            for g in c.groups:
                for i in g.insts:
                    w.writerow([c.inst.code[i], g.profile, c.inst.name[i]])
            for code, a in self.p.authorities.items():
                w.writerow([code, a.profile, a.name])
        with (self.out / "truth" / "receipts.csv").open("w", encoding="utf-8", newline="") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(["path", "received_at"])
            w.writerows(sorted(self.box.receipts))
        c.plan.finish()
        c.plan.write(self.out / "truth" / "ground_truth.csv")
        about = {
            "scale": c.scale,
            "months": self.months,
            "seed": self.seed,
            "start": str(date_of(s.first)),
            "end": str(date_of(s.last)),
            "daily_from": str(date_of(s.window)) if s.window <= s.last else None,
            "as_of": str(self.as_of),
            "calendar_known": c.calendar.known,
            "persons": len(c.persons.sex),
            "not_planted": dict(sorted(c.plan.missing.items())),
            "institutions": [
                {
                    "code": c.inst.code[i],
                    "label": c.inst.label[i],
                    "name": c.inst.name[i],
                    "kind": c.inst.kind[i],
                    "profile": c.group_of[i].profile,
                    "beds": int(c.inst.beds[i]),
                }
                for i in range(c.inst.n)
            ],
        }
        (self.out / "truth" / "county.json").write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def generate(
    out: Path,
    scale: float,
    months: int,
    start: dt.date = dt.date(2024, 1, 1),
    seed: int = 20240101,
    daily_days: int = 31,
    progress: Progress | None = None,
) -> Summary:
    """Writes `<out>/landing`, and under `<out>/truth`: `tables`, `ground_truth.csv`, `county.json` and `receipts.csv`.

    `scale` 1.0 is the whole county; the last `daily_days` days arrive day by day, what is before month by month.
    `progress(stage, item, total)` is called at each step. The same arguments give the same bytes.
    Raises ValueError when `out` already holds a landing zone or a truth.
    """
    if start.day != 1 or months < 1 or scale <= 0:
        raise ValueError(
            f"generate: start must be the first of a month, months at least 1 and scale above 0; got {start}, {months}, {scale}"
        )
    return Run(Path(out), scale, months, start, seed, daily_days, progress).run()
