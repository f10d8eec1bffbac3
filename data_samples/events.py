"""Who falls ill of what, when, and where they go: visits and stays as arrays, month by month.

Put here: the draw of events from persons. Put elsewhere: what the events cost (`charges.py`), the rows that
institutions send about them (`records.py`), and events that are planted (`planted.py`), which are joined in here.
"""

import numpy as np
import polars as pl

from data_samples.arrays import SECONDS_A_DAY, Columns, pick, spread
from data_samples.calendar import Calendar
from data_samples.parameters import Node
from data_samples.population import ALIVE, Persons

POOLS = {"mch": "mch", "psychiatric": "psychiatric", "village": "local", "township": "local"}


class Illnesses:
    """The list of illnesses of visits or of stays, and the chance of each for an age, sex, month and kind of institution."""

    def __init__(self, p: Node, what: str, persons: Persons, first: int) -> None:
        d, self.what, self.p = p.diagnoses, what, p
        rows = []
        listed = set()
        for r in d[what]:
            if what == "inpatient":
                code, name, share, klass, los, fee, township, profile, symptom = r
                rows.append((code, d.main_subcode, name, share, klass, los, fee, township, profile, 1.0, symptom))
            else:
                code, name, share, klass, profile, fee, antibiotic, symptom = r
                rows.append((code, d.main_subcode, name, share, klass, 0, fee, 0, profile, antibiotic, symptom))
            listed.add(code)
        rest = 1000 - sum(r[3] for r in rows)
        others = [(c, n, a) for c, n, a in d.other if c not in listed]
        each = rest / (len(others) * len(d.other_subcodes))
        for code, name, profile in others:
            for sub in d.other_subcodes:
                if what == "inpatient":
                    o = d.other_inpatient
                    share = 0 if code[0] in o.never_township else o.township
                    rows.append((code, sub, name, each, d.other_class, o.los, o.fee, share, profile, 1.0, "OTHER"))
                else:
                    o = d.other_outpatient
                    rows.append((code, sub, name, each, d.other_class, 0, o.fee, 0, profile, o.antibiotic, "OTHER"))
        known = {r[0] for r in rows}
        for disease in p.notifiable.diseases:  # sent only for notified cases
            if disease[2] not in known:
                rows.append(
                    (
                        disease[2],
                        d.main_subcode,
                        disease[3],
                        0,
                        d.other_class,
                        8,
                        4000 if what == "inpatient" else 1,
                        0.2,
                        disease[6],
                        1.0,
                        "FEVER",
                    )
                )
        self.three = np.array([r[0] for r in rows])
        self.code = pl.Series([f"{r[0]}.{r[1]}{d.clinical_suffix}" for r in rows])
        self.name = pl.Series([r[2] for r in rows])
        self.share = np.array([r[3] for r in rows], float)
        self.klass = np.array([r[4] for r in rows])
        self.los = np.array([r[5] for r in rows], float)
        self.fee = np.array([r[6] for r in rows], float)
        self.township = np.array([r[7] for r in rows], float)
        self.antibiotic = np.array([r[9] for r in rows], float)
        self.symptom = pl.Series([r[10] for r in rows])
        self.chapter = np.array([c[0] for c in self.three])
        self.index = {}
        for i, c in enumerate(self.three):
            self.index.setdefault(c, i)
        bands = len(p.bands)
        self.by_group = np.zeros((bands * 2, len(rows)))
        for k, r in enumerate(rows):
            profile = p.age_profiles[r[8]]
            for sex in (1, 2):
                if profile.sex in (0, sex):
                    self.by_group[np.arange(bands) * 2 + sex - 1, k] = profile.weight
        age = np.maximum(first - persons.birth, 0) / 365.25
        self.person_group = (np.searchsorted(np.array(p.bands), age, side="right") - 1) * 2 + persons.sex - 1
        self.persons = persons
        self.multiplier = np.array([p.calendar.classes[c] for c in self.klass]).T  # month, illness
        self._cache = {}

    def mix(self, kind: str, shape: str, pool: str) -> "Mix":
        """The chances of a kind of institution, whose patients come from a pool of persons."""
        if (kind, shape, pool) not in self._cache:
            self._cache[kind, shape, pool] = Mix(self, kind, shape, pool)
        return self._cache[kind, shape, pool]


