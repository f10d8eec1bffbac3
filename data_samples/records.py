"""The rows that institutions send about visits and stays, with their corrections, each with the day it was entered.

Put here: turning events, lines and payments into contract rows. Put elsewhere: the events themselves (`events.py`),
summaries such as bed reports (`reports.py`), and how a vendor writes the rows down (`dialects.py`).
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from data_samples.arrays import SECONDS_A_DAY, Columns, dates, datetimes, decimals, nullable, numbered, pick_codes
from data_samples.events import entry_lag

Emit = Callable[..., None]


def _when(mask: np.ndarray, yes: pl.Series | str, no: pl.Series | str | None = None) -> pl.Series:
    y = pl.Series([yes]) if isinstance(yes, str) else yes
    n = pl.Series([no], dtype=y.dtype) if isinstance(no, str) or no is None else no
    size = len(mask)
    y = y.new_from_index(0, size) if len(y) != size else y
    n = n.new_from_index(0, size) if len(n) != size else n
    return y.zip_with(pl.Series(mask, dtype=pl.Boolean), n)


def _const(n: int, value: object) -> pl.Series:
    return pl.Series([value]).new_from_index(0, n)


def _codes(numbers: np.ndarray) -> pl.Series:
    return pl.Series(numbers).cast(pl.String)


class Desk:
    """What every record needs: the county, a group of institutions, and where to put the rows."""

    def __init__(self, c: object, g: object, rng: np.random.Generator, emit: Emit) -> None:
        self.c, self.g, self.rng, self.emit, self.p = c, g, rng, emit, c.p

    def patient(self, person: np.ndarray, inst: np.ndarray, unknown: np.ndarray) -> dict[str, pl.Series]:
        """The identity block: number and document absent where the patient showed none."""
        c = self.c
        return {
            "patient_local_id": numbered(self.g.label, c.persons.local_number(self.p, person, inst), 9),
            "id_type": _when(~unknown, "01"),
            "id_number": nullable(c.persons.id_number.gather(person), ~unknown),
            "person_name": c.persons.name.gather(person),
            "sex_code": _codes(c.persons.sex[person]),
            "birth_date": dates(c.persons.birth[person]),
        }

    def send(
        self,
        extract: str,
        columns: dict[str, pl.Series],
        inst: np.ndarray,
        entry: np.ndarray,
        op: str = "I",
        truth: bool = True,
        keep: np.ndarray | None = None,
    ) -> None:
        """Emits rows of an extract that were entered on the days `entry`."""
        slot = self.c.schedule.slot(entry)
        df = pl.DataFrame(
            {
                "inst": pl.Series(inst.astype(np.int32)),
                "slot": pl.Series(slot.astype(np.int32)),
                "institution_code": self.c.inst.codes.gather(inst),
                **columns,
            }
        )
        df = df.with_columns(
            op_type=pl.lit(op), source_updated_at=datetimes(np.maximum(entry, 0).astype(np.int64) * SECONDS_A_DAY + 22 * 3600)
        )
        mask = slot >= 0 if keep is None else (slot >= 0) & keep
        self.emit(extract, df.filter(pl.Series(mask)), truth)

    def versions(
        self,
        extract: str,
        first: dict[str, pl.Series],
        last: dict[str, pl.Series],
        inst: np.ndarray,
        entered: np.ndarray,
        changed: np.ndarray,
        has: np.ndarray,
    ) -> None:
        """Rows of which some are changed later: the first version, then an update, or only the last if nobody saw the first."""
        s1, s2 = self.c.schedule.slot(entered), self.c.schedule.slot(changed)
        later = has & (s2 > s1) & (s1 >= 0)
        at_once = has & (s2 >= 0) & (s2 <= s1)
        differing = {k: v for k, v in last.items() if k in first}
        merged = {k: _when(at_once, differing[k], v) if k in differing else v for k, v in first.items()}
        self.send(extract, merged, inst, entered, keep=~later)
        if later.any():
            i = np.flatnonzero(later)
            self.send(extract, {k: v.gather(i) for k, v in merged.items()}, inst[i], entered[i], truth=False)
            self.send(extract, {k: differing.get(k, v).gather(i) for k, v in first.items()}, inst[i], changed[i], op="U")


def visit_records(d: Desk, v: Columns, lines: Columns, pay: Columns, yymm: str) -> Columns:
    """Registrations, visits, diagnoses, lines and settlements of a month. Returns ids and days for reports and planted truth."""
    c, g, p, rng, n = d.c, d.g, d.p, d.rng, len(v)
    q, ill = p.outpatient, c.visit_illness
    serial = np.arange(n) - np.searchsorted(v.inst, v.inst)
    num = numbered(yymm[2:], serial + 1, 7)
    start = v.day.astype(np.int64) * SECONDS_A_DAY + v.second
    entered = v.day + entry_lag(p, rng, n, g.kind)
    if hasattr(v, "entry_shift"):
        entered = entered + v.entry_shift
    dept = g.outpatient_of[v.diag]
    age = c.persons.age_days(v.person, v.day) / 365.25
    if g.child_out >= 0:
        dept = np.where(age < 15, g.child_out, dept)
    if g.tcm_out >= 0 and g.shape != "tcm":
        dept = np.where(rng.random(n) < p.departments.tcm_share, g.tcm_out, dept)
    emergency = np.zeros(n, bool)
    if g.emergency_out >= 0:
        emergency = rng.random(n) < p.departments.emergency_share
        dept = np.where(emergency, g.emergency_out, dept)
    doctor = c.staff.choose(rng, v.inst, dept, len(g.out_codes), ward=False)
    if hasattr(v, "doctor"):
        doctor = np.where(v.doctor > 0, v.doctor, doctor)
    doctor_id, dept_code = c.staff.ids.gather(doctor), g.out_codes.gather(dept)
    unknown = rng.random(n) < p.population.missing_identity_share
    patient = d.patient(v.person, v.inst, unknown)
    enc, reg = _join("O", num), _join("R", num)
    three = ill.three[v.diag]
    checkup = np.isin(three, q.checkup_codes)
    refill = np.isin(three, q.chronic_codes) & (rng.random(n) < q.chronic_refill_share)
    visit_type = np.where(emergency, 2, np.where(checkup, 4, np.where(refill, 5, 1)))
    reg_type = np.where(
        emergency,
        2,
        np.where(
            checkup,
            6,
            np.where(refill, 5, np.where((rng.random(n) < p.registration.specialist_share) & (g.level == "county"), 3, 1)),
        ),
    )
    wait = rng.integers(*q.registration_minutes, n) * 60
    registered = np.maximum(start - wait, v.day.astype(np.int64) * SECONDS_A_DAY + 60)
    fee = np.full(n, round(p.registration.fee[g.level] * 100))
    channel = pick_codes(rng, p.registration.channel_share, n)
    d.send(
        "registration",
        {
            "registration_id": reg,
            **patient,
            "dept_code": dept_code,
            "doctor_id": doctor_id,
            "registration_type": _codes(reg_type),
            "channel": channel,
            "appointment_id": _when(channel.is_in(["3", "4", "5"]).to_numpy(), _join("Y", num)),
            "registered_at": datetimes(registered),
            "fee": decimals(fee, 8, 2),
            "status": _codes(np.full(n, 2)),
        },
        v.inst,
        entered,
    )
    gone = np.flatnonzero(rng.random(n) < q.cancelled_registration_share)
    d.send(
        "registration",
        {
            "registration_id": _join("X", num).gather(gone),
            **{k: s.gather(gone) for k, s in patient.items()},
            "dept_code": dept_code.gather(gone),
            "doctor_id": doctor_id.gather(gone),
            "registration_type": _codes(reg_type).gather(gone),
            "channel": channel.gather(gone),
            "appointment_id": pl.Series([None] * len(gone), dtype=pl.String),
            "registered_at": datetimes(np.maximum(registered[gone] - 1800, v.day[gone].astype(np.int64) * SECONDS_A_DAY)),
            "fee": decimals(np.zeros(len(gone), np.int64), 8, 2),
            "status": _codes(np.full(len(gone), 9)),
        },
        v.inst[gone],
        entered[gone],
    )

    symptom = ill.symptom.gather(v.diag)
    feverish = symptom.is_in(["FEVER", "ILI"]).to_numpy()
    has_t = rng.random(n) < np.where(feverish, q.temperature_share.fever, q.temperature_share.other)
    temperature = np.where(feverish, 375 + rng.integers(0, 22, n), 361 + rng.integers(0, 10, n))
    has_bp = (rng.random(n) < q.pressure_share) & (age >= 18)
    systolic = np.rint(np.clip(rng.normal(128, 17, n), 85, 215)).astype(int)
    diastolic = np.clip(np.rint(systolic * 0.62 + rng.normal(0, 7, n)).astype(int), 45, 125)
    infusion = rng.random(n) < p.outpatient[g.level].infusion
    outcome = pick_codes(rng, q.village_outcome_share if g.kind in ("village", "clinic") else q.outcome_share, n)
    observed = (outcome == "4").to_numpy()
    insurance = c.persons.insurance[v.person]
    category = np.where(~pay.used, 7, np.where(insurance == 310, 1, 3))
    drug = np.isin(c.catalogue.type[lines.item], ["09", "10", "11"])
    drug_fee = np.bincount(lines.parent, np.where(drug, lines.amount, 0), n).astype(np.int64)
    cancelled = (rng.random(n) < p.corrections.settlement_cancelled_share) & (pay.total > 0) & (v.tag == 0)
    gone_on = v.day + rng.integers(*p.corrections.cancelled_days, n, endpoint=True)
    gone_on = np.maximum(gone_on, entered)
    cancelled &= c.schedule.slot(gone_on) >= 0
    onset = v.day - rng.integers(0, 5, n)
    visit = {
        "encounter_id": enc,
        **patient,
        "registration_id": reg,
        "visit_type": _codes(visit_type),
        "first_visit_flag": pl.Series(rng.random(n) < q.first_visit_share),
        "dept_code": dept_code,
        "doctor_id": doctor_id,
        "visit_start": datetimes(start),
        "visit_end": datetimes(start + rng.integers(*q.visit_minutes, n) * 60),
        "chief_complaint": pl.Series([None] * n, dtype=pl.String),
        "symptom_code": symptom,
        "onset_date": dates(np.maximum(onset, c.persons.birth[v.person]), symptom.ne("OTHER").to_numpy()),
        "temperature_c": decimals(temperature, 4, 1, has_t),
        "systolic": nullable(pl.Series(systolic), has_bp),
        "diastolic": nullable(pl.Series(diastolic), has_bp),
        "infusion_flag": pl.Series(infusion),
        "observation_hours": decimals(rng.integers(*q.observation_hours, n) * 10, 6, 1, observed),
        "outcome_code": outcome,
        "referral_id": _when((outcome == "3").to_numpy(), _join("Z", num)),
        "family_doctor_contract_flag": pl.Series(c.persons.signed[v.person]),
        "payment_category": _codes(category).str.zfill(2),
        "total_fee": decimals(pay.total, 12, 2),
        "drug_fee": decimals(drug_fee, 12, 2),
    }
    zero = decimals(np.zeros(n, np.int64), 12, 2)
    d.versions("outpatient_encounter", visit, {"total_fee": zero, "drug_fee": zero}, v.inst, entered, gone_on, cancelled)

    main = {
        "diagnosis_id": _join("D", num, "1"),
        "encounter_id": enc,
        "stay_id": pl.Series([None] * n, dtype=pl.String),
        "diag_stage": _codes(np.ones(n, int)),
        "is_main": pl.Series(np.ones(n, bool)),
        "seq": pl.Series(np.ones(n, np.int64)),
        "icd10_code": ill.code.gather(v.diag),
        "icd10_name": ill.name.gather(v.diag),
        "coding_version": _codes(np.full(n, 0)).replace("0", "CLIN2"),
        "poa_code": pl.Series([None] * n, dtype=pl.String),
        "tcm_diag_code": pl.Series([None] * n, dtype=pl.String),
        "suspected_flag": pl.Series(np.zeros(n, bool)),
        "diagnosed_at": datetimes(start + 60),
    }
    wrong = (rng.random(n) < p.corrections.diagnosis_share) & (v.tag == 0)
    mistaken = np.where(ill.three[v.diag] == "J06", ill.index["J20"], ill.index["J06"])
    righted = entered + rng.integers(*p.corrections.diagnosis_days, n, endpoint=True)
    wrong &= c.schedule.slot(righted) >= 0
    seen = {
        **main,
        "icd10_code": _when(wrong, ill.code.gather(mistaken), main["icd10_code"]),
        "icd10_name": _when(wrong, ill.name.gather(mistaken), main["icd10_name"]),
    }
    d.versions("diagnosis", seen, {k: main[k] for k in ("icd10_code", "icd10_name")}, v.inst, entered, righted, wrong)
    second = np.flatnonzero((rng.random(n) < p.diagnoses.second_diagnosis_share) & (age >= 15))
    which = rng.integers(0, len(c.secondary_codes), len(second))
    extra = {k: s.gather(second) for k, s in main.items()} | {
        "diagnosis_id": _join("D", num, "2").gather(second),
        "is_main": pl.Series(np.zeros(len(second), bool)),
        "seq": pl.Series(np.full(len(second), 2, np.int64)),
        "icd10_code": c.secondary_codes.gather(which),
        "icd10_name": c.secondary_names.gather(which),
    }
    d.send("diagnosis", extra, v.inst[second], entered[second])

    setl = _join("SO", num)
    c.plan.note_settlements(v.inst, v, setl, pay.total > 0)
    _send_lines(d, v.inst, entered, lines, num, "FO", enc, None, setl, doctor, g.out_codes.gather(dept), cancelled, gone_on)
    charged = pay.total > 0
    setl_time = start + 900
    if hasattr(v, "settle_at"):
        setl_time = np.where(v.settle_at > 0, v.settle_at * SECONDS_A_DAY + (setl_time % SECONDS_A_DAY), setl_time)
        entered = np.maximum(entered, setl_time // SECONDS_A_DAY)
    med = np.where(emergency, 13, np.where(refill, 14, 11))
    _send_settlements(
        d,
        v.inst,
        entered,
        v.person,
        patient,
        pay,
        charged,
        setl,
        enc,
        None,
        _codes(med),
        setl_time,
        v.day,
        v.day,
        np.full(n, "1"),
        None,
        cancelled,
        gone_on,
    )
    _post(c, rng, v.inst, setl_time // SECONDS_A_DAY, gone_on, False, pay, charged, cancelled, lines)
    sent = c.schedule.slot(entered) >= 0
    c.plan.note(np.where(sent, v.tag, 0), enc.to_numpy(), v.person)
    return Columns(position=np.arange(n)).set(ids=enc.to_numpy(), start=start, doctor_at=doctor)


def stay_records(d: Desk, s: Columns, lines: Columns, pay: Columns, yymm: str) -> Columns:
    """Stays, front pages, diagnoses, lines and settlements of a month's admissions. Returns ids for reports and planted truth."""
    c, g, p, rng, n = d.c, d.g, d.p, d.rng, len(s)
    q, ill = p.inpatient, c.stay_illness
    serial = np.arange(n) - np.searchsorted(s.inst, s.inst)
    num = numbered(yymm[2:], serial + 1, 6)
    sid = _join("I", num)
    lag = entry_lag(p, rng, n, g.kind)
    entered = s.admit + lag
    left = np.maximum(s.out + entry_lag(p, rng, n, g.kind), entered)
    none = pl.Series([None] * n, dtype=pl.String)
    age_days = c.persons.age_days(s.person, s.admit)
    dept, leave_dept = s.dept, s.leave_dept
    doctor = c.staff.choose(rng, s.inst, dept, len(g.in_codes), ward=True)
    unknown = rng.random(n) < p.population.missing_identity_share
    patient = d.patient(s.person, s.inst, unknown)
    insurance = c.persons.insurance[s.person]
    category = _codes(np.where(~pay.used, 7, np.where(insurance == 310, 1, 3))).str.zfill(2)
    scheme = nullable(_codes(insurance), insurance > 0)
    times = 1 + (c.persons.local_number(p, s.person, s.inst) % 3)
    record = numbered("B" + g.label, c.persons.local_number(p, s.person, s.inst), 9)
    route = pick_codes(rng, q.route_share, n)
    disposition = _when(s.died, "5", pick_codes(rng, q.disposition_share, n))
    los = np.maximum(s.out - s.admit, 1)
    one_day = (los == 1) & np.isin(ill.three[s.diag], p.diagnoses.procedural) & (rng.random(n) < q.day_surgery_share)
    first_day = lines.second // SECONDS_A_DAY == s.admit[lines.parent]
    so_far = np.bincount(lines.parent, np.where(first_day, lines.amount, 0), n).astype(np.int64)
    out_at, on_leave = datetimes(s.discharged), nullable(none, np.ones(n, bool))
    empty = getattr(s, "empty_bed", np.zeros(n, bool)).astype(bool)
    deposit = (pay.cash // 100 // q.deposit_step + 1) * q.deposit_step * 100
    final = {
        "stay_id": sid,
        **patient,
        "medical_record_no": record,
        "admission_times": pl.Series(times),
        "admission_route": route,
        "admission_condition": pick_codes(rng, q.condition_share, n),
        "admitted_at": datetimes(s.admitted),
        "admission_dept": g.in_codes.gather(dept),
        "admitting_doctor_id": c.staff.ids.gather(doctor),
        "discharged_at": out_at,
        "discharge_dept": g.in_codes.gather(leave_dept),
        "bed_no": numbered("", rng.integers(1, 60, n), 3),
        "disposition_code": disposition,
        "referral_id": none,
        "day_surgery_flag": pl.Series(one_day),
        "pathway_flag": pick_codes(rng, q.pathway_share, n),
        "leave_days": decimals(np.zeros(n, np.int64), 5, 1),
        "vital_sign_days": pl.Series(np.where(empty, 0, los)),
        "order_days": pl.Series(np.where(empty, 0, los)),
        "payment_category": category,
        "insurance_type": nullable(scheme, pay.used),
        "total_fee": decimals(pay.total, 14, 2),
        "deposit": decimals(deposit, 12, 2),
    }
    gone = c.schedule.slot(left) >= 0
    known = np.zeros(n, bool)
    open_stay = final | {
        "discharged_at": nullable(out_at, known),
        "discharge_dept": on_leave,
        "disposition_code": on_leave,
        "total_fee": decimals(so_far, 14, 2),
        "vital_sign_days": nullable(final["vital_sign_days"], known),
        "order_days": nullable(final["order_days"], known),
        "leave_days": nullable(final["leave_days"], known),
    }
    differing = (
        "discharged_at",
        "discharge_dept",
        "disposition_code",
        "total_fee",
        "vital_sign_days",
        "order_days",
        "leave_days",
    )
    d.versions("inpatient_stay", open_stay, {k: final[k] for k in differing}, s.inst, entered, left, gone)

    main = {
        "diagnosis_id": _join("DI", num, "01"),
        "encounter_id": none,
        "stay_id": sid,
        "diag_stage": _codes(np.full(n, 2)),
        "is_main": pl.Series(np.ones(n, bool)),
        "seq": pl.Series(np.ones(n, np.int64)),
        "icd10_code": ill.code.gather(s.diag),
        "icd10_name": ill.name.gather(s.diag),
        "coding_version": _codes(np.full(n, 0)).replace("0", "CLIN2"),
        "poa_code": _codes(np.ones(n, int)),
        "tcm_diag_code": none,
        "suspected_flag": pl.Series(np.zeros(n, bool)),
        "diagnosed_at": datetimes(s.admitted + 3600),
    }
    d.send("diagnosis", main, s.inst, entered)
    at_end = main | {
        "diagnosis_id": _join("DI", num, "02"),
        "diag_stage": _codes(np.full(n, 4)),
        "diagnosed_at": datetimes(s.discharged),
    }
    d.send("diagnosis", at_end, s.inst, left)
    injury = np.isin(ill.chapter[s.diag], ["S", "T"])
    cause = rng.integers(0, len(c.external_codes), n)
    i = np.flatnonzero(injury)
    outside = {k: x.gather(i) for k, x in main.items()} | {
        "diagnosis_id": _join("DI", num, "03").gather(i),
        "diag_stage": _codes(np.full(len(i), 6)),
        "icd10_code": c.external_codes.gather(cause[i]),
        "icd10_name": c.external_names.gather(cause[i]),
        "diagnosed_at": datetimes(s.discharged[i]),
    }
    d.send("diagnosis", outside, s.inst[i], left[i])
    more = np.where(age_days > 15 * 365, rng.poisson(p.diagnoses.secondary_mean, n).clip(max=len(c.secondary_codes)), 0)
    parent = np.repeat(np.arange(n), more)
    place = np.arange(len(parent)) - (np.cumsum(more) - more)[parent]
    which = (rng.integers(0, len(c.secondary_codes), n)[parent] + place) % len(c.secondary_codes)
    rows = {k: x.gather(parent) for k, x in at_end.items()} | {
        "diagnosis_id": pl.select(pl.concat_str([pl.lit("DI"), num.gather(parent), numbered("", place + 4, 2)])).to_series(),
        "is_main": pl.Series(np.zeros(len(parent), bool)),
        "seq": pl.Series(place.astype(np.int64) + 2),
        "icd10_code": c.secondary_codes.gather(which),
        "icd10_name": c.secondary_names.gather(which),
    }
    d.send("diagnosis", rows, s.inst[parent], left[parent])

    setl = _join("SI", num)
    nothing = np.zeros(n, bool)
    _send_lines(d, s.inst, left, lines, num, "FI", None, sid, setl, doctor, g.in_codes.gather(dept), nothing, left)
    setl_time = s.discharged + rng.integers(5, 90, n) * 60
    setl_time = np.minimum(setl_time, (s.out.astype(np.int64) + 1) * SECONDS_A_DAY - 1)
    mode = np.full(n, p.insurance.pay_mode[g.kind])
    standard = np.rint(pay.total * np.exp(rng.normal(0, p.insurance.standard_spread, n))).astype(np.int64)
    birth_care = ill.chapter[s.diag] == "O"
    med = np.where(birth_care, 52, np.where(one_day, 28, 21))
    _send_settlements(
        d,
        s.inst,
        left,
        s.person,
        patient,
        pay,
        np.ones(n, bool),
        setl,
        None,
        sid,
        _codes(med),
        setl_time,
        s.admit,
        s.out,
        mode,
        standard,
        nothing,
        left,
    )
    _post(c, rng, s.inst, s.out, left, True, pay, np.ones(n, bool), nothing, lines, kept=gone)
    c.plan.note(np.where(c.schedule.slot(entered) >= 0, s.tag, 0), sid.to_numpy(), s.person)
    _front_pages(
        d, s, lines, pay, sid, record, times, category, route, disposition, doctor, los, age_days, injury, cause, left, standard
    )
    return Columns(position=np.arange(n)).set(ids=sid.to_numpy(), settlement=setl.to_numpy(), doctor_at=doctor)


def _front_pages(
    d: Desk,
    s: Columns,
    lines: Columns,
    pay: Columns,
    sid: pl.Series,
    record: pl.Series,
    times: np.ndarray,
    category: pl.Series,
    route: pl.Series,
    disposition: pl.Series,
    doctor: np.ndarray,
    los: np.ndarray,
    age_days: np.ndarray,
    injury: np.ndarray,
    cause: np.ndarray,
    left: np.ndarray,
    standard: np.ndarray,
) -> None:
    c, g, p, rng, n = d.c, d.g, d.p, d.rng, len(s)
    q, ill, cat = p.inpatient, c.stay_illness, c.catalogue
    none = pl.Series([None] * n, dtype=pl.String)
    group = cat.group[lines.item]

    def fee(mask: np.ndarray) -> np.ndarray:
        return np.bincount(lines.parent, np.where(mask, lines.amount, 0), n).astype(np.int64)

    lab, imaging, operation = fee(group == "lab"), fee(group == "imaging"), fee(group == "operation")
    fees = {
        "fee_service": fee(group == "service"),
        "fee_diagnosis": lab + imaging,
        "fee_lab": lab,
        "fee_imaging": imaging,
        "fee_treatment": fee(group == "treatment") + operation,
        "fee_operation": operation,
        "fee_rehab": fee(group == "rehab"),
        "fee_tcm": fee(group == "tcm"),
        "fee_western_drug": fee(group == "western"),
        "fee_antibiotic": fee((group == "western") & (cat.antibiotic[lines.item] > 0)),
        "fee_tcm_patent": fee(group == "patent"),
        "fee_tcm_slice": fee(group == "slice"),
        "fee_blood": fee(group == "blood"),
        "fee_consumable": fee(group == "consumable"),
        "fee_other": fee(group == "other"),
    }
    newborn, delivered = age_days < 28, np.isin(ill.three[s.diag], ["O80", "O82"])
    weigh = newborn | delivered
    weight = rng.integers(*q.birth_weight, n)
    tumour = (ill.chapter[s.diag] == "C") | ((ill.chapter[s.diag] == "D") & np.isin(ill.three[s.diag], ["D12", "D25"]))
    pathology = rng.integers(0, len(p.diagnoses.pathology_codes), n)
    transferred = (disposition == "2").to_numpy() | (disposition == "3").to_numpy()
    planned = (rng.random(n) < q.planned_readmission_share) | getattr(s, "planned", np.zeros(n, bool)).astype(bool)
    planned &= ~getattr(s, "unplanned", np.zeros(n, bool)).astype(bool)
    head = ill.three[s.diag] == "S06"
    coma = np.where(rng.random(n) < 0.3, rng.integers(1, 240, n), 0)
    years = age_days // 365.25
    late = rng.random(n) < q.coding_late_share
    coding = np.where(late, rng.integers(*q.coding_late_days, n), np.floor(rng.exponential(q.coding_lag_mean_days, n))).astype(
        int
    )
    coded = np.maximum(s.out + coding, left)
    if hasattr(s, "coded"):
        coded = np.where(s.coded > 0, np.maximum(s.coded, coded), coded)
    village = c.persons.village[s.person]
    title = c.staff.start[s.inst]
    nurse = c.staff.nurse(rng, s.inst)
    los_name = c.inst.places.village_code.gather(village)
    adult = years >= 20
    d.send(
        "case_front_page",
        {
            "stay_id": sid,
            "medical_record_no": record,
            "payment_category": category,
            "health_card_no": none,
            "admission_times": pl.Series(times),
            "age_years": pl.Series(years.astype(np.int64)),
            "age_months_text": _when(years < 1, _months_text(age_days)),
            "newborn_birth_weight": nullable(pl.Series(weight), weigh),
            "newborn_admission_weight": nullable(pl.Series(weight + 60), newborn),
            "marital_code": _when(adult, "20", "10"),
            "occupation_code": c.occupation(s.person, s.admit),
            "ethnic_code": c.ethnic(s.person),
            "current_village_code": los_name,
            "registered_address": c.address(s.person),
            "contact_name": c.persons.name.gather((s.person + 1) % len(c.persons.sex)),
            "contact_relation": _codes(np.ones(n, int)),
            "contact_phone": c.persons.phone.gather(c.persons.phone_owner[s.person]),
            "admission_route": route,
            "admitted_at": datetimes(s.admitted),
            "admission_dept": g.in_codes.gather(s.dept),
            "transfer_depts": _when(s.dept != s.leave_dept, g.in_codes.gather(s.leave_dept)),
            "discharged_at": datetimes(s.discharged),
            "discharge_dept": g.in_codes.gather(s.leave_dept),
            "los_days": pl.Series(los.astype(np.int64)),
            "outpatient_diag_code": ill.code.gather(s.diag),
            "main_diag_code": ill.code.gather(s.diag),
            "main_diag_name": ill.name.gather(s.diag),
            "main_diag_poa": _codes(np.ones(n, int)),
            "external_cause_code": _when(injury, c.external_codes.gather(cause)),
            "pathology_code": _when(tumour, pl.Series(p.diagnoses.pathology_codes).gather(pathology)),
            "drug_allergy_flag": pl.Series(rng.random(n) < p.population.allergy_share),
            "autopsy_flag": nullable(pl.Series(np.zeros(n, bool)), s.died),
            "blood_abo": _codes(np.full(n, 6)),
            "blood_rh": _codes(np.full(n, 4)),
            "chief_doctor_id": c.staff.ids.gather(title),
            "attending_doctor_id": c.staff.ids.gather(doctor),
            "resident_doctor_id": c.staff.ids.gather(doctor),
            "responsible_nurse_id": c.staff.ids.gather(nurse),
            "coder_id": none,
            "record_quality": pick_codes(rng, q.record_quality_share, n),
            "qc_date": dates(coded),
            "disposition_code": disposition,
            "receiving_institution": _when(transferred, c.inst.name[int(c.inst.of_kind["township"][0])]),
            "readmit31_flag": pl.Series(planned),
            "readmit31_purpose": _when(planned, "后续治疗"),
            "coma_before_min": nullable(pl.Series(coma), head),
            "coma_after_min": nullable(pl.Series(np.zeros(n, np.int64)), head),
            "total_fee": decimals(pay.total, 14, 2),
            "selfpay_amount": decimals(pay.total - pay.fund, 14, 2),
            **{k: decimals(x, 12, 2) for k, x in fees.items()},
            "drg_code": pl.select(pl.concat_str([pl.Series(ill.three[s.diag]), pl.lit("5")])).to_series(),
            "drg_weight": decimals(np.rint(ill.fee[s.diag] / 6000 * 10000).astype(np.int64), 8, 4),
            "drg_version": _const(n, "SYN1"),
        },
        s.inst,
        coded,
        keep=c.schedule.slot(left) >= 0,
    )


def _months_text(age_days: np.ndarray) -> pl.Series:
    days = np.maximum(age_days, 0).astype(int)
    return pl.Series([f"{x // 30} {x % 30}/30" for x in np.minimum(days, 359)]) if len(days) else pl.Series([], dtype=pl.String)


def _join(head: str, number: pl.Series, tail: str = "") -> pl.Series:
    joined = head + number
    return joined + tail if tail else joined


def _send_lines(
    d: Desk,
    inst: np.ndarray,
    entered: np.ndarray,
    lines: Columns,
    num: pl.Series,
    head: str,
    enc: pl.Series | None,
    stay: pl.Series | None,
    setl: pl.Series,
    doctor: np.ndarray,
    dept: pl.Series,
    cancelled: np.ndarray,
    gone_on: np.ndarray,
) -> None:
    c, p, rng, n = d.c, d.p, d.rng, len(lines)
    cat, parent = c.catalogue, lines.parent
    place = np.arange(n) - np.searchsorted(parent, parent)
    number = num.gather(parent)
    charge = pl.select(pl.concat_str([pl.lit(head), number, numbered("", place + 1, 4)])).to_series()
    none = pl.Series([None] * n, dtype=pl.String)
    posted = lines.second + np.where(rng.random(n) < p.lateness.posted_next_day_share, SECONDS_A_DAY, 0)
    signer = doctor[parent]
    strong = cat.antibiotic[lines.item] > c.staff.antibiotic[signer]
    signer = np.where(strong & ~getattr(lines, "beyond", np.zeros(n, bool)).astype(bool), c.staff.start[inst[parent]], signer)
    drug = np.isin(cat.type[lines.item], ["09", "11"])
    trace = numbered("8" + "0" * 8, rng.integers(0, 10**9, n) if n else np.zeros(0), 11) if d.g.profile == "canonical" else none
    cols = {
        "charge_id": charge,
        "encounter_id": enc.gather(parent) if enc is not None else none,
        "stay_id": stay.gather(parent) if stay is not None else none,
        "settlement_id": setl.gather(parent),
        "order_ref": pl.select(pl.concat_str([pl.lit("Y"), number])).to_series(),
        "local_item_code": cat.local_code.gather(lines.item),
        "nhsa_code": cat.nhsa_code.gather(lines.item),
        "item_name": cat.display.gather(lines.item),
        "chrgitm_type": cat.frame["type"].gather(lines.item),
        "chrgitm_lv": cat.frame["grade"].gather(lines.item),
        "quantity": decimals(lines.quantity, 12, 3),
        "unit_price": decimals(lines.price, 12, 4),
        "amount": decimals(lines.amount, 12, 2),
        "selfpay_ratio": decimals(lines.ratio, 6, 4),
        "full_selfpay_amount": decimals(lines.full, 12, 2),
        "over_limit_amount": decimals(np.zeros(n, np.int64), 12, 2),
        "preselfpay_amount": decimals(lines.first, 12, 2),
        "in_scope_amount": decimals(lines.scope, 12, 2),
        "occurred_at": datetimes(lines.second),
        "charged_at": datetimes(posted),
        "order_dept": dept.gather(parent),
        "order_doctor_id": c.staff.ids.gather(signer),
        "exec_dept": dept.gather(parent),
        "exec_staff_id": c.staff.ids.gather(signer),
        "reversal_of": none,
        "limited_use_flag": _const(n, "0"),
        "trace_codes": nullable(trace, drug) if d.g.profile == "canonical" else none,
    }
    d.send("charge_line", cols, inst[parent], entered[parent])
    c.plan.note_lines(lines, charge)
    back = np.flatnonzero(cancelled[parent])
    if len(back):
        reversed_ = {k: x.gather(back) for k, x in cols.items()} | {
            "charge_id": pl.select(pl.concat_str([charge.gather(back), pl.lit("R")])).to_series(),
            "reversal_of": charge.gather(back),
            "quantity": decimals(-lines.quantity[back], 12, 3),
            "amount": decimals(-lines.amount[back], 12, 2),
            "full_selfpay_amount": decimals(-lines.full[back], 12, 2),
            "preselfpay_amount": decimals(-lines.first[back], 12, 2),
            "in_scope_amount": decimals(-lines.scope[back], 12, 2),
            "charged_at": datetimes(gone_on[parent[back]].astype(np.int64) * SECONDS_A_DAY + 17 * 3600),
        }
        d.send("charge_line", reversed_, inst[parent[back]], gone_on[parent[back]])


def _send_settlements(
    d: Desk,
    inst: np.ndarray,
    entered: np.ndarray,
    person: np.ndarray,
    patient: dict[str, pl.Series],
    pay: Columns,
    has: np.ndarray,
    setl: pl.Series,
    enc: pl.Series | None,
    stay: pl.Series | None,
    med: pl.Series,
    when: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    mode: np.ndarray,
    standard: np.ndarray | None,
    cancelled: np.ndarray,
    gone_on: np.ndarray,
) -> None:
    c, p, rng, n = d.c, d.p, d.rng, len(inst)
    persons = c.persons
    insurance = persons.insurance[person]
    age = persons.age_days(person, end) / 365.25
    kind = np.where(insurance == 310, np.where(age >= 60, 12, 11), np.where(age < 18, 14, 15))
    none = pl.Series([None] * n, dtype=pl.String)

    def money(a: np.ndarray, digits: int = 12) -> pl.Series:
        return decimals(a, digits, 2)

    nil = np.zeros(n, np.int64)
    adjusted = (rng.random(n) < p.corrections.settlement_adjusted_share) & pay.used & ~cancelled & has
    following = c.schedule.following_month_day(end, p.corrections.settlement_adjusted_day)
    share = rng.uniform(*p.corrections.deduction_share, n)
    deducted = np.rint(pay.fund * share).astype(np.int64)
    adjusted &= (deducted > 0) & (c.schedule.slot(following) > c.schedule.slot(entered)) & (following > entered)
    cols = {
        "settlement_id": setl,
        **patient,
        "encounter_id": enc if enc is not None else none,
        "stay_id": stay if stay is not None else none,
        "psn_no": nullable(persons.psn_no.gather(person), pay.used),
        "insurance_type": nullable(_codes(insurance), pay.used),
        "med_type": med,
        "psn_type": nullable(_codes(kind), pay.used),
        "special_psn_type": none,
        "insured_division": nullable(_const(n, p.county.division), pay.used),
        "setl_time": datetimes(when),
        "begin_date": dates(begin),
        "end_date": dates(end),
        "total_fee": money(pay.total, 14),
        "in_scope_amount": money(pay.scope, 14),
        "deductible": money(pay.deductible),
        "fund_pay": money(pay.fund, 14),
        "pooling_pay": money(pay.pooling, 14),
        "serious_illness_pay": money(pay.serious, 14),
        "medical_aid_pay": money(pay.aid, 14),
        "account_pay": money(pay.account),
        "cash_pay": money(pay.cash),
        "other_pay": money(pay.other),
        "full_selfpay": money(pay.full),
        "preselfpay": money(pay.first),
        "over_limit": money(nil),
        "pay_mode": pl.Series(mode.astype(str)),
        "drg_dip_standard": decimals(standard if standard is not None else nil, 14, 2, pay.used & (np.isin(mode, ["2", "3"]))),
        "clearing_status": _codes(nil),
        "deducted_amount": money(nil),
        "valid_flag": pl.Series(np.ones(n, bool)),
        "refund_of": none,
    }
    i = np.flatnonzero(has)
    cols = {k: x.gather(i) for k, x in cols.items()}
    status = np.where(adjusted, 2, 0)[i]
    last = {
        "clearing_status": _codes(status),
        "deducted_amount": money(np.where(adjusted, deducted, 0)[i]),
        "valid_flag": pl.Series(~cancelled[i]),
    }
    changed = np.where(cancelled, gone_on, following)[i]
    cols, last, changed, touched = c.plan.overstated(cols, last, changed, inst[i], end[i], pay.take(i), cancelled[i])
    d.versions("settlement", cols, last, inst[i], entered[i], changed, (cancelled | adjusted)[i] | touched)
    back = np.flatnonzero(cancelled & has)
    if len(back):
        at = np.searchsorted(i, back)
        minus = {k: -x.gather(at) for k, x in cols.items() if isinstance(x.dtype, pl.Decimal) and k != "drg_dip_standard"}
        refund = (
            {k: x.gather(at) for k, x in cols.items()}
            | minus
            | {
                "settlement_id": pl.select(pl.concat_str([setl.gather(back), pl.lit("T")])).to_series(),
                "refund_of": setl.gather(back),
                "valid_flag": pl.Series(np.zeros(len(back), bool)),
                "setl_time": datetimes(gone_on[back].astype(np.int64) * SECONDS_A_DAY + 17 * 3600),
            }
        )
        refund = {k: refund[k].cast(cols[k].dtype) for k in cols}
        d.send("settlement", refund, inst[back], gone_on[back])


def _post(
    c: object,
    rng: np.random.Generator,
    inst: np.ndarray,
    on: np.ndarray,
    gone_on: np.ndarray,
    inpatient: bool,
    pay: Columns,
    has: np.ndarray,
    cancelled: np.ndarray,
    lines: Columns,
    kept: np.ndarray | None = None,
) -> None:
    """Books settled bills, some of a month's last day in the next month, and takes cancelled ones out again."""
    month = c.schedule.month(on)
    last_day = c.schedule.month(on + 1) > month
    month = month + (last_day & (rng.random(len(on)) < c.p.lateness.posted_next_day_share))
    ok = has if kept is None else has & kept
    c.accounts.post(inst[ok], month[ok], inpatient, pay.total[ok])
    types = c.catalogue.type[lines.item]
    mine = ok[lines.parent]
    c.accounts.post_lines(inst[lines.parent][mine], month[lines.parent][mine], types[mine], lines.amount[mine])
    if cancelled.any():
        back = c.schedule.month(gone_on)
        c.accounts.post(inst[cancelled], back[cancelled], inpatient, -pay.total[cancelled])
        mine = cancelled[lines.parent]
        c.accounts.post_lines(inst[lines.parent][mine], back[lines.parent][mine], types[mine], -lines.amount[mine])
