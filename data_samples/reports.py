"""What institutions and authorities report besides single visits: beds, residents, denominators, notified cases, care elsewhere.

Put here: summaries of, and lists beside, the events. Put elsewhere: rows about single events (`records.py`).
"""

import numpy as np
import polars as pl

from data_samples.arrays import (
    SECONDS_A_DAY,
    Columns,
    dates,
    datetimes,
    decimals,
    nullable,
    numbered,
    pick,
    pick_codes,
    stream,
    to_date,
)
from data_samples.records import Desk, _codes, _const, _when


class Wards:
    """Who lies in which ward from which day to which, and the daily bed report that follows from it."""

    def __init__(self) -> None:
        self.spells = Columns()

    def add(self, spells: Columns) -> None:
        """Adds spells: inst, dept, begin, end (days), admitted, left (whether it begins or ends with a transfer), died."""
        self.spells = Columns.join([self.spells, spells])

    def report(self, d: Desk, days: np.ndarray) -> None:
        """Sends the month's bed report of every ward of a group of institutions."""
        g, p, rng = d.g, d.p, d.rng
        first, n = int(days[0]), len(days)
        if len(self.spells):
            self.spells = self.spells.take(self.spells.end >= first)
        s, wards = self.spells, len(g.in_codes)
        shape = (len(g.insts), wards, n)

        def count(day: np.ndarray, mask: np.ndarray) -> np.ndarray:
            ok = mask & (day >= first) & (day < first + n)
            flat = ((s.inst[ok] - g.first) * wards + s.dept[ok]) * n + day[ok] - first
            return np.bincount(flat, minlength=np.prod(shape)).reshape(shape)

        if not len(s):
            zero = np.zeros(shape, np.int64)
            came = moved_in = left = moved_out = died = same_day = zero
            start = zero[:, :, 0]
        else:
            came, moved_in = count(s.begin, s.admitted == 1), count(s.begin, s.admitted == 0)
            left, moved_out = count(s.end, s.left == 1), count(s.end, s.left == 0)
            died = count(s.end, (s.left == 1) & (s.died == 1))
            same_day = count(s.begin, (s.begin == s.end) & (s.left == 1))
            before = s.begin < first
            start = np.bincount((s.inst[before] - g.first) * wards + s.dept[before], minlength=shape[0] * wards).reshape(
                shape[:2]
            )
        change = came + moved_in - left - moved_out
        end = start[:, :, None] + np.cumsum(change, 2)
        begin = end - change
        open_beds = np.repeat(np.array([d.c.inst.ward_beds[i] for i in g.insts])[:, :, None], n, 2)
        open_beds = d.c.plan.open_beds(g, days, open_beds, end)
        extra = np.maximum(end - open_beds, 0)
        i, w, t = (x.ravel() for x in np.indices(shape))
        r = lambda a: pl.Series(a.ravel().astype(np.int64))  # noqa: E731
        occupied = end + same_day
        kept = rng.random(len(i)) >= p.lateness.bed_report_missing_share
        on = days[t]
        d.send(
            "bed_daily",
            {
                "dept_code": g.in_codes.gather(w),
                "stat_date": dates(on),
                "actual_open_beds": r(open_beds),
                "extra_beds": r(extra),
                "observation_beds": r(np.rint(open_beds * p.beds.observation_share)),
                "patients_start": r(begin),
                "admissions": r(came),
                "transfers_in": r(moved_in),
                "discharges": r(left),
                "transfers_out": r(moved_out),
                "deaths": r(died),
                "patients_end": r(end),
                "occupied_bed_days": r(occupied),
                "critical_patients": r(np.floor(end * p.beds.critical_share)),
            },
            g.insts[i],
            on,
            keep=kept,
        )


