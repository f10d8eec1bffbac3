"""The kernel refuses what it does not know; every record of the repository is whole, in both languages."""

import copy

import polars as pl
import pytest
import yaml

from ingestion import ledger
from quality.checks import CHECKS
from quality.contract import LINEAGE, ROOT, Contract, load_contracts, load_value_sets
from quality.labels import ledger_labels, type_label, unit_label
from quality.sources import staged_labels

CONTRACTS, SETS = load_contracts(), load_value_sets()
THE_SEVENTEEN = {
    "institution", "department", "staff", "bed_daily", "catalog_mapping", "population", "resident", "registration",
    "outpatient_encounter", "diagnosis", "inpatient_stay", "case_front_page", "charge_line", "settlement",
    "out_of_county_settlement", "finance_monthly", "notifiable_report"}


def record(name="department"):
    return yaml.safe_load((ROOT / "extracts" / f"{name}.yaml").read_text("utf-8"))


def folder(tmp_path, body, name="department"):
    (tmp_path / "extracts").mkdir()
    institution = (ROOT / "extracts" / "institution.yaml").read_text("utf-8")
    (tmp_path / "extracts" / "institution.yaml").write_text(institution, "utf-8")
    (tmp_path / "extracts" / f"{name}.yaml").write_text(yaml.safe_dump(body, allow_unicode=True), "utf-8")
    for other in ("value_sets.yaml", "words.yaml"):
        (tmp_path / other).write_text((ROOT / other).read_text("utf-8"), "utf-8")
    return tmp_path


def test_the_extracts_of_the_first_wave_are_there():
    assert set(CONTRACTS) >= THE_SEVENTEEN


def changed(*path, value):
    body = copy.deepcopy(record())
    at = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return body


@pytest.mark.parametrize("body, message", [
    (changed("colour", value="red"), "colour"),
    (changed("columns", 0, "requird", value=True), "requird"),
    (changed("columns", 0, "type", value="varchar(22)"), "varchar"),
    (changed("columns", 0, "values", value="VS_NONE"), "VS_NONE"),
    (changed("columns", 0, "note", value="only English"), "note_zh"),
    (changed("primary_key", value=["no_such"]), "no_such"),
    (changed("references", 0, "key", value="no_such"), "no_such"),
    (changed("references", 0, "extract", value="no_such"), "no_such"),
    (changed("name", value="other"), "other"),
    (changed("rules", 0, "template", value="no_such"), "no_such"),
    (changed("rules", 0, "with", "then", value=[{"column": "no_such", "present": True}]), "no_such"),
    (changed("rules", 0, "severity", value="fatal"), "severity"),
    (changed("purpose", "basis_zh", value=None), "basis_zh"),
    (changed("purpose", "recipients", value=["passer-by"]), "passer-by"),
    (changed("columns", 5, "unit", value="furlong"), "furlong"),
])
def test_a_record_that_says_something_wrong_is_refused_by_name(tmp_path, body, message):
    with pytest.raises(ValueError, match=message) as error:
        load_contracts(folder(tmp_path, body))
    assert "department.yaml" in str(error.value)


def test_a_new_extract_needs_no_code(tmp_path):
    body = record() | {"name": "ambulance_trip", "id": "E99"}
    assert "ambulance_trip" in load_contracts(folder(tmp_path, body, "ambulance_trip"))


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_texts_in_both_languages(contract):
    assert contract.zh and contract.en and contract.grain and contract.grain_zh
    for c in contract.columns:
        assert c.zh and c.en and (c.en[0].isupper() or c.en.startswith("of which")), c.name
        assert all(type_label(c)) and (c.unit is None or all(unit_label(c))), c.name
    for rule in contract.rules:
        assert all((rule.zh, rule.en, rule.mend_zh, rule.mend_en)), rule.id


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_every_extract_is_in_the_register_of_processing(contract):
    p = contract.purpose
    assert p.zh and p.en and p.basis_zh and p.basis_en and p.retention_years > 0
    assert p.recipients
    named = {c.pii for c in contract.columns}
    assert p.level >= (4 if "direct_identifier" in named else 2)


def test_every_code_has_a_name_in_both_languages():
    missing = [(s.name, code) for s in SETS.values() for code, texts in s.values.items() if not all(texts)]
    assert missing == []
    assert all(s.zh and s.en and (s.values or s.pattern or s.file) for s in SETS.values())


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_staged_rows_hold_no_identifier_and_every_column_is_labelled(contract):
    identifiers = {c.name for c in contract.columns if c.is_identifier}
    assert not identifiers & contract.staged_schema.keys()
    assert set(contract.staged_key) <= contract.staged_schema.keys()
    assert list(staged_labels(contract)) == list(contract.staged_schema)


def test_the_ledger_is_described_as_ingestion_writes_it():
    described = {name: set(t["columns"]) for name, t in ledger_labels()["tables"].items()}
    written = {"batches": ledger.BATCHES, "files": ledger.FILES, "quarantine": ledger.QUARANTINE,
               "findings": ledger.FINDINGS, "checks": ledger.CHECKS}
    assert described == {name: set(schema) for name, schema in written.items()}
    assert ledger_labels()["lineage"].keys() == LINEAGE.keys()
    assert {k: pl.DataFrame(schema=CHECKS).schema[k] for k in CHECKS} == dict(pl.DataFrame(schema=ledger.CHECKS).schema)


def test_contracts_are_told_apart_by_what_they_say():
    one = CONTRACTS["department"]
    other = Contract(**record() | {"zh": "别的"})
    assert hash(one) == hash(other) and one != other
