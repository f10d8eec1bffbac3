"""The gate finds every kind of bad value of every contract, lets clean rows pass, and agrees with its own SQL."""

import random
from datetime import datetime
from functools import cache

import duckdb
import polars as pl
import pytest

from quality.contract import Contract, load_contracts
from quality.example import example_row
from quality.row_checks import RowCheck, row_checks
from quality.rules import (
    TEMPLATES,
    Compare,
    Condition,
    CreditCheckDigit,
    DaysEqual,
    ExactlyOneOf,
    Holds,
    IdBirthDate,
    IdCheckDigit,
    IdSex,
    Implies,
    Operand,
    ProductEquals,
    SumEquals,
    good,
    good_sql,
)
from quality.schema import ContractError, cast, gate, pandera_schema

RECEIVED = datetime(2025, 7, 1, 6)
CONTRACTS = load_contracts()
EXTRACTS = sorted(CONTRACTS)
# a text for each pattern that a rule asks for
SAMPLES = ("C53.900", "C61.x00", "P22.000", "S06.000", "S52.500", "C34.900", "O80.900", "J01CA04", "A100", "2025-01",
           "0 10/30")
EARLY, MIDDLE, LATE = "2019-01-05", "2025-01-10", "2026-07-20"


def frame(contract: Contract, rows: list[dict]) -> pl.DataFrame:
    schema = dict.fromkeys(contract.by_name, pl.String)
    return pl.DataFrame(rows, schema=schema).with_columns(_received_at=pl.lit(RECEIVED))


def written(contract: Contract, operand: Operand, number: str, day: str) -> dict:
    """The operand's column set to a number, or to a day where it holds dates."""
    column = contract.by_name.get(operand.column)
    if column is None:
        return {}
    text = {"date": day, "datetime": f"{day} 08:00:00"}.get(column.kind, number)
    return {operand.column: text} | ({operand.plus: "0"} if operand.plus else {})


def compared(contract: Contract, c: Condition, truth: bool) -> dict:
    """Values for which the comparison is true, or false."""
    above = (c.op in (">", ">=", "<>")) == truth
    right = "1" if c.right.column is None else "10"
    values = written(contract, c.right, right, MIDDLE)
    if c.op in ("=", "<>"):
        same = (c.op == "=") == truth
        return values | written(contract, c.left, right if same else "77", MIDDLE if same else LATE)
    return values | written(contract, c.left, "1000" if above else "-5", LATE if above else EARLY)


def condition(contract: Contract, c: Condition, truth: bool) -> dict:
    if c.column is None:
        return compared(contract, c, truth)
    if c.present is not None:
        there = {"date": MIDDLE, "bool": "1"}.get(contract.by_name[c.column].kind, "1")
        return {c.column: there if c.present == truth else None}
    if c.matches is not None:
        fits = [s for s in SAMPLES if pl.Series([s]).str.contains(c.matches)[0]] if truth else ["~"]
        return {c.column: fits[0]}
    first = (c.in_ or c.not_in)[0]
    hit = {True: "1", False: "0"}.get(first, first) if isinstance(first, bool) else first
    return {c.column: hit if (c.in_ is not None) == truth else "~"}


def implied(contract: Contract, statement: Implies) -> dict:
    """The premises true, the first conclusion false."""
    values = {}
    for c in statement.if_:
        values |= condition(contract, c, True)
    return values | condition(contract, statement.then[0], False)


