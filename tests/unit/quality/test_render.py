"""The committed files are what the contracts say, and the workbook is what an institution needs."""

from io import BytesIO
from pathlib import Path

import openpyxl
import pytest
import yaml

from quality.contract import load_contracts, load_value_sets
from quality.example import example_row
from quality.render import SOURCES, render_all, stale, write
from quality.specification import specification

ROOT = Path(__file__).parents[3]
CONTRACTS = load_contracts()


@pytest.fixture(scope="module")
def book():
    return openpyxl.load_workbook(BytesIO(specification(CONTRACTS)))


def rows(sheet):
    return [[c.value for c in row] for row in sheet.iter_rows()]


def test_the_committed_files_are_current():
    assert [str(p.relative_to(ROOT)) for p in stale(ROOT)] == [], "run `xianjian contracts render`"


def test_rendering_twice_gives_the_same_bytes():
    assert render_all(ROOT) == render_all(ROOT)


def test_writing_touches_only_what_is_out_of_date(tmp_path):
    first = write(tmp_path)
    assert len(first) == len(render_all(tmp_path)) and stale(tmp_path) == []
    first[0].write_bytes(b"edited by hand")
    assert stale(tmp_path) == [first[0]]
    assert write(tmp_path) == [first[0]]
    assert write(tmp_path) == []


def test_sources_name_every_staged_column():
    body = yaml.safe_load(render_all(ROOT)[ROOT / SOURCES])
    staged, ledger = body["sources"]
    assert {t["name"]: [c["name"] for c in t["columns"]] for t in staged["tables"]} == {
        n: list(c.staged_schema) for n, c in CONTRACTS.items()}
    assert [t["name"] for t in ledger["tables"]] == ["batches", "files", "quarantine", "findings", "checks"]
    assert all(c["meta"].keys() == {"zh", "en"} and all(c["meta"].values())
               for s in body["sources"] for t in s["tables"] for c in t["columns"])


def test_the_workbook_has_a_sheet_for_each_extract_and_its_value_sets(book):
    assert book.sheetnames[:3] == ["封面", "如何上报", "填写示例"]
    assert set(CONTRACTS) <= set(book.sheetnames)
    assert book.sheetnames[-2:] == ["值域", "代码系统"]
    listed = {(r[0], r[2]) for r in rows(book["值域"])[1:]}
    used = {c.values for k in CONTRACTS.values() for c in k.columns if c.values}
    assert listed == {(n, code) for n in used for code in load_value_sets()[n].values}


@pytest.mark.parametrize("extract", sorted(CONTRACTS))
def test_a_sheet_holds_every_column_and_every_rule(book, extract):
    contract, sheet = CONTRACTS[extract], rows(book[extract])
    columns = sheet[4:4 + len(contract.columns)]
    assert [r[1] for r in columns] == [c.name for c in contract.columns]
    assert [r[6] == "是" for r in columns] == [c.required for c in contract.columns]
    text = {r[1] for r in sheet[4 + len(contract.columns):]}
    assert {r.id for r in contract.rules} <= text


def test_the_filled_example_is_the_row_that_passes_the_gate(book):
    sheet = rows(book["填写示例"])
    for at, row in enumerate(sheet):
        if row[0] and row[0].split(" ")[-1] in CONTRACTS:
            contract = CONTRACTS[row[0].split(" ")[-1]]
            n = len(contract.columns)
            assert dict(zip(sheet[at + 2][:n], sheet[at + 3][:n], strict=True)) == example_row(contract)