class Files:
    """The resident list: one health file or index entry per person, kept by the township hospital, sent as changes."""

    def __init__(self, c: object) -> None:
        self.c, p = c, c.p
        self.persons, rng = c.persons, stream(c.seed, 6)
        n = len(self.persons.sex)
        self.township = c.inst.places.township_of[self.persons.village]
        self.hospital = c.inst.of_kind["township"][self.township]
        years = p.population.health_file_years
        created = np.array([np.datetime64(f"{y}-01-01", "D").astype(int) for y in years])
        self.created = np.maximum(rng.integers(created[0], created[1], n), self.persons.birth + 30)
        self.has_file = (rng.random(n) < p.population.file_share) & (self.persons.residency != 2)
        self.standard = rng.random(n) < p.population.standard_file_share
        self.open = rng.random(n) < p.population.open_file_share
        self.disabled = rng.random(n) < p.population.disability_share
        self.education = rng.integers(0, 4, n)
        self.doctor = c.staff.start[self.hospital] + (np.arange(n) % np.maximum(c.staff.doctors[self.hospital], 1))
        self.last_sent = np.full(n, -1, np.int64)

    def rows(self, who: np.ndarray, on: np.ndarray) -> dict[str, pl.Series]:
        """The entries of persons as they stood on a day each."""
        c, persons = self.c, self.persons
        n = len(who)
        dead = persons.death_reported[who] <= on
        none = pl.Series([None] * n, dtype=pl.String)
        age = persons.age_days(who, on) / 365.25
        file_ = self.has_file[who]
        village = c.inst.places.village_code.gather(persons.village[who])
        local = persons.residency[who] != 3
        known_id = ~(persons.born_in_period[who] & (on - persons.birth[who] < 60))
        return {
            "resident_id": persons.resident_id.gather(who),
            "master_resident_id": none,
            "id_type": _const(n, "01"),
            "id_number": nullable(persons.id_number.gather(who), known_id),
            "person_name": persons.name.gather(who),
            "sex_code": _codes(persons.sex[who]),
            "birth_date": dates(persons.birth[who]),
            "nationality_code": _const(n, "CHN"),
            "ethnic_code": c.ethnic(who),
            "marital_code": _when(age >= 24, "20", "10"),
            "occupation_code": c.occupation(who, on),
            "education_code": nullable(pl.Series(["70", "60", "40", "20"]).gather(self.education[who]), age >= 6),
            "phone": persons.phone.gather(persons.phone_owner[who]),
            "address": c.address(who),
            "village_code": village,
            "registered_village_code": nullable(village, local),
            "residency_type": _codes(persons.residency[who]),
            "insurance_type": nullable(_codes(persons.insurance[who]), persons.insurance[who] > 0),
            "poverty_flag": pl.Series(persons.poor[who]),
            "health_file_no": nullable(
                pl.select(
                    pl.concat_str(
                        [village, numbered("", persons.resident_id.gather(who).str.slice(-5).cast(pl.Int64).to_numpy(), 5)]
                    )
                ).to_series(),
                file_,
            ),
            "file_created_date": dates(self.created[who], file_),
            "file_institution_code": c.inst.codes.gather(self.hospital[who]),
            "file_doctor_id": c.staff.ids.gather(self.doctor[who]),
            "file_status": _when(dead, "3", "1"),
            "file_standard_flag": nullable(pl.Series(self.standard[who]), file_),
            "last_update_date": dates(on),
            "open_to_resident_flag": pl.Series(self.open[who]),
            "blood_abo": _const(n, "6"),
            "blood_rh": _const(n, "4"),
            "allergy_text": none,
            "disability_code": nullable(_const(n, "1"), self.disabled[who]),
            "death_date": dates(np.where(dead, persons.death[who], 0), dead),
            "consent_version": _const(n, "V1"),
        }

    def first_list(self, d: Desk) -> None:
        """Sends everyone who was there when the period began, and entries that were merged before it."""
        c, persons = self.c, self.persons
        begin = c.schedule.first
        for t, hospital in enumerate(c.inst.of_kind["township"]):
            who = np.flatnonzero((self.township == t) & ~persons.born_in_period)
            rng = stream(c.seed, 61, t)
            on = np.maximum(self.created[who], begin - rng.integers(1, 700, len(who)))
            on = np.minimum(on, begin - 1)
            self._send(d, who, on, "I")
            double = who[rng.random(len(who)) < c.p.population.duplicate_share]
            merged = self.rows(double, np.full(len(double), begin - 1))
            merged |= {
                "master_resident_id": merged["resident_id"],
                "resident_id": self._second(double),
                "file_status": _const(len(double), "4"),
            }
            d.send("resident", merged, np.full(len(double), hospital), np.full(len(double), begin - 1))

    def _second(self, who: np.ndarray) -> pl.Series:
        return numbered(self.c.p.county.division + "X", who + 1, 9)

    def unmerged(self, d: Desk, who: np.ndarray) -> pl.Series:
        """Sends second entries of persons that nobody has merged; they are no true rows."""
        begin = self.c.schedule.first
        rows = self.rows(who, np.full(len(who), begin - 1))
        rows["resident_id"] = numbered(self.c.p.county.division + "Q", who + 1, 9)
        d.send("resident", rows, self.hospital[who], np.full(len(who), begin - 1), truth=False)
        return rows["resident_id"]

    def changes(self, d: Desk, m: int) -> None:
        """Sends a month's births, deaths and updated entries."""
        c, persons, p = self.c, self.persons, self.c.p
        a, b, _ = c.schedule.months[m]
        rng = stream(c.seed, 62, m)
        born = np.flatnonzero(persons.born_in_period & (persons.birth + 20 >= a) & (persons.birth + 20 <= b))
        self._send(d, born, persons.birth[born] + 20, "I")
        died = np.flatnonzero((persons.death_reported >= a) & (persons.death_reported <= b) & (self.last_sent >= 0))
        there = np.flatnonzero((self.last_sent >= 0) & (self.last_sent < a) & (persons.death_reported > b))
        updated = there[rng.random(len(there)) < p.population.yearly_update_share / 12]
        on = rng.integers(a, b, len(updated), endpoint=True)
        on = np.maximum(on, self.last_sent[updated])
        both = np.r_[died, updated]
        self._send(d, both, np.r_[persons.death_reported[died], on], "U")

    def _send(self, d: Desk, who: np.ndarray, on: np.ndarray, op: str) -> None:
        if not len(who):
            return
        slot = self.c.schedule.slot(on)
        self.last_sent[who[slot >= 0]] = on[slot >= 0]
        d.send("resident", self.c.plan.sent_resident(who, self.rows(who, on)), self.hospital[who], on, op=op, truth=False)

    def truth(self) -> pl.DataFrame:
        """Every entry as it was sent last, and the merged ones."""
        frames = []
        for t, hospital in enumerate(self.c.inst.of_kind["township"]):
            who = np.flatnonzero((self.township == t) & (self.last_sent >= 0))
            frames.append(
                pl.DataFrame(
                    {
                        "institution_code": self.c.inst.codes.gather(np.full(len(who), hospital)),
                        **self.rows(who, self.last_sent[who]),
                    }
                )
            )
        return pl.concat(frames)


