"""Every planted data fault (GT-Q…) of the small county is named within one run, at the right sender and period.

Put here: for each fault the control that must speak, read from what is published. Put elsewhere: the faults themselves
(`data_samples/planted.py`) and tests of single rules and checks.

A control *speaks* when it says, for an institution and a month, that something is wrong: a finding of a rule, a failed
check, a refused or duplicate batch, a restated figure, or a value that is declared not evaluable.
"""

import csv
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import duckdb
import pytest


class Fault(NamedTuple):
    """One planted row of the ground truth."""

    gt_id: str
    institutions: tuple[str, ...]
    first: date
    last: date
    records: tuple[str, ...]
    note: str

    def in_period(self, month: date) -> bool:
        return self.first.replace(day=1) <= month <= self.last


class Said(NamedTuple):
    """What a control said: about whom, which month, and its words."""

    institution: str | None
    month: date
    words: str


@pytest.fixture(scope="module")
def planted(county_site) -> list[Fault]:
    with (county_site.home / "truth" / "ground_truth.csv").open(encoding="utf-8", newline="") as f:
        return [Fault(r["gt_id"], tuple(filter(None, r["institution_code"].split(";"))), date.fromisoformat(r["start_date"]),
                      date.fromisoformat(r["end_date"]), tuple(filter(None, r["record_ids"].split(";"))), r["note"])
                for r in csv.DictReader(f)]


@pytest.fixture(scope="module")
def ask(county_site) -> Callable[..., list[Said]]:
    """Answers of a query of three columns (institution, month, words) to the published figures."""
    with duckdb.connect(str(county_site.published), read_only=True) as con:
        yield lambda query, *values: [Said(*row) for row in con.execute(query, list(values)).fetchall()]


CHECK = """select institution_code, month, check_id || ': ' || coalesce(reason_en, '') from marts.mart_check_result
           where state = 'failed' and check_id = ?"""
FINDING = """select institution_code, month, rule_id || ': ' || rows || ' rows' from marts.mart_finding_month
             where level = 'institution' and rule_id = ?"""
BATCH = """select institution_code, date_trunc('month', period_from)::date, status_en || ': ' || batch_id
           from marts.mart_batch where level = 'institution' and status = ?"""
RESTATED = """select institution_code, month, indicator_id || ': ' || first_value || ' became ' || current_value
              from marts.mart_restatement where level = 'institution' and indicator_id = ?"""
NOT_EVALUABLE = """select 'NHSA', month, indicator_id || ': ' || state_en from marts.mart_indicator_month
                   where level = 'county' and state = 'not_evaluable' and indicator_id = ?"""

# fault -> what must be said about its sender and period; every line must be answered, by any of its questions
CONTROLS: dict[str, list[list[tuple[str, str]]]] = {
    "GT-Q01": [[(CHECK, "timeliness")], [(BATCH, "duplicate")]],
    "GT-Q02": [[(CHECK, "front_page_at_close")], [(RESTATED, "COST-03"), (RESTATED, "COST-05")]],
    "GT-Q03": [[(CHECK, "peers.admission_route"), (CHECK, "drift.admission_route"), (CHECK, "route_shift")]],
    "GT-Q04": [[(NOT_EVALUABLE, "FUND-05")], [(NOT_EVALUABLE, "FUND-12")]],
    "GT-Q05": [[(FINDING, "resident.id_sex")]],
    "GT-Q06": [[(CHECK, "item_price")]],
    "GT-Q07": [[(CHECK, "duplicate_files")]],
    "GT-Q09": [[(FINDING, "case_front_page.los_days.type"), (BATCH, "refused")]],
    "GT-Q10": [[(CHECK, "timeliness")]],
    "GT-Q11": [[(CHECK, "item_consensus"), (CHECK, "item_mapping")]],
    "GT-Q12": [[(CHECK, "death_lag")]],
    "GT-Q13": [[(CHECK, "occupancy")]],
    "GT-Q14": [[(RESTATED, "COST-12")]],
}
# A fault that the 17 extracts cannot carry.
WAITS_FOR_EXTRACT = {"GT-Q08"}
# What a control says besides in an undisturbed county: small wards overflow and small clinics are late by themselves,
# so these controls name the fault without being silent elsewhere.
TALKATIVE = {"timeliness", "occupancy", "duplicate", "front_page_at_close"}
# The catalogue and the registers of residents are not about one month; what is said of them may carry any.
WITHOUT_MONTH = {"GT-Q05", "GT-Q07", "GT-Q11", "GT-Q12"}


def village_clinics(site) -> tuple[str, ...]:
    """The village clinics of the county; GT-Q10 is about all of them."""
    with (site.home / "landing" / "senders.csv").open(encoding="utf-8", newline="") as f:
        return tuple(r["sender_code"] for r in csv.DictReader(f) if r["sender_code"][9:13] == "D600")