BROKEN_COLUMN = {
    "required": lambda column: None,
    "type": lambda column: "~",
    "values": lambda column: "~",
    "pattern": lambda column: "~",
    "length": lambda column: "长" * (column.size[0] + 1),
    "min": lambda column: str(column.min - 1),
    "max": lambda column: str(column.max + 1),
}
BROKEN_RULE = {
    Compare: lambda contract, s: compared(contract, Condition(left=s.left, op=s.op, right=s.right), False),
    Holds: lambda contract, s: condition(contract, s.test, False),
    Implies: implied,
    SumEquals: lambda contract, s: dict.fromkeys(s.terms + s.minus, "0") | {s.equals: "99999"},
    ProductEquals: lambda contract, s: dict.fromkeys(s.factors, "2") | {s.equals: "99999"},
    ExactlyOneOf: lambda contract, s: dict.fromkeys(s.of, "A1"),
    DaysEqual: lambda contract, s: {s.equals: "99"},
    IdCheckDigit: lambda contract, s: {s.id_number: "990326198503120017"},
    IdBirthDate: lambda contract, s: {s.birth_date: "1986-03-12"},
    IdSex: lambda contract, s: {s.sex_code: {"1": "2", "2": "1"}[example_row(contract)[s.sex_code]]},
    CreditCheckDigit: lambda contract, s: {s.column: "12990326MB00000019"},
}


def broken_by(contract: Contract, check: RowCheck) -> dict:
    """Values that break the check when written into the example row."""
    if check.kind != "rule":
        return {check.columns[0]: BROKEN_COLUMN[check.kind](contract.by_name[check.columns[0]])}
    return BROKEN_RULE[type(check.statement)](contract, check.statement)


@cache
def planted(extract: str) -> tuple[tuple[RowCheck, ...], pl.DataFrame]:
    """One row for each check, broken in that check."""
    contract = CONTRACTS[extract]
    checks = row_checks(contract)
    return checks, frame(contract, [example_row(contract) | broken_by(contract, c) for c in checks])


@pytest.mark.parametrize("extract", EXTRACTS)
def test_the_example_row_passes_without_a_finding(extract):
    contract = CONTRACTS[extract]
    result = gate(frame(contract, [example_row(contract)] * 3), contract)
    assert result.findings.rows() == []
    assert result.good.height == 3
    assert dict(result.good.schema) == {c.name: c.polars_type for c in contract.columns} | {
        "_received_at": pl.Datetime("us")}


@pytest.mark.parametrize("extract", EXTRACTS)
def test_one_planted_bad_value_of_each_kind_is_found(extract):
    contract = CONTRACTS[extract]
    checks, rows = planted(extract)
    result = gate(rows, contract)
    found = set(result.findings.select("row", "rule_id").rows())
    assert [c.id for i, c in enumerate(checks) if (i, c.id) not in found] == []
    assert result.good.height + result.bad_index.len() == rows.height
    errors = set(result.findings.filter(pl.col("severity") == "error")["row"])
    assert set(result.bad_index) == errors


def test_every_template_and_kind_is_planted_somewhere():
    checks = [c for extract in EXTRACTS for c in planted(extract)[0]]
    assert {c.kind for c in checks} == set(BROKEN_COLUMN) | {"rule"}
    assert {type(c.statement) for c in checks if c.kind == "rule"} == set(TEMPLATES.values())


@pytest.mark.parametrize("extract", EXTRACTS)
def test_every_check_has_texts_in_both_languages(extract):
    for check in row_checks(CONTRACTS[extract]):
        for text in (check.expected, check.mend):
            assert text.zh and text.en, check.id
        assert check.id.startswith(extract + ".")


@pytest.mark.parametrize("extract", EXTRACTS)
def test_sql_and_polars_judge_alike(extract):
    """The bulk gate's SQL over planted rows and 300 mixtures of them, with and without nulls."""
    contract, rng = CONTRACTS[extract], random.Random(7)
    checks, rows = planted(extract)
    pool = [example_row(contract), *rows.drop("_received_at").to_dicts()]
    mixed = [{n: rng.choice((None, rng.choice(pool)[n], pool[0][n])) for n in contract.by_name} for _ in range(300)]
    typed, _ = cast(pl.concat([rows, frame(contract, mixed)]), contract)
    judged = [c for c in checks if c.statement is not None]
    polars = typed.select(good(c.statement).alias(c.id) for c in judged)
    columns = ", ".join(f'{good_sql(c.statement)} AS "{c.id}"' for c in judged)
    sql = duckdb.sql(f"SELECT {columns} FROM typed").pl()
    different = [c.id for c in judged if not polars[c.id].equals(sql[c.id])]
    assert different == []