def population_table(c: object, year: int) -> pl.DataFrame:
    """The authority's denominators of a year: village, age group, sex and kind of population."""
    persons = c.persons
    on = np.datetime64(f"{year}-01-01", "D").astype(int)
    age = np.maximum((on - persons.birth) / 365.25, 0).astype(int)
    group = np.where(age == 0, 0, np.where(age < 5, 1, np.minimum(age // 5 + 1, 18)))
    labels = ["0", "1-4", *[f"{a}-{a + 4}" for a in range(5, 85, 5)], "85+"]
    there = (persons.birth < on) & (persons.death >= on)
    kinds = {"1": there & (persons.residency != 3), "2": there & (persons.residency != 2), "3": there & (persons.insurance > 0)}
    villages, frames = len(c.inst.places.weight), []
    for kind, mask in kinds.items():
        flat = (persons.village[mask] * 19 + group[mask]) * 2 + persons.sex[mask] - 1
        count = np.bincount(flat, minlength=villages * 38).reshape(villages, 19, 2)
        v, a, s = (x.ravel() for x in np.indices(count.shape))
        fertile = (a >= 4) & (a <= 10) & (s == 1)
        frames.append(
            pl.DataFrame(
                {
                    "village_code": c.inst.places.village_code.gather(v),
                    "stat_year": pl.Series(np.full(len(v), year)),
                    "age_group": pl.Series(labels).gather(a),
                    "sex_code": _codes(s + 1),
                    "population_type": _const(len(v), kind),
                    "population": pl.Series(count.ravel()),
                    "women_15_49": pl.Series(np.where(fertile, count.ravel(), 0)),
                    "source_document": _const(len(v), f"{year}年人口统计(合成)"),
                }
            )
        )
    return pl.concat(frames)


def elsewhere(c: object, m: int) -> pl.DataFrame:
    """A month's settlements outside the county, as the insurance authority sends them."""
    p, persons = c.p, c.persons
    q, rng = p.out_of_county, stream(c.seed, 70, m)
    a, b, label = c.schedule.months[m]
    share = (b - a + 1) / 365.25 * c.scale * q.growth ** ((a - c.schedule.first) / 365.25)
    counts = [rng.poisson(q.stays * share), rng.poisson(q.visits * share)]
    n = sum(counts)
    stay = np.arange(n) < counts[0]
    person = np.where(stay, persons.draw(rng, "stay", "county", n=n), persons.draw(rng, "visit", "county", n=n))
    insured = persons.insurance[person] > 0
    end = rng.integers(a, b, n, endpoint=True)
    ok = insured & (persons.death[person] >= end) & (persons.birth[person] <= end - 60)
    person, end, stay = person[ok], end[ok], stay[ok]
    n = len(person)
    los = np.where(stay, np.maximum(rng.gamma(2, q.los / 2, n), 1).astype(int), 0)
    fee = np.where(
        stay,
        q.stay_fee.mean * np.exp(q.stay_fee.sigma * rng.standard_normal(n) - q.stay_fee.sigma**2 / 2),
        q.visit_fee.mean * np.exp(q.visit_fee.sigma * rng.standard_normal(n) - q.visit_fee.sigma**2 / 2),
    )
    total = np.maximum(np.rint(fee * 100), 100).astype(np.int64)
    fund = np.rint(total * np.where(stay, q.stay_fund, q.visit_fund)).astype(np.int64)
    mixes = (c.stay_illness.mix("general", "hospital", "county"), c.visit_illness.mix("general", "hospital", "county"))
    month = int(to_date(a).astype("datetime64[M]").astype(int) % 12)
    group = c.group_on(person, end)
    inpatient, outpatient = mixes[0].draw(rng, month, group), mixes[1].draw(rng, month, group)
    division = pick(rng, dict(enumerate(q.division_share)), n)
    grade = pick_codes(rng, q.grades, n)
    return pl.DataFrame(
        {
            "external_settlement_id": numbered(f"W{label[2:]}", np.arange(1, n + 1), 7),
            "psn_no": persons.psn_no.gather(person),
            "id_number": persons.id_number.gather(person),
            "sex_code": _codes(persons.sex[person]),
            "birth_date": dates(persons.birth[person]),
            "village_code": c.inst.places.village_code.gather(persons.village[person]),
            "care_division": pl.Series(q.divisions).gather(division),
            "institution_name": pl.select(
                pl.concat_str([pl.lit("外县医院"), pl.Series(division + 1).cast(pl.String), pl.lit("-"), grade])
            ).to_series(),
            "hospital_grade": grade,
            "med_type": _when(stay, "21", "11"),
            "referral_flag": pick_codes(rng, q.referral_share, n),
            "main_diag_code": _when(stay, c.stay_illness.code.gather(inpatient), c.visit_illness.code.gather(outpatient)),
            "begin_date": dates(end - los),
            "end_date": dates(end),
            "total_fee": decimals(total, 14, 2),
            "fund_pay": decimals(fund, 14, 2),
            "cash_pay": decimals(total - fund, 14, 2),
        }
    ).sort("end_date", maintain_order=True)


def notified_visits(c: object, m: int) -> dict[str, Columns]:
    """A month's visits that end in a report card, by kind of institution: inst, day, person, diag, card."""
    p, persons, ill = c.p, c.persons, c.visit_illness
    q, rng = p.notifiable, stream(c.seed, 71, m)
    a, b, _ = c.schedule.months[m]
    days = np.arange(a, b + 1)
    week = np.array([int(d.astype(object).isocalendar()[1]) for d in to_date(days)])
    year_weeks = np.arange(1, 53)
    kinds = list(q.kind_share)
    base = np.diff(persons._cum["visit", "county"], prepend=0)
    parts: dict[str, list[Columns]] = {k: [] for k in kinds}
    present = p.population.registered - p.population.away

    def height(w: np.ndarray, peaks: list) -> np.ndarray:
        h = np.full(len(w), q.floor if peaks else 1.0)
        for lo, hi, top in peaks:
            h = np.where((w >= lo) & (w <= hi), top, h)
        return h

    for j, (_, _, icd, _, rate, curve, _) in enumerate(q.diseases):
        peaks = q.curves[curve]
        mean = height(year_weeks, peaks).mean()
        factor = c.plan.season_shift(curve, days, height(week, peaks) / mean, lambda w, p=peaks, k=mean: height(w, p) / k)
        count = rng.poisson(rate / 1e5 * present * c.scale / 365.25 * factor)
        on = np.repeat(days, count)
        if not len(on):
            continue
        band = ill.by_group[:, ill.index[icd]]
        weight = np.cumsum(base * band[ill.person_group])
        person = np.searchsorted(weight, rng.random(len(on)) * weight[-1], side="right").clip(max=len(weight) - 1)
        ok = (persons.death[person] > on) & (persons.birth[person] <= on) & (persons.residency[person] != 2)
        person, on = person[ok], on[ok]
        which = pick(rng, q.kind_share, len(on))
        own = c.inst.of_kind["township"][c.inst.places.township_of[persons.village[person]]]
        for k, kind in enumerate(kinds):
            mine = which == k
            inst = own[mine] if kind == "township" else np.full(mine.sum(), c.inst.of_kind[kind][0])
            parts[kind].append(
                Columns(
                    inst=inst,
                    day=on[mine],
                    person=person[mine],
                    diag=np.full(mine.sum(), ill.index[icd]),
                    card=np.full(mine.sum(), j + 1),
                    tag=np.full(mine.sum(), c.plan.routine_tag),
                )
            )
    return {k: Columns.join(v) for k, v in parts.items()}


def cards(d: Desk, v: Columns, done: Columns, m: int, serial: int) -> int:
    """Sends the report cards of a group's visits; returns how many were numbered so far this month."""
    c, p, rng = d.c, d.p, d.rng
    q = p.notifiable
    i = np.flatnonzero(v.card > 0)
    n = len(i)
    if not n:
        return serial
    persons, person, disease = c.persons, v.person[i], v.card[i] - 1
    codes = pl.Series([x[0] for x in q.diseases])
    classes = pl.Series([x[1] for x in q.diseases])
    diagnosed = done.start[i] + 600
    onset = np.maximum(v.day[i] - rng.integers(*q.onset_days, n, endpoint=True), persons.birth[person])
    wait = getattr(v, "report_after", np.zeros(len(v), np.int64))[i].astype(np.int64) * SECONDS_A_DAY
    filled = diagnosed + (rng.uniform(*q.fill_hours, n) * 3600).astype(np.int64) + wait
    late = rng.random(n) < q.late_share
    entered = filled + np.where(late, rng.uniform(*q.late_hours, n), rng.uniform(*q.enter_hours, n) * 1.0).astype(np.int64) * 3600
    reviewed = entered + (rng.uniform(*q.review_hours, n) * 3600).astype(np.int64)
    age = persons.age_days(person, v.day[i]) / 365.25
    pupil = (age >= q.school_ages[0]) & (age <= q.school_ages[1])
    township = c.inst.places.township_of[persons.village[person]]
    school = pl.select(
        pl.concat_str([pl.Series(c.inst.places.township_name).gather(township), _when(age < 7, "幼儿园", "学校")])
    ).to_series()
    label = c.schedule.months[m][2]
    case = pick_codes(rng, q.case_share, n)
    identity = d.patient(person, v.inst[i], np.zeros(n, bool))
    ids = numbered(f"{p.county.division}{label}", serial + np.arange(1, n + 1), 6)
    cols = {
        "card_id": ids,
        **identity,
        "card_version": pl.Series(np.ones(n, np.int64)),
        "disease_code": codes.gather(disease),
        "disease_class": classes.gather(disease),
        "case_class": case,
        "onset_date": dates(onset),
        "diagnosed_at": datetimes(diagnosed),
        "filled_at": datetimes(filled),
        "entered_at": datetimes(entered),
        "reviewed_at": datetimes(reviewed),
        "death_date": pl.Series([None] * n, dtype=pl.Date),
        "village_code": c.inst.places.village_code.gather(persons.village[person]),
        "occupation_code": _when(pupil, "31", c.occupation(person, v.day[i])),
        "school_name": nullable(school, pupil),
        "doctor_id": c.staff.ids.gather(done.doctor_at[i]),
        "encounter_id": pl.Series(done.ids[i]),
        "stay_id": pl.Series([None] * n, dtype=pl.String),
        "corrected_from": pl.Series([None] * n, dtype=pl.String),
        "duplicate_of": pl.Series([None] * n, dtype=pl.String),
        "close_contact_flag": pl.Series([None] * n, dtype=pl.String),
    }
    day = reviewed // SECONDS_A_DAY + (rng.random(n) < q_late(p))
    d.send("notifiable_report", cols, v.inst[i], day)
    c.plan.note_cards(v.tag[i], ids, day)
    again = np.flatnonzero(rng.random(n) < q.correction_share)
    if len(again):
        later = day[again] + rng.integers(*q.correction_days, len(again), endpoint=True)
        second = {k: x.gather(again) for k, x in cols.items()} | {
            "card_version": pl.Series(np.full(len(again), 2, np.int64)),
            "case_class": _const(len(again), "3"),
            "reviewed_at": datetimes(later * SECONDS_A_DAY + 10 * 3600),
        }
        d.send("notifiable_report", second, v.inst[i][again], later)
    return serial + n


def q_late(p: object) -> float:
    """The share of cards that the daily export misses by a day."""
    return p.lateness.notifiable_export_late_share