class Mix:
    """Chances of each illness by person group and month; `season[month]` is how busy the month is, `los` the mean days.

    `share[month]` is the part of all events that each person group and illness makes.
    """

    def __init__(self, ill: Illnesses, kind: str, shape: str, pool: str) -> None:
        d = ill.p.diagnoses
        special = d[f"{ill.what}_mix"]
        extra = special.get("eye" if shape == "eye" else kind, {})
        share = ill.share * np.array([extra.get(c, 1.0) for c in ill.three])
        if ill.what == "inpatient":
            share = share * (ill.township if kind == "township" else 1 - ill.township)
        if ill.what == "outpatient" and shape == "eye" or kind == "psychiatric":
            keep = set(extra)
            share = np.where(np.isin(ill.three, list(keep)), share, share * 0.02)
        share = share / share.sum()
        what = "visit" if ill.what == "outpatient" else "stay"
        cum = ill.persons._cum[what, pool]
        weight = np.diff(cum, prepend=0)
        groups = ill.by_group.shape[0]
        q = np.bincount(ill.person_group, weight, groups) / weight.sum()
        a = share.copy()
        for _ in range(30):  # so that the marginal shares come out as declared
            chance = a * ill.by_group
            chance = chance / np.maximum(chance.sum(1, keepdims=True), 1e-300)
            got = q @ chance
            a = a * np.where(got > 0, share / np.maximum(got, 1e-12), 0).clip(0.2, 5)
        self.season = ill.multiplier @ share
        self.season = self.season / self.season.mean()
        chance = a * ill.by_group
        self.cum, self.share = {}, {}
        self.groups, self.k = groups, len(share)
        for m in range(12):
            c = chance * ill.multiplier[m]
            empty = c.sum(1) == 0
            c[empty] = share * ill.multiplier[m]
            self.share[m] = q[:, None] * c / c.sum(1, keepdims=True)
            c = np.cumsum(c, 1)
            self.cum[m] = (c / c[:, -1:] * (1 - 1e-12) + np.arange(groups)[:, None]).ravel()
        self.los = float(share @ ill.los)
        self.fee = float(share @ ill.fee)
        self.antibiotic = float(share @ ill.antibiotic)

    def draw(self, rng: np.random.Generator, month: int, group: np.ndarray) -> np.ndarray:
        """An illness for each person group in a month (0 to 11)."""
        flat = np.searchsorted(self.cum[month], group + rng.random(len(group)), side="right")
        return (flat - group * self.k).clip(0, self.k - 1)


def person_group(p: Node, persons: Persons, person: np.ndarray, on: np.ndarray) -> np.ndarray:
    """The age band and sex of persons on a day, as one number."""
    age = np.maximum(on - persons.birth[person], 0) / 365.25
    return (np.searchsorted(np.array(p.bands), age, side="right") - 1) * 2 + persons.sex[person] - 1


def draw_persons(
    p: Node, rng: np.random.Generator, persons: Persons, group: object, what: str, institution: np.ndarray
) -> np.ndarray:
    """A person for each event, from the institution's own area or the whole county."""
    pool = POOLS.get(group.kind, "county")
    if pool != "local":
        return persons.draw(rng, what, pool, n=len(institution))
    low, high = group.area
    lo, hi = low[institution - group.first], high[institution - group.first]
    everywhere = rng.random(len(institution)) > p.utilisation.own_area[group.kind]
    everywhere |= hi <= lo
    return persons.draw(rng, what, "local", np.where(everywhere, 0, lo), np.where(everywhere, len(persons.sex), hi))