def expected_senders(fault: Fault, site) -> tuple[str, ...]:
    return village_clinics(site) if fault.gt_id == "GT-Q10" else fault.institutions


def about(said: list[Said], fault: Fault) -> list[Said]:
    return [s for s in said if fault.gt_id in WITHOUT_MONTH or fault.in_period(s.month)]


def test_every_fault_that_the_extracts_carry_is_planted_and_has_a_control(planted):
    there = {f.gt_id for f in planted if f.gt_id.startswith("GT-Q")}
    assert there == {f"GT-Q{n:02d}" for n in range(1, 15)} - WAITS_FOR_EXTRACT
    assert there == set(CONTROLS)


@pytest.mark.parametrize("gt_id", sorted(CONTROLS))
def test_fault_is_named(gt_id, planted, ask, county_site):
    """Each control of the fault says so, of each sender concerned, in its period."""
    for fault in (f for f in planted if f.gt_id == gt_id):
        for questions in CONTROLS[gt_id]:
            said = about([s for query, value in questions for s in ask(query, value)], fault)
            names = " or ".join(value for _, value in questions)
            assert said, f"{gt_id} ({fault.note}): nothing is said by {names} for {fault.first} to {fault.last}"
            missing = set(expected_senders(fault, county_site)) - {s.institution for s in said}
            assert not missing, f"{gt_id}: {names} does not name {sorted(missing)}, but {sorted({s.institution for s in said}, key=str)}"


@pytest.mark.parametrize("gt_id", sorted(set(CONTROLS) - {"GT-Q05"}))
def test_no_other_sender_is_named_for_it(gt_id, planted, ask, county_site):
    """The telling controls of a fault are silent about everybody else in its period."""
    faults = [f for f in planted if f.gt_id == gt_id]
    for questions in CONTROLS[gt_id]:
        for query, value in questions:
            if value in TALKATIVE or query == RESTATED:
                continue
            others = [s for f in faults for s in about(ask(query, value), f) if s.institution not in expected_senders(f, county_site)]
            assert not others, f"{gt_id}: {others[:5]}"


def test_the_late_front_pages_are_one_hospitals(planted, ask):
    """GT-Q02: in its month the check at the close of the month fails there and nowhere else."""
    fault = next(f for f in planted if f.gt_id == "GT-Q02")
    assert {s.institution for s in about(ask(CHECK, "front_page_at_close"), fault)} == set(fault.institutions)


def test_findings_name_file_and_line(county_site, planted):
    """GT-Q09: the rows set aside are named with file, line and what was expected, and only of the sender that sent them."""
    hospital = next(f.institutions[0] for f in planted if f.gt_id == "GT-Q09")
    with duckdb.connect() as con:
        found = con.execute(
            f"""select institution_code, count(*), count(file_name), count(line_no), count(expected_zh), count(expected_en)
                from read_parquet('{county_site.home}/loads/L*/findings.parquet')
                where rule_id = 'case_front_page.los_days.type' group by 1""").fetchall()
    [(institution, *counts)] = found
    assert institution == hospital and len(set(counts)) == 1


def test_innocents_are_not_set_aside(county_site, planted):
    """No row of an innocent pattern is refused by a rule, but for the rules that name a planted fault of the same sender."""
    planted_rules = {value for lines in CONTROLS.values() for questions in lines for query, value in questions if query == FINDING}
    innocent = {(code, record): f.gt_id for f in planted if f.gt_id.startswith("GT-I") for code in f.institutions for record in f.records}
    assert innocent
    with duckdb.connect() as con:
        rows = con.execute(
            f"""select institution_code, rule_id, q.extract, row_json from read_parquet('{county_site.home}/loads/L*/quarantine.parquet') q
                join read_parquet('{county_site.home}/loads/L*/findings.parquet') f
                using (load_id, batch_id, institution_code, file_name, line_no)""").fetchall()
    hit = {(gt, rule) for code, rule, _, body in rows for (owner, record), gt in innocent.items()
           if owner == code and f'"{record}"' in body and rule not in planted_rules}
    assert not hit


def test_innocent_seasons_and_habits_fail_no_check(ask, planted):
    """Winter, the Friday typist and the shared telephone make no batch be refused and no code distribution drift."""
    codes = {code for f in planted if f.gt_id in ("GT-I03", "GT-I09", "GT-I10") for code in f.institutions}
    assert codes
    for query, value in ((BATCH, "refused"), (CHECK, "quarantined_share"), (CHECK, "main_diagnosis"), (CHECK, "line_sum"),
                         (CHECK, "reference_registration"), (CHECK, "reference_settlement")):
        assert not {s.institution for s in ask(query, value)} & codes, value
