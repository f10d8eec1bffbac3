"""The county as a whole: its people, institutions, illnesses and calendar, and the groups in which it is simulated.

Put here: what every stage of a run needs. Put elsewhere: the stages.
"""

import datetime as dt

import numpy as np
import polars as pl

from data_samples.arrays import Columns
from data_samples.calendar import Calendar
from data_samples.charges import Till
from data_samples.events import Illnesses, mean_busy, person_group
from data_samples.institutions import KINDS_WITH_STAYS, Catalogue, Institutions, Staff
from data_samples.money import Accounts
from data_samples.parameters import Node
from data_samples.population import Persons
from data_samples.reports import Wards
from data_samples.schedule import Schedule


class Group:
    """Institutions of one kind and shape that are simulated together: they share departments, prices and illness mix."""

    def __init__(self, c: "County", name: str, insts: np.ndarray) -> None:
        p, inst = c.p, c.inst
        i = int(insts[0])
        self.name, self.insts, self.first, self.kind, self.shape = name, insts, i, inst.kind[i], inst.shape[i]
        v = p.institutions[self.kind]
        self.level, self.profile, self.scale = v.price, v.profile, c.scale
        self.label = v.label
        self.weight = inst.weight[insts]
        self.out_codes = pl.Series([d[0] for d in inst.outpatient[i]], dtype=pl.String)
        self.in_codes = pl.Series([d[0] for d in inst.inpatient[i]], dtype=pl.String)
        out_std, in_std = [d[2] for d in inst.outpatient[i]], [d[2] for d in inst.inpatient[i]]
        self.has_stays = self.kind in KINDS_WITH_STAYS
        self.outpatient_of = self._map(p, c.visit_illness, out_std) if out_std else np.zeros(0, int)
        self.inpatient_of = self._map(p, c.stay_illness, in_std) if in_std else np.zeros(0, int)
        d = p.departments

        def place(std: str, standards: list[str]) -> int:
            return standards.index(std) if std in standards else -1

        self.child_out, self.child_in = place(d.child_standard, out_std), place(d.child_standard, in_std)
        self.tcm_out, self.emergency_out = place(d.tcm_standard, out_std), place(d.emergency_standard, out_std)
        self.intensive_in = place(d.intensive_standard, in_std)
        rng = np.random.default_rng(i)
        town = rng.integers(0, 7, len(inst.places.township_code))
        self.market = town[np.array([inst.township[k] for k in insts])]
        starts = c.persons.village_start
        if self.kind == "village":
            self.area = starts[:-1], starts[1:]
        elif self.kind == "township":
            first = np.searchsorted(inst.places.township_of, np.arange(len(insts)))
            last = np.searchsorted(inst.places.township_of, np.arange(len(insts)), side="right")
            self.area = starts[first], starts[last]
        self.mean_busy_visits, self.mean_busy_stays = mean_busy(p, c.calendar, c.typical_days, self.kind in ("village", "clinic"))
        self.till = Till(p, c.catalogue, self.level)
        self.wards = Wards()
        self.mix_out = c.visit_illness.mix(self.kind, self.shape, c.pool(self.kind)) if v.visits else None
        self.mix_in = c.stay_illness.mix(self.kind, self.shape, c.pool(self.kind)) if self.has_stays else None
        if self.has_stays:
            patients = self._peak_patients(p, c.stay_illness.los * v.los / self.mix_in.los)
            for i, weight in zip(insts, self.weight, strict=True):
                inst.open_beds(int(i), patients * weight)

    def _peak_patients(self, p: Node, days: np.ndarray) -> np.ndarray:
        """The mean patients of each ward in its busiest month, all institutions of the group together."""
        stays, wards = p.institutions[self.kind].stays * self.scale / 365.25, len(self.in_codes)
        child = np.repeat(np.array(p.bands) < 15, 2)[:, None] & (self.child_in >= 0)
        ward = np.where(child, self.child_in, self.inpatient_of[None, :])
        out = []
        for m, season in enumerate(self.mix_in.season):
            load = np.bincount(ward.ravel(), (self.mix_in.share[m] * days * season * stays).ravel(), wards)
            if self.intensive_in >= 0:
                moved = load.sum() * p.departments.intensive_share
                load = load * (1 - p.departments.intensive_share)
                load[self.intensive_in] += moved
            out.append(load)
        return np.max(out, 0)

    @staticmethod
    def _map(p: Node, ill: Illnesses, standards: list[str]) -> np.ndarray:
        """The department of each illness: the first of its chapter's choices that exists, else the first department."""
        choice = {}
        for chapter, wanted in p.departments.of_chapter.items():
            choice[chapter] = next((standards.index(w) for w in wanted if w in standards), 0)
        return np.array([choice.get(x, 0) for x in ill.chapter])