def draw_visits(
    p: Node,
    rng: np.random.Generator,
    group: object,
    ill: Illnesses,
    persons: Persons,
    cal: Calendar,
    days: np.ndarray,
    origin: int,
    planted: Columns,
) -> Columns:
    """The month's visits of a group of institutions: inst, day, second of day, person, diag, tag; in order of institution and time."""
    v = p.institutions[group.kind]
    month = int(cal.month[days[0] - cal.first])
    mix = ill.mix(group.kind, group.shape, POOLS.get(group.kind, "county"))
    village = group.kind in ("village", "clinic")
    busy = cal.visits(days, village) * v.visit_growth ** ((days - origin) / 365.25) / group.mean_busy_visits * mix.season[month]
    rate = v.visits * group.scale / 365.25 * group.weight[:, None] * busy[None, :]
    market = np.where(cal.at(cal.weekday_number, days)[None, :] == group.market[:, None], p.calendar.market_day, 1.0)
    rate = rate * (market / ((6 + p.calendar.market_day) / 7) if group.kind in ("village", "township", "clinic") else 1.0)
    count = rng.poisson(rate)
    cell, _ = spread(count.ravel())
    inst = group.insts[cell // len(days)]
    on = days[cell % len(days)]
    person = draw_persons(p, rng, persons, group, "visit", inst)
    diag = mix.draw(rng, month, person_group(p, persons, person, on))
    alive = (on <= persons.death[person]) & (on >= persons.birth[person])
    drawn = Columns(inst=inst, day=on, person=person, diag=diag, tag=np.zeros(len(inst), np.int32)).take(alive)
    out = Columns.join([drawn, planted])
    if not len(out):
        return out
    out.set(second=time_of_day(p, rng, len(out), group.kind == "village"))
    at = getattr(out, "at", None)
    if at is not None:
        out.set(second=np.where(at > 0, at, out.second))
    return out.take(np.lexsort((out.second, out.day, out.inst)))


def time_of_day(p: Node, rng: np.random.Generator, n: int, village: bool) -> np.ndarray:
    """Seconds since midnight of n visits."""
    w = p.calendar.windows
    shares = {k: v[2] for k, v in w.items()}
    if village:
        evening = p.calendar.village_evening
        shares = {k: evening if k == "evening" else s * (1 - evening) / (1 - w.evening[2]) for k, s in shares.items()}
    which = pick(rng, shares, n)
    low = np.array([v[0] for v in w.values()])[which]
    high = np.array([v[1] for v in w.values()])[which]
    return ((low + rng.random(n) * (high - low)) * 3600).astype(np.int64)


def draw_stays(
    p: Node,
    rng: np.random.Generator,
    group: object,
    ill: Illnesses,
    persons: Persons,
    cal: Calendar,
    days: np.ndarray,
    origin: int,
    planted: Columns,
    busy_until: np.ndarray,
) -> Columns:
    """The month's admissions of a group: inst, admit, out (day of discharge), person, diag, tag, z (severity), died.

    `busy_until` holds each person's last day in hospital; nobody is admitted twice at once, save where it is planted.
    """
    v, q = p.institutions[group.kind], p.inpatient
    month = int(cal.month[days[0] - cal.first])
    mix = ill.mix(group.kind, group.shape, POOLS.get(group.kind, "county"))
    busy = cal.at(cal.admission, days) * np.where(cal.at(cal.holiday, days), p.calendar.holiday.county, 1.0)
    growth = p.growth.stay[group.kind] ** ((days - origin) / 365.25)
    rate = (
        v.stays
        * group.scale
        / 365.25
        * group.weight[:, None]
        * (busy * growth / group.mean_busy_stays * mix.season[month])[None, :]
    )
    count = rng.poisson(rate)
    cell, _ = spread(count.ravel())
    inst, admit = group.insts[cell // len(days)], days[cell % len(days)]
    person = draw_persons(p, rng, persons, group, "stay", inst)
    diag = mix.draw(rng, month, person_group(p, persons, person, admit))
    elective = (ill.klass[diag] == "E") & cal.at(cal.festival, admit) & (rng.random(len(diag)) > p.calendar.festival_elective)
    z = rng.standard_normal(len(inst))
    factor = v.los / mix.los if mix.los else 1.0
    los = np.round(ill.los[diag] * factor * np.exp(q.los_sigma * z - q.los_sigma**2 / 2)).astype(int).clip(min=0)
    alive = (admit <= persons.death[person]) & (admit >= persons.birth[person]) & ~elective
    drawn = Columns(
        inst=inst, admit=admit, out=admit + los, person=person, diag=diag, z=z, tag=np.zeros(len(inst), np.int32)
    ).take(alive)
    out = Columns.join([planted, drawn])
    if not len(out):
        return out
    z_missing = out.z == 0
    out.set(z=np.where(z_missing, rng.standard_normal(len(out)), out.z))
    out = out.take(np.lexsort((out.tag == 0, out.admit)))
    out = out.take(_one_stay_at_a_time(out, busy_until, q.gap_days))
    out.set(died=out.out >= persons.death[out.person])
    out.set(out=np.where(out.died & (persons.death[out.person] < ALIVE), persons.death[out.person], out.out))
    np.maximum.at(busy_until, out.person, out.out)
    second = time_of_day(p, rng, len(out), False)
    leave = 9 * 3600 + rng.integers(0, 8 * 3600, len(out))
    out.set(admitted=out.admit.astype(np.int64) * SECONDS_A_DAY + second)
    out.set(discharged=np.maximum(out.out.astype(np.int64) * SECONDS_A_DAY + leave, out.admitted + 2 * 3600))
    out.set(out=(out.discharged // SECONDS_A_DAY).astype(np.int64))
    return out.take(np.lexsort((out.admitted, out.inst)))


def _one_stay_at_a_time(stays: Columns, busy_until: np.ndarray, gap: int) -> np.ndarray:
    """A mask without the drawn stays of persons who are in hospital already; planted stays always remain."""
    free = stays.admit >= busy_until[stays.person] + gap
    order = np.lexsort((stays.admit, stays.person))
    person, admit, leave = stays.person[order], stays.admit[order], stays.out[order]
    clash = np.zeros(len(order), bool)
    if len(order) > 1:
        clash[1:] = (person[1:] == person[:-1]) & (admit[1:] < leave[:-1] + gap)
        planted = stays.tag[order] > 0  # a planted stay behind a drawn one displaces it
        later = np.r_[clash[1:] & planted[1:] & ~planted[:-1], False]
        clash = (clash & ~planted) | later
    keep = np.ones(len(order), bool)
    keep[order] = ~clash
    return (keep & free) | (stays.tag > 0)


def entry_lag(p: Node, rng: np.random.Generator, n: int, kind: str) -> np.ndarray:
    """Days from an event to its entry in the institution's system."""
    q = p.lateness
    late = {"village": (q.village_late_share, q.village_late_days), "clinic": (q.clinic_late_share, q.clinic_late_days)}.get(kind)
    if late:
        return np.where(rng.random(n) < late[0], rng.integers(late[1][0], late[1][1], n, endpoint=True), 0)
    which = pick(rng, dict(enumerate(q.event.share)), n)
    bounds = np.array(q.event.days)
    return bounds[which, 0] + np.floor(rng.random(n) * (bounds[which, 1] - bounds[which, 0] + 1)).astype(int)


def mean_busy(p: Node, cal: Calendar, days: np.ndarray, village: bool) -> tuple[float, float]:
    """The mean of the day factors over a year, so that yearly totals come out as declared."""
    stays = cal.at(cal.admission, days) * np.where(cal.at(cal.holiday, days), p.calendar.holiday.county, 1.0)
    return float(cal.visits(days, village).mean()), float(stays.mean())