def test_identifiers_are_masked_and_numbers_in_other_columns_too():
    contract = CONTRACTS["settlement"]
    row = example_row(contract) | {"id_number": "990326198503120017!", "insured_division": "990326198503120019",
                                   "med_type": "电话13912345678号", "pay_mode": "990326202506010001"}
    found = gate(frame(contract, [row]), contract).findings
    text = " ".join(found["found"].drop_nulls())
    assert "19850312" not in text and "13912345678" not in text
    assert "电话***号" in text
    assert dict(found.select("rule_id", "found").rows())["settlement.id_number.pattern"] == "***(19)"


def test_a_value_that_cannot_be_read_is_not_also_missing():
    contract = CONTRACTS["bed_daily"]
    rows = [example_row(contract) | {"admissions": "8人"}, example_row(contract) | {"admissions": None}]
    found = gate(frame(contract, rows), contract).findings
    assert found.select("row", "rule_id", "found").rows() == [
        (0, "bed_daily.admissions.type", "8人"), (1, "bed_daily.admissions.required", None)]


def test_a_warning_lets_the_row_pass():
    contract = CONTRACTS["outpatient_encounter"]
    row = example_row(contract) | {"visit_start": "2023-01-01 08:00:00", "onset_date": None, "visit_end": None}
    result = gate(frame(contract, [row]), contract)
    assert result.good.height == 1
    assert result.findings["rule_id"].to_list() == ["outpatient_encounter.visit_not_old"]


def test_time_is_the_batch_of_the_row_not_a_clock():
    contract = CONTRACTS["registration"]
    rows = frame(contract, [example_row(contract)] * 2).with_columns(
        _received_at=pl.Series([datetime(2025, 6, 1), datetime(2025, 6, 2)]))
    assert gate(rows, contract).bad_index.to_list() == [0]


def test_carried_columns_come_through_and_rows_keep_their_order():
    contract = CONTRACTS["department"]
    rows = [example_row(contract) | {"dept_code": f"D{i}", "dept_type": "~" if i % 2 else "1"} for i in range(6)]
    result = gate(frame(contract, rows).with_columns(_line_no=pl.Series(range(2, 8))), contract)
    assert result.good["_line_no"].to_list() == [2, 4, 6]
    assert result.bad_index.to_list() == [1, 3, 5]


def test_an_empty_frame_has_the_schema_and_no_findings():
    contract = CONTRACTS["charge_line"]
    result = gate(frame(contract, []), contract)
    assert (result.received, result.good.height, result.findings.height) == (0, 0, 0)


@pytest.mark.parametrize("damage, message", [
    (lambda df: df.drop("dept_name"), "columns missing from the frame: dept_name"),
    (lambda df: df.with_columns(pl.col("open_beds").cast(pl.Int64)), "should still be text: open_beds"),
    (lambda df: df.drop("_received_at"), "lacks _received_at"),
])
def test_a_frame_that_does_not_fit_is_refused_whole(damage, message):
    contract = CONTRACTS["department"]
    with pytest.raises(ContractError, match=message):
        gate(damage(frame(contract, [example_row(contract)])), contract)


def test_a_check_that_raises_is_an_error_and_tells_no_value(monkeypatch):
    contract = CONTRACTS["department"]
    column = pandera_schema(contract).columns["dept_name"]
    monkeypatch.setattr(column.checks[0], "_check_fn", lambda data: data.lazyframe.select(pl.col("absent")))
    with pytest.raises(ContractError, match=r"department\.dept_name\.length could not be evaluated") as error:
        gate(frame(contract, [example_row(contract) | {"dept_name": "secret"}]), contract)
    assert "secret" not in str(error.value)


def test_a_check_of_another_height_is_an_error(monkeypatch):
    contract = CONTRACTS["department"]
    column = pandera_schema(contract).columns["dept_name"]
    monkeypatch.setattr(column.checks[0], "_check_fn", lambda data: data.lazyframe.select(pl.lit(False)))
    with pytest.raises(ContractError, match="could not be evaluated"):
        gate(frame(contract, [example_row(contract)] * 2), contract)
