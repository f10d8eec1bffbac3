"""The plantings: each puts one thing of section 5 of the county's description into the plan, or says why it cannot.

Put here: what is planted, where, when and on whom. Put elsewhere: how a run acts on it and how it is recorded (`planted.py`).
The identifiers are those of the description.
"""

import datetime as dt
from dataclasses import dataclass, field

import numpy as np

from data_samples.arrays import Columns, to_date
from data_samples.institutions import year_of
from data_samples.population import ALIVE


@dataclass
class Entry:
    """One planted thing: where, when, who and which records, and what must find it."""

    gt_id: str
    rule: str
    indicator: str
    note: str
    institutions: list[str] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    first: int | None = None
    last: int | None = None
    magnitude: str = ""
    detect_days: int | None = None


class Plantings:
    """One method per planted thing; it returns None, or the reason why this county cannot carry it."""

    # ------------------------------------------------------------------ helpers

    def _entry(
        self,
        gt: str,
        rule: str,
        indicator: str,
        note: str,
        labels: list[str] = (),
        first: int | None = None,
        last: int | None = None,
        magnitude: object = "",
        detect: int | None = None,
    ) -> int:
        tag = len(self.entries) + 1
        codes = [self.c.inst.code[self.c.inst.find(x)] for x in labels]
        self.entries[tag] = Entry(
            f"GT-{gt}", rule, indicator, note, codes, first=first, last=last, magnitude=str(magnitude), detect_days=detect
        )
        self.tags[gt] = tag
        return tag

    def _size(self, n: int, least: int = 1) -> int:
        return max(least, round(n * min(self.root, 1.0)))

    def _on(self, month: int, day: int, length: int = 1) -> int | None:
        """The last such day of the period that leaves room for `length` days, if there is one."""
        s = self.c.schedule
        for year in range(int(year_of(s.last)), int(year_of(s.first)) - 1, -1):
            d = int((np.datetime64(dt.date(year, month, day), "D") - np.datetime64("1970-01-01", "D")).astype(int))
            if s.first <= d and d + length - 1 <= s.last:
                return d
        return None

    def _past(self, back: int) -> int | None:
        """A month of the history, counted from its end (-1 the last)."""
        return self.history[back] if len(self.history) >= -back else None

    def _people(self, n: int, low: float, high: float, on: int, within: tuple[int, int] | None = None) -> np.ndarray:
        """n present persons of an age, alive through the period, in nobody else's plan; from one stretch of villages if given."""
        persons = self.c.persons
        a, b = within or (0, len(persons.sex))
        i = np.arange(a, b)
        age = (on - persons.birth[i]) / 365.25
        ok = (age >= low) & (age < high + 1) & (persons.residency[i] == 1) & (persons.death[i] == ALIVE) & ~self._reserved[i]
        ok &= persons.insurance[i] > 0
        i = i[ok]
        chosen = self.rng.permutation(i)[:n]
        if len(chosen) < n and within is not None:
            return self._people(n, low, high, on)
        self._reserved[chosen] = True
        return chosen

    def _area(self, inst: int) -> tuple[int, int]:
        """The stretch of persons who live in the township (or village) of an institution."""
        c = self.c
        starts, places = c.persons.village_start, c.inst.places
        if c.inst.kind[inst] == "village":
            v = c.inst.village[inst]
            return int(starts[v]), int(starts[v + 1])
        t = c.inst.township[inst]
        villages = np.flatnonzero(places.township_of == t)
        return int(starts[villages[0]]), int(starts[villages[-1] + 1])

    def _add(self, store: dict, inst: np.ndarray, days: np.ndarray, cols: dict[str, np.ndarray]) -> None:
        months = [(a, b) for a, b, _ in self.c.schedule.months]
        for m, (a, b) in enumerate(months):
            mine = (days >= a) & (days <= b)
            for i in np.unique(inst[mine]):
                rows = mine & (inst == i)
                store.setdefault((self.c.group_of[int(i)].name, m), []).append(
                    Columns(**{k: np.asarray(v)[rows] for k, v in cols.items()})
                )

    def _add_visits(
        self, tag: int, inst: int | np.ndarray, days: np.ndarray, person: np.ndarray, icd: str, **more: np.ndarray
    ) -> None:
        ill, n = self.c.visit_illness, len(days)
        inst = np.broadcast_to(inst, n)
        cols = {
            "inst": inst,
            "day": days.astype(np.int64),
            "person": person,
            "diag": np.full(n, ill.index[icd]),
            "tag": np.full(n, tag, np.int32),
        }
        self._add(self._visits, inst, days, cols | more)

    def _add_stays(
        self,
        tag: int,
        inst: int | np.ndarray,
        admit: np.ndarray,
        los: np.ndarray,
        person: np.ndarray,
        icd: list[str],
        **more: np.ndarray,
    ) -> None:
        ill, n = self.c.stay_illness, len(admit)
        inst = np.broadcast_to(inst, n)
        diag = np.array([ill.index[x] for x in icd])[np.arange(n) % len(icd)]
        cols = {
            "inst": inst,
            "admit": admit.astype(np.int64),
            "out": (admit + los).astype(np.int64),
            "person": person,
            "diag": diag,
            "tag": np.full(n, tag, np.int32),
            "z": np.zeros(n),
        }
        self._add(self._stays, inst, admit, cols | more)

    def _disease(self, code: str) -> tuple[int, str]:
        rows = self.c.p.notifiable.diseases
        j = next(i for i, r in enumerate(rows) if r[0] == code)
        return j + 1, rows[j][2]

    # ------------------------------------------------------------------ outbreaks

    def _plant_o01(self) -> str | None:
        q = self.q.O01
        d = self._on(q.month, q.day, 10)
        if d is None:
            return "the period has no such day"
        inst, n = self.c.inst.find(q.place), self._size(q.visits, q.least)
        k = self._size(q.admissions, 2)
        who = self._people(n, *q.ages, d, self._area(inst))
        tag = self._entry(
            "O01",
            "R-H04",
            "IDS-10",
            "foodborne outbreak at a school canteen; the late event report needs the ph_event extract",
            [q.place],
            d,
            d + q.days - 1,
            f"{len(who)} visits, {k} admissions",
            2,
        )
        self._add_visits(tag, inst, d + np.sort(self.rng.integers(0, q.days, len(who))), who, q.icd)
        self._add_stays(tag, inst, d + self.rng.integers(0, q.days, k), np.full(k, 3), who[:k], [q.icd])
        return None

    def _plant_o02(self) -> str | None:
        q = self.q.O02
        d = self._on(q.month, q.day, 25)
        if d is None:
            return "the period has no such day"
        inst, (card, icd) = self.c.inst.find(q.place), self._disease(q.disease)
        area = self._area(inst)
        who = np.r_[self._people(q.infants, 0.3, 0, d, area), self._people(q.cases - q.infants, 2, 12, d, area)]
        days = d + np.cumsum(self.rng.integers(*q.gap_days, len(who), endpoint=True)) - 1
        tag = self._entry(
            "O02",
            "",
            "IDS-09",
            "measles importation; a single suspected case is an alert",
            [q.place],
            int(days[0]),
            int(days[-1]),
            f"{len(who)} cases, {q.infants} under one year",
            1,
        )
        self._add_visits(tag, inst, days, who, icd, card=np.full(len(who), card))
        return None

    def _plant_o03(self) -> str | None:
        q = self.q.O03
        d = self._on(q.month, q.day, q.days)
        if d is None:
            return "the period has no such season"
        self._flu = d
        tag = self._entry(
            "O03",
            "",
            "IDS-07;IDS-10",
            "influenza season earlier than usual; also more report cards",
            [],
            d,
            d + q.days - 1,
            f"ILI +{q.ili:.0%}",
        )
        c = self.c
        for kind in q.kinds:
            share = c.visit_illness.share[c.visit_illness.index[q.icd]] / c.visit_illness.share.sum()
            n = int(self.rng.poisson(q.ili * share * c.p.institutions[kind].visits * c.scale * q.days / 365.25))
            days = np.sort(self.rng.integers(d, d + q.days, n))
            person = c.persons.draw(self.rng, "visit", "county", n=n)
            ok = (c.persons.death[person] > days) & (c.persons.birth[person] < days)
            group = c.inst.of_kind[kind]
            inst = group[c.inst.places.township_of[c.persons.village[person]] if kind == "township" else np.zeros(n, int)]
            self._add_visits(tag, inst[ok], days[ok], person[ok], q.icd)
        return None

    def _plant_o04(self) -> str | None:
        return self._cluster(
            "O04", "R-H04", "IDS-07", "hand-foot-mouth surge in one kindergarten", self._size(self.q.O04.cases, self.q.O04.least)
        )

    def _cluster(self, gt: str, rule: str, indicator: str, note: str, n: int) -> str | None:
        q = self.q[gt]
        d = self._on(q.month, q.day, q.days + 5)
        if d is None:
            return "the period has no such days"
        inst, (card, icd) = self.c.inst.find(q.place), self._disease(q.disease)
        who = self._people(n, *q.ages, d, self._area(inst))
        days = np.sort(self.rng.integers(d, d + q.days, len(who)))
        tag = self._entry(gt, rule, indicator, note, [q.place], int(days[0]), int(days[-1]), f"{len(who)} cases", 2)
        self._add_visits(tag, inst, days, who, icd, card=np.full(len(who), card))
        return None

    def _plant_o05(self) -> str | None:
        q = self.q.O05
        d = self._on(q.month, q.day, q.days + 41)
        if d is None:
            return "the period has no such days"
        village, general = self.c.inst.find(q.place), self.c.inst.find("G")
        card, icd = self._disease(q.disease)
        who = self._people(q.cases, *q.ages, d, self._area(village))
        days = np.sort(self.rng.integers(d, d + q.days, len(who)))
        delay = np.where(np.arange(len(who)) < q.unreported, self.rng.integers(*q.delay_days, len(who)), 0)
        tag = self._entry(
            "O05",
            "R-H01",
            "IDS-04",
            f"brucellosis among the sheep keepers of {self.c.inst.label[village]}; most cards filled weeks late",
            ["G"],
            int(days[0]),
            int(days[-1]),
            f"{len(who)} cases, {q.unreported} reported 20-40 days late",
        )
        self._add_visits(tag, general, days, who, icd, card=np.full(len(who), card), report_after=delay)
        return None

    def _plant_o06(self) -> str | None:
        q = self.q.O06
        d = self._on(q.month, q.day, q.days)
        if d is None:
            return "the period has no such days"
        card, icd = self._disease(q.disease)
        n = q.cases + q.never_reported
        who = self._people(n, *q.ages, d, self._area(self.c.inst.find(q.place)))
        days = np.sort(self.rng.integers(d, d + q.days, n))
        tag = self._entry(
            "O06",
            "R-H01;R-H05",
            "IDS-04",
            "tuberculosis in a boarding school; some diagnosed and never reported",
            ["G"],
            int(days[0]),
            int(days[-1]),
            f"{q.cases} cards, {q.never_reported} without a card",
        )
        cards = np.where(np.arange(n) % 3 == 2, 0, card)
        short = q.never_reported - int((cards == 0).sum())
        cards[np.flatnonzero(cards)[: max(short, 0)]] = 0
        self._add_visits(tag, self.c.inst.find("G"), days, who, icd, card=cards)
        return None

    def _plant_o07(self) -> str | None:
        q, c = self.q.O07, self.c
        spring = [
            d for d in c.calendar.spring.values() if c.schedule.first <= d - q.days // 2 and d + q.days // 2 <= c.schedule.last
        ]
        if not spring:
            return "the period has no whole Spring Festival"
        d = spring[-1] - q.days // 2
        tag = self._entry(
            "O07",
            "",
            "",
            "returnees at the Spring Festival raise village visits; must not raise behaviour alerts",
            [],
            d,
            d + q.days - 1,
            f"+{q.share:.0%} village visits",
        )
        group = c.inst.of_kind["village"]
        n = int(self.rng.poisson(q.share * c.p.institutions.village.visits * c.scale * q.days / 365.25))
        away = np.flatnonzero((c.persons.residency == 2) & (c.persons.death == ALIVE))
        person = self.rng.choice(away, n)
        self._add_visits(tag, group[c.persons.village[person]], np.sort(self.rng.integers(d, d + q.days, n)), person, "J06")
        return None

    # ------------------------------------------------------------------ fraud

    def _plant_f01(self) -> str | None:
        q = self.q.F01
        d = self._on(q.month, q.day, q.span + 40)
        if d is None:
            return "the period has no such quarter"
        n, inst = self._size(q.pairs, q.least), self.c.inst.find(q.place)
        who = self._people(n, 45, 80, d)
        los = self.rng.integers(6, 9, len(who))
        first = d + self.rng.integers(0, q.span, len(who))
        second = first + los + self.rng.integers(*q.gap_days, len(who), endpoint=True)
        tag = self._entry(
            "F01",
            "R-A01",
            "",
            "split hospitalisation without a planned readmission",
            [q.place],
            int(first.min()),
            int(second.max() + 9),
            f"{len(who)} pairs",
        )
        for admit in (first, second):
            self._add_stays(tag, inst, admit, los, who, q.icd, unplanned=np.ones(len(who), np.int8))
        return None

    def _plain_stays(self, gt: str, rule: str, note: str, **more: int) -> str | None:
        q = self.q[gt]
        d = self._on(q.month, q.day, q.span + 12)
        if d is None:
            return "the period has no such days"
        n, inst = self._size(q.stays, q.get("least", 1)), self.c.inst.find(q.place)
        who = self._people(n, 40, 78, d, self._area(inst) if self.c.inst.kind[inst] == "township" else None)
        admit = d + self.rng.integers(0, q.span, len(who))
        tag = self._entry(gt, rule, "", note, [q.place], int(admit.min()), int(admit.max() + 8), f"{len(who)} stays")
        self._add_stays(
            tag,
            inst,
            admit,
            self.rng.integers(4, 8, len(who)),
            who,
            q.icd,
            **{k: np.full(len(who), v, np.int8) for k, v in more.items()},
        )
        return None

    def _plant_f02(self) -> str | None:
        return self._plain_stays("F02", "R-A02", "empty beds: no vital sign and no order on any day", empty_bed=1)

    def _plant_f04(self) -> str | None:
        return self._plain_stays("F04", "R-A04", "check-up admissions: examinations and laboratory only, no treatment", panel=1)

    def _plant_f03(self) -> str | None:
        q = self.q.F03
        d = self._on(q.month, q.day, q.visits * q.every + 12)
        if d is None:
            return "the period has no such days"
        inst, per = self.c.inst.find(q.place), self._size(q.people, q.least)
        starts = self.c.persons.village_start
        villages = [(v - 1) % (len(starts) - 1) for v in q.villages]
        tag = self._entry(
            "F03",
            "R-A05",
            "",
            "group admissions of two villages on the same mornings",
            [q.place],
            d,
            d + (q.visits - 1) * q.every + 7,
            f"{q.visits} days x {per} people",
        )
        for k in range(q.visits):
            v = villages[k % 2]
            who = self._people(per, 45, 85, d, (int(starts[v]), int(starts[v + 1])))
            self._add_stays(tag, inst, np.full(len(who), d + k * q.every), np.full(len(who), 7), who, q.icd)
        return None

    def _plant_f05(self) -> str | None:
        return self._lines("F05", "R-D03", "hourly oxygen charged for more hours than a day has", self.q.F05.lines)

    def _plant_f06(self) -> str | None:
        return self._lines("F06", "R-B04", "a liver function panel charged as its single tests", self.q.F06.lines)

    def _plant_f07(self) -> str | None:
        return self._lines("F07", "R-D01", "the same infusion charged twice in the same minute", self.q.F07.lines)

    def _plant_f13(self) -> str | None:
        return self._lines("F13", "R-C06", "restricted antibiotics ordered by doctors without that authority", self.q.F13.orders)

    def _lines(self, gt: str, rule: str, note: str, size: int) -> str | None:
        q = self.q[gt]
        d = self._on(q.month, 1, 28)
        if d is None:
            return "the period has no such month"
        m = next(k for k, (a, _, _) in enumerate(self.c.schedule.months) if a == d)
        n = self._size(size, q.least)
        tag = self._entry(gt, rule, "", note, [q.place], d, self.c.schedule.months[m][1])
        setattr(self, gt, (tag, m, self.c.inst.find(q.place), n))
        return None

    def _plant_f09(self) -> str | None:
        q, persons, c = self.q.F09, self.c.persons, self.c
        inst = c.inst.find(q.place)
        a, b = self._area(inst)
        i = np.arange(a, b)
        late = c.schedule.last - q.after_days[1]
        dead = i[(persons.death[i] < late) & (persons.death[i] > c.schedule.first)]
        if len(dead) < 1:
            return "nobody of that village died early enough in the period"
        who = np.repeat(dead[-q.deaths :], q.rows // q.deaths)
        days = persons.death[who] + self.rng.integers(*q.after_days, len(who))
        tag = self._entry(
            "F09",
            "R-A07;R-G03",
            "",
            "visits of persons who had died",
            [q.place],
            int(days.min()),
            int(days.max()),
            f"{len(who)} rows over {len(np.unique(who))} deaths",
        )
        doctor = c.staff.start[inst]
        self._add_visits(tag, inst, days, who, "I10", doctor=np.full(len(who), doctor))
        return None

    def _plant_f10(self) -> str | None:
        q = self.q.F10
        d = self._on(q.month, q.day, q.span + 14)
        if d is None:
            return "the period has no such days"
        n = self._size(q.overlaps, q.least)
        who = self._people(n, 45, 80, d)
        admit = d + self.rng.integers(0, q.span, n)
        tag = self._entry(
            "F10",
            "R-A06",
            "",
            "one person in two hospitals at once",
            [q.place, q.other],
            int(admit.min()),
            int(admit.max()) + 11,
            f"{n} overlaps",
        )
        self._add_stays(tag, self.c.inst.find(q.place), admit, np.full(n, 8), who, q.icd)
        self._add_stays(tag, self.c.inst.find(q.other), admit + 3, np.full(n, 7), who, q.icd)
        return None

    def _plant_f11(self) -> str | None:
        return self._one_phone("F11", "R-E01", "insured persons of different households behind one telephone")

    def _plant_i10(self) -> str | None:
        return self._one_phone("I10", "R-E01", "a household of seven with one telephone")

    def _one_phone(self, gt: str, rule: str, note: str) -> str | None:
        q, c = self.q[gt], self.c
        inst = c.inst.find(q.place)
        who = self._people(q.persons, 2, 90, c.schedule.first, self._area(inst))
        c.persons.phone_owner[who] = who[0]
        tag = self._entry(gt, rule, "", note, [q.place], c.schedule.first, c.schedule.last, f"{len(who)} persons")
        self.entries[tag].persons = c.persons.resident_id.gather(who).to_list()
        return None

    def _plant_f12(self) -> str | None:
        q, c = self.q.F12, self.c
        d = self._on(q.month, q.day, q.span)
        if d is None:
            return "the period has no such days"
        here, there = c.inst.find(q.place), c.inst.find(q.other)
        a, b = int(c.staff.start[here]) + 1, int(c.staff.start[there]) + 1
        c.staff.same_person(a, b, filed=False)
        n = self._size(q.events, q.least)
        days = np.sort(self.rng.integers(d, d + q.span, n))
        at = 9 * 3600 + self.rng.integers(0, 3600, n)
        tag = self._entry(
            "F12",
            "R-F05",
            "",
            "one doctor signs at two places forty kilometres apart within minutes",
            [q.place, q.other],
            int(days[0]),
            int(days[-1]),
            f"{n} events",
        )
        for inst, doctor, shift in ((here, a, 0), (there, b, 600)):
            who = self.c.persons.draw(self.rng, "visit", "county", n=n)
            ok = (c.persons.death[who] > days) & (c.persons.birth[who] < d)
            self._add_visits(tag, inst, days[ok], who[ok], "M54", doctor=np.full(ok.sum(), doctor), at=(at + shift)[ok])
        return None

    def _plant_i03(self) -> str | None:
        q, c = self.q.I03, self.c
        a, b = int(c.staff.start[c.inst.find(q.place)]) + 2, int(c.staff.start[c.inst.find(q.other)]) + 2
        c.staff.same_person(a, b, filed=True)
        tag = self._entry(
            "I03",
            "R-F05;R-F09",
            "",
            "a doctor with filed practice at two places",
            [q.place, q.other],
            c.schedule.first,
            c.schedule.last,
            "1 doctor",
        )
        self.entries[tag].records = [c.staff.ids[a], c.staff.ids[b]]
        return None

    def _plant_f18(self) -> str | None:
        q = self.q.F18
        d = self._on(q.month, 1, 28)
        if d is None:
            return "the period has no such month"
        m = next(k for k, (a, _, _) in enumerate(self.c.schedule.months) if a == d)
        end = self.c.schedule.months[m][1]
        self.F18 = (
            self._entry(
                "F18",
                "R-D14",
                "FUND-10",
                "settlements bunched on the month's last two days",
                [q.place],
                end - 1,
                end,
            ),
            m,
            self.c.inst.find(q.place),
            end,
        )
        return None

    def _plant_f19(self) -> str | None:
        if "eye" not in self.c.inst.shape:
            return "no eye hospital at this scale"
        d = self._on(self.q.F19.month, 1, self.q.F19.span + 12)
        if d is None:
            return "the period has no such months"
        q, inst = self.q.F19, self.c.inst.shape.index("eye")
        n = self._size(q.stays, 20)
        who = self._people(n, 60, 85, d)
        admit = d + self.rng.integers(0, q.span, len(who))
        tag = self._entry(
            "F19",
            "R-F08",
            "BEHAV-09",
            "one operation makes up more than four fifths of the stays",
            [q.place],
            d,
            d + q.span,
            f"{len(who)} stays",
        )
        self._add_stays(tag, inst, admit, np.full(len(who), 3), who, q.icd)
        self._entry(
            "I02",
            "R-F08",
            "",
            "an eye hospital is specialised by its licence",
            [q.place],
            self.c.schedule.first,
            self.c.schedule.last,
            "all stays",
        )
        return None

    def _plant_f20(self) -> str | None:
        months = self.c.schedule.months
        if len(months) < 13:
            return "needs more than twelve months"
        first = months[max(len(months) - 12, 12)][0]
        q = self.q.F20
        self.F20 = (self.c.inst.find(q.place), first, q.growth / self.c.p.institutions.second.fee_growth)
        self._entry(
            "F20",
            "R-C17",
            "COST-07;COST-11",
            "hidden growth of consumables",
            [q.place],
            first,
            months[-1][1],
            f"+{q.growth - 1:.0%} on the same months of the year before",
        )
        return None

    # ------------------------------------------------------------------ data faults

    def _plant_q01(self) -> str | None:
        q, s = self.q.Q01, self.c.schedule
        first = s.window + q.offset
        if first + q.days > s.last - 2:
            return "needs more days that arrive day by day"
        self.Q01 = (self.c.inst.find(q.place), first, first + q.days)
        self._entry(
            "Q01",
            "",
            "DQ-01;DQ-02;DQ-07",
            "nothing for six days, then everything at once, sent twice",
            [q.place],
            first,
            first + q.days,
            f"{q.days} days",
        )
        return None

    def _plant_q02(self) -> str | None:
        m = self._past(self.q.Q02.month)
        if m is None:
            return "needs two months of history"
        a, b, _ = self.c.schedule.months[m]
        q = self.q.Q02
        tag = self._entry(
            "Q02",
            "",
            "QUAL-18;COST-03",
            "front pages uncoded at the month's end, filled three weeks later",
            [q.place],
            a,
            b,
            f"{q.share:.0%} of the month",
        )
        self.Q02 = (tag, self.c.inst.find(q.place), a, b)
        return None

    def _plant_q03(self) -> str | None:
        q = self.q.Q03
        if not self.history:
            return "needs a month of history"
        months = self.history[-q.months :]
        a, b = self.c.schedule.months[months[0]][0], self.c.schedule.months[months[-1]][1]
        self.Q03 = (
            self._entry(
                "Q03",
                "value-set rule",
                "admission route distribution",
                "admission routes 1 and 2 swapped as on the hospital form; never corrected",
                [q.place],
                a,
                b,
                f"{len(months)} months",
            ),
            self.c.inst.find(q.place),
            a,
            b,
        )
        return None

    def _plant_q04(self) -> str | None:
        m = self._past(self.q.Q04.month)
        if m is None:
            return "needs two months of history"
        a, b, _ = self.c.schedule.months[m]
        self.Q04 = m
        tag = self._entry("Q04", "", "TIER-01", "the out-of-county file of one month never came", [], a, b, "1 file")
        self.entries[tag].institutions = ["NHSA"]
        return None

    def _plant_q05(self) -> str | None:
        c = self.c
        n = max(3, round(self.q.Q05.persons * c.scale))
        there = np.flatnonzero((c.persons.residency == 1) & (c.persons.birth < c.schedule.first - 400))
        self.Q05 = np.sort(self.rng.permutation(there)[:n])
        tag = self._entry(
            "Q05",
            "R-E03",
            "DQ-05",
            "test persons whose sex contradicts their identity number",
            [],
            c.schedule.first,
            c.schedule.last,
            f"{n} persons",
        )
        self.entries[tag].persons = c.persons.resident_id.gather(self.Q05).to_list()
        return None

    def _plant_q06(self) -> str | None:
        m = self._past(self.q.Q06.month)
        if m is None:
            return "needs a month of history"
        q, a = self.q.Q06, self.c.schedule.months[m][0]
        first = a + q.first_day - 1
        cat = self.c.catalogue
        items = cat.local_code.filter(cat.frame["device"] == q.device).to_list()
        tag = self._entry(
            "Q06",
            "outlier rule",
            "DQ-10",
            "prices and amounts of one device class ten times too high for some days; corrected by a second file",
            [q.place],
            first,
            first + q.days - 1,
        )
        self.Q06 = (tag, self.c.inst.find(q.place), first, first + q.days - 1, items)
        return None

    def _plant_q07(self) -> str | None:
        q, c = self.q.Q07, self.c
        a, b = self._area(c.inst.find(q.place))
        i = np.arange(a, b)
        i = i[(c.persons.residency[i] == 1) & ~c.persons.born_in_period[i]]
        self.Q07 = i[self.rng.random(len(i)) < q.share]
        if not len(self.Q07):
            self.Q07 = i[:1]
        self._entry(
            "Q07",
            "",
            "EHR-04",
            "second health files of the same persons, not merged",
            [q.place],
            c.schedule.first,
            c.schedule.first,
            f"{len(self.Q07)} files",
        )
        return None

    def _plant_q09(self) -> str | None:
        m = self._past(self.q.Q09.month)
        if m is None:
            return "needs a month of history"
        a, b, label = self.c.schedule.months[m]
        tag = self._entry(
            "Q09",
            "",
            "schema_version quarantine",
            "los_days sent as text with a unit; corrected by a second file",
            [self.q.Q09.place],
            a,
            b,
        )
        self.Q09 = (tag, self.c.inst.code[self.c.inst.find(self.q.Q09.place)], label)
        return None

    def _plant_q10(self) -> str | None:
        m = self._past(self.q.Q10.month)
        if m is None:
            return "needs a month of history"
        a, b, _ = self.c.schedule.months[m]
        self.Q10 = m
        self._entry("Q10", "", "TIER-03", "every village clinic a week late", [], a, b, f"{self.q.Q10.days} days late")
        return None

    def _plant_q11(self) -> str | None:
        q, c = self.q.Q11, self.c
        rows = c.catalogue.frame["name"] == q.item
        self.Q11 = c.catalogue.local_code.filter(rows)[1]
        tag = self._entry(
            "Q11", "", "DQ-12;AUD", "an antibiotic mapped as a vitamin", [q.place], c.schedule.first, c.schedule.last, "1 item"
        )
        self.entries[tag].records = [self.Q11]
        return None

    def _plant_q12(self) -> str | None:
        q, c = self.q.Q12, self.c
        a, b = self._area(c.inst.find(q.place))
        i = np.arange(a, b)
        i = i[(c.persons.death[i] >= c.schedule.first) & (c.persons.death[i] <= c.schedule.last)]
        if not len(i):
            return "nobody died there"
        c.persons.death_reported[i] = c.persons.death[i] + self.rng.integers(*q.days, len(i), endpoint=True)
        tag = self._entry(
            "Q12",
            "R-A07",
            "EHR-06",
            "deaths registered weeks late",
            [q.place],
            int(c.persons.death[i].min()),
            int(c.persons.death[i].max()),
            f"{len(i)} deaths",
        )
        self.entries[tag].persons = c.persons.resident_id.gather(i).to_list()
        return None

    def _plant_q13(self) -> str | None:
        q = self.q.Q13
        d = self._on(q.month, 5, q.days)
        if d is None:
            return "the period has no such days"
        self.Q13 = (self.c.inst.find(q.place), d, d + q.days - 1)
        self._entry(
            "Q13",
            "EFFI-01 edit rule",
            "EFFI-01",
            "extra beds that are not among the open beds: occupancy above 100 %",
            [q.place],
            d,
            d + q.days - 1,
            f"{q.days} days",
        )
        return None

    def _plant_q14(self) -> str | None:
        q, s = self.q.Q14, self.c.schedule
        if len(self.history) < 2:
            return "needs two months of history"
        months = self.history[-q.months - 2 : -2] or self.history[-2:-1]
        again = s.months[months[-1] + 1][0] + q.resubmitted_day - 1
        a, b = s.months[months[0]][0], s.months[months[-1]][1]
        self.Q14 = (
            self._entry(
                "Q14",
                "",
                "restatement and report revision number",
                "settlements overstated, then sent again with the right amounts",
                [q.place],
                a,
                b,
                f"{len(months)} months",
            ),
            self.c.inst.find(q.place),
            a,
            b,
            again,
        )
        return None

    # ------------------------------------------------------------------ innocent

    def _plant_i01(self) -> str | None:
        q, c = self.q.I01, self.c
        n = max(q.least, round(q.patients * c.scale))  # in proportion: each patient makes many stays
        span = q.courses * (q.gap_days[1] + q.los)
        start = c.schedule.last - span - 10
        courses = q.courses
        if start < c.schedule.first:
            start, courses = c.schedule.first + 2, max(2, (c.schedule.last - c.schedule.first - 10) // (q.gap_days[1] + q.los))
        who = self._people(n, 45, 75, start)
        tag = self._entry(
            "I01",
            "R-A01;R-E05",
            "",
            "chemotherapy every two to three weeks, planned",
            [q.place],
            start,
            c.schedule.last,
            f"{len(who)} patients",
        )
        admit = start + self.rng.integers(0, 10, len(who))
        for _ in range(courses):
            self._add_stays(
                tag, c.inst.find(q.place), admit, np.full(len(who), q.los), who, [q.icd], planned=np.ones(len(who), np.int8)
            )
            admit = admit + q.los + self.rng.integers(*q.gap_days, len(who), endpoint=True)
        return None

    def _plant_i05(self) -> str | None:
        winter = [
            m
            for m, (a, _, _) in enumerate(self.c.schedule.months)
            if int(to_date(a).astype("datetime64[M]").astype(int) % 12) + 1 in self.q.I05.months
        ]
        if not winter:
            return "the period has no winter"
        m = self.c.schedule.months
        self._entry(
            "I05",
            "R-C08",
            "EFFI-01",
            "the respiratory winter raises antibiotics and occupancy",
            [],
            m[winter[0]][0],
            m[winter[-1]][1],
            "all",
        )
        return None

    def _plant_i08(self) -> str | None:
        q, c = self.q.I08, self.c
        if c.scale < q.least_scale:
            return "one such stay would outweigh all others of so thin a county"
        n = self._size(q.patients, q.least)
        who = self._people(n, 20, 70, c.schedule.first)
        los = self.rng.integers(*q.days, len(who))
        admit = c.schedule.first + self.rng.integers(0, max(c.schedule.last - c.schedule.first - 95, 5), len(who))
        tag = self._entry(
            "I08",
            "R-A09",
            "",
            "tuberculosis in hospital for months",
            [q.place],
            int(admit.min()),
            int((admit + los).max()),
            f"{len(who)} stays",
        )
        self._add_stays(tag, c.inst.find(q.place), admit, los, who, [q.icd])
        return None

    def _plant_i09(self) -> str | None:
        q, c = self.q.I09, self.c
        self.I09 = c.inst.find(q.place)
        self._entry(
            "I09",
            "R-E06",
            "",
            "a village doctor enters the week's visits on Friday",
            [q.place],
            c.schedule.first,
            c.schedule.last,
            "all visits",
        )
        return None
