"""Loads taken one after another give the same warehouse as all of them at once: every table, every row.

The loads hold what makes that hard: late rows, corrections, rows whose date moves to another month, deletions, a row
received before its deletion but loaded after it, a month that empties, a month that closes, a new department.
"""

import copy
import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from tests.integration.dbt import homes

FIRST, MONTHS, SCALE = date(2024, 1, 1), 14, 6
BUILD = ("build", "--quiet", "--resource-type", "model", "--resource-type", "seed")


def _last_day(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _version(row: homes.Row, **changes) -> homes.Row:
    return copy.copy(row) | changes


@pytest.fixture(scope="module")
def loads() -> list[tuple[int, datetime, dict[str, list[homes.Row]], tuple[date, date]]]:
    rng = random.Random(7)
    months = homes.months(FIRST, MONTHS)
    history: dict[str, list[homes.Row]] = homes.reference_rows()
    held: dict[str, list[homes.Row]] = {}
    for month in months[:-1]:
        for extract, rows in homes.month_rows(rng, month, SCALE).items():
            for row in rows:
                late = rng.random() < 0.03
                (held if late else history).setdefault(extract, []).append(row)
    last = homes.month_rows(rng, months[-1], SCALE)

    visits, settlements, lines = history["outpatient_encounter"], history["settlement"], history["charge_line"]
    pages, beds, stays = history["case_front_page"], history["bed_daily"], history["inpatient_stay"]
    emptied = [s for s in settlements if s["institution_code"] == homes.VILLAGE and s["setl_time"].month == 3]
    second = {e: list(rows) for e, rows in last.items()}
    for extract, rows in held.items():
        second[extract] = second.get(extract, []) + rows
    second["settlement"] += [
        _version(settlements[3], total_fee=Decimal("999.00"), cash_pay=Decimal("999.00"), fund_pay=Decimal("0.00")),
        _version(settlements[40], setl_time=settlements[40]["setl_time"] + timedelta(days=35)),
        _version(settlements[50], _op_type="D"), *[_version(s, _op_type="D") for s in emptied]]
    second["outpatient_encounter"] += [
        _version(visits[5], visit_start=visits[5]["visit_start"] - timedelta(days=40)), _version(visits[9], visit_type="4"),
        _version(visits[11], _op_type="D")]
    second["charge_line"] += [_version(lines[20], occurred_at=lines[20]["occurred_at"] + timedelta(days=31)), _version(lines[21], _op_type="D")]
    second["case_front_page"] += [_version(pages[2], total_fee=pages[2]["total_fee"] + 500), _version(pages[4], main_diag_code="J44.900")]
    second["bed_daily"] += [_version(beds[0], _op_type="D")]
    second["inpatient_stay"] += [_version(stays[0], discharged_at=stays[0]["discharged_at"] + timedelta(days=30))]
    second["department"] = [{"institution_code": homes.GENERAL, "dept_code": "09", "dept_name": "新科室", "std_dept_code": "A07",
                             "dept_type": "2", "open_beds": 5, "active_flag": True}]
    # received before the deletions of the second load, loaded after them: they stay deleted
    third = {"settlement": [_version(settlements[50], total_fee=Decimal("1.00"))],
             "outpatient_encounter": [_version(visits[11], total_fee=Decimal("1.00")), _version(visits[12], drug_fee=Decimal("0.00"))]}
    first_at = datetime(2025, 2, 3, 5)
    return [
        (1, first_at, history, (FIRST, _last_day(months[-2]))),
        (2, datetime(2025, 3, 14, 5), second, (months[-1], _last_day(months[-1]))),
        (3, datetime(2025, 3, 2, 5), third, (months[-1], _last_day(months[-1]))),
    ]


def _tables(path: Path) -> dict[str, list[tuple]]:
    """Every table that dbt builds, its rows in a fixed order; floats as they are printed to 9 digits."""
    out = {}
    with duckdb.connect(str(path), read_only=True) as con:
        names = con.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where schema_name in ('core', 'intermediate', 'marts') order by 1"
        ).fetchall()
        for (name,) in names:
            rows = con.execute(f"select * from {name}").fetchall()
            out[name] = sorted(tuple(f"{v:.9g}" if isinstance(v, float) else str(v) for v in r) for r in rows)
    return out


def test_one_after_another_equals_all_at_once(tmp_path, loads):
    home, step = tmp_path / "home", tmp_path / "step.duckdb"
    for load in loads:
        homes.write_load(home, *load)
        homes.dbt(home, step, *BUILD)
    homes.dbt(home, step, *BUILD)                     # nothing new: nothing may change
    whole = tmp_path / "whole.duckdb"
    homes.dbt(home, whole, *BUILD)
    step_by_step, at_once = _tables(step), _tables(whole)
    assert step_by_step.keys() == at_once.keys()
    differing = [f"{name}: {len(set(rows) ^ set(at_once[name]))} rows" for name, rows in step_by_step.items() if rows != at_once[name]]
    assert not differing
    assert len(at_once["marts.mart_indicator_month"]) > 1000 and at_once["marts.mart_restatement"]
    settlements = {r[1]: r for r in at_once["core.fct_settlement"]}
    assert len(settlements) > 100
    homes.dbt(home, step, "test", "--quiet")          # every data test, and the unit tests of the SQL


def test_only_changed_months_are_rebuilt(tmp_path, loads):
    """A load that touches one month of settlements leaves every other month's aggregate rows where they were."""
    home, warehouse = tmp_path / "home", tmp_path / "w.duckdb"
    homes.write_load(home, *loads[0])
    homes.dbt(home, warehouse, *BUILD)
    row = next(s for s in loads[0][2]["settlement"] if s["setl_time"].month == 5)
    homes.write_load(home, 2, datetime(2025, 2, 4, 5), {"settlement": [_version(row, total_fee=Decimal("5.00"))]},
                     (date(2025, 1, 1), date(2025, 1, 31)))
    homes.dbt(home, warehouse, *BUILD)
    with duckdb.connect(str(warehouse), read_only=True) as con:
        noted = con.execute("select distinct relation, month from ops.changed_month where month is not null").fetchall()
    assert noted == [("fct_settlement", row["setl_time"].date().replace(day=1))]


def test_as_of_shows_what_was_known_then(tmp_path, loads):
    home = tmp_path / "home"
    for load in loads:
        homes.write_load(home, *load)
    then, before = tmp_path / "then.duckdb", tmp_path / "before.duckdb"
    homes.dbt(home, then, *BUILD, variables={"as_of": "2025-02-28 00:00:00"})
    only_first = tmp_path / "first"
    homes.write_load(only_first, *loads[0])
    homes.dbt(only_first, before, *BUILD)
    a, b = _tables(then), _tables(before)
    assert [n for n in a if n.startswith("marts.") and a[n] != b[n]] == []