class County:
    """Everything that exists before the first day of the period."""

    def __init__(self, p: Node, scale: float, months: int, start: dt.date, seed: int, daily_days: int) -> None:
        self.p, self.scale, self.seed = p, scale, seed
        self.schedule = Schedule(p, start, months, daily_days, seed)
        s = self.schedule
        warm = p.inpatient.warm_up_months
        self.calendar = Calendar(p, s.first - 31 * warm - 31, s.last + 400)
        self.typical_days = np.arange(s.first, s.first + 365)
        self.inst = Institutions(p, seed, scale)
        self.persons = Persons(p, seed, scale, self.inst.places, s.first, s.last)
        self.staff = Staff(p, seed, self.inst, self.persons, s.first)
        self.catalogue = Catalogue(p, start, (start.month - 1 + months - 1) // 12 + 1)
        self.visit_illness = Illnesses(p, "outpatient", self.persons, s.first)
        self.stay_illness = Illnesses(p, "inpatient", self.persons, s.first)
        self.accounts = Accounts(self.inst.n, int(s.month(np.array([s.first]))[0]), months)
        self.busy_until = np.full(len(self.persons.sex), -(2**30), np.int64)
        self.secondary_codes = self._coded([x[0] for x in p.diagnoses.secondary_codes])
        self.secondary_names = pl.Series([x[1] for x in p.diagnoses.secondary_codes])
        self.external_codes = self._coded([x[0] for x in p.diagnoses.external_cause])
        self.external_names = pl.Series([x[1] for x in p.diagnoses.external_cause])
        self.groups = self._groups()
        self.group_of = {int(i): g for g in self.groups for i in g.insts}

    def _coded(self, codes: list[str]) -> pl.Series:
        d = self.p.diagnoses
        return pl.Series([f"{x}.{d.main_subcode}{d.clinical_suffix}" for x in codes])

    @staticmethod
    def pool(kind: str) -> str:
        """The pool of persons out of which a kind of institution draws its patients."""
        return {"mch": "mch", "psychiatric": "psychiatric", "village": "local", "township": "local"}.get(kind, "county")

    def _groups(self) -> list[Group]:
        out = []
        for kind, insts in self.inst.of_kind.items():
            eye = np.array([self.inst.shape[i] == "eye" for i in insts])
            if eye.any():
                k = int(np.flatnonzero(eye)[0])
                for n, part in enumerate((insts[:k], insts[k : k + 1], insts[k + 1 :])):
                    if len(part):
                        out.append(Group(self, f"{kind}{n}", part))
            else:
                out.append(Group(self, kind, insts))
        return out

    def group_on(self, person: np.ndarray, on: np.ndarray) -> np.ndarray:
        return person_group(self.p, self.persons, person, on)

    def occupation(self, person: np.ndarray, on: np.ndarray) -> pl.Series:
        """The occupation code: pupil, farmer, employee, retired."""
        age = self.persons.age_days(person, on) / 365.25
        employee = self.persons.insurance[person] == 310
        code = np.where(age < 3, 90, np.where(age < 18, 31, np.where(employee, np.where(age >= 60, 80, 17), 27)))
        return pl.Series(code).cast(pl.String)

    def ethnic(self, person: np.ndarray) -> pl.Series:
        return pl.Series(["01", *self.p.population.minority_codes]).gather(self.persons.minority[person])

    def address(self, person: np.ndarray) -> pl.Series:
        """A synthetic address: township, village and a house number."""
        v = self.persons.village[person]
        places = self.inst.places
        house = pl.Series(person % 180 + 1).cast(pl.String)
        town = pl.Series(places.township_name).gather(places.township_of[v])
        return pl.select(pl.concat_str([town, pl.Series(places.village_name).gather(v), house, pl.lit("号")])).to_series()

    def wards_of(self, g: Group, rng: np.random.Generator, stays: Columns) -> None:
        """Gives each stay its ward of admission and of discharge, and reports the spells to the group's wards."""
        q, d = self.p.inpatient, self.p.departments
        n = len(stays)
        dept = g.inpatient_of[stays.diag]
        age = self.persons.age_days(stays.person, stays.admit) / 365.25
        if g.child_in >= 0:
            dept = np.where(age < 15, g.child_in, dept)
        if g.intensive_in >= 0:
            dept = np.where(rng.random(n) < d.intensive_share, g.intensive_in, dept)
        los = stays.out - stays.admit
        move = (rng.random(n) < q.transfer_share) & (los >= 4) & (len(g.in_codes) > 1)
        leave = np.where(move, (dept + 1) % len(g.in_codes), dept)
        stays.set(dept=dept, leave_dept=leave)
        middle = np.where(move, stays.admit + los // 2, stays.out)
        first = Columns(
            inst=stays.inst,
            dept=dept,
            begin=stays.admit,
            end=middle,
            admitted=np.ones(n, np.int8),
            left=(~move).astype(np.int8),
            died=(stays.died & ~move).astype(np.int8),
        )
        second = Columns(
            inst=stays.inst,
            dept=leave,
            begin=middle,
            end=stays.out,
            admitted=np.zeros(n, np.int8),
            left=np.ones(n, np.int8),
            died=stays.died.astype(np.int8),
        ).take(move)
        g.wards.add(Columns.join([first, second]))
