"""A profile covers its contracts, and a wrong one is stopped before it reads a row."""

import datetime as dt

import polars as pl
import pytest
import yaml

from ingestion import profile as profiles
from ingestion.normalise import columns_of, header_finder
from ingestion.refusal import Refused
from quality.contract import load_contracts, load_value_sets

CONTRACTS = load_contracts()


@pytest.mark.parametrize("name", sorted(profiles.load_profiles()))
def test_every_profile_covers_its_contracts(name):
    assert profiles.check(profiles.load_profiles()[name], CONTRACTS) == []


def test_the_canonical_profile_has_every_contract():
    assert profiles.load_profiles()["canonical"].extracts.keys() == CONTRACTS.keys()


@pytest.mark.parametrize("name", sorted(profiles.load_profiles()))
def test_code_maps_reach_every_code_once(name):
    for extract, x in profiles.load_profiles()[name].extracts.items():
        for column, codes in x.codes.items():
            values = load_value_sets()[CONTRACTS[extract].by_name[column].values].values
            assert sorted(codes.values()) == sorted(values), f"{extract}.{column}"


def test_the_front_page_trap_is_turned_round():
    route = profiles.load_profiles()["hongshu_his"].extracts["case_front_page"].codes["admission_route"]
    assert route["1"] == "2" and route["2"] == "1"


def write(tmp_path, change) -> profiles.Profile:
    body = yaml.safe_load((profiles.ROOT / "village_workbook.yaml").read_text("utf-8"))
    change(body)
    path = tmp_path / "village_workbook.yaml"
    path.write_text(yaml.safe_dump(body, allow_unicode=True), "utf-8")
    return profiles.read_profile(path)


@pytest.mark.parametrize("change, word", [
    (lambda b: b.update(delimeter=";"), "delimeter"),
    (lambda b: b["extracts"]["staff"].update(sheets="人员"), "sheets"),
    (lambda b: b.update(format="xls"), "format"),
    (lambda b: b.update(encoding="gb99"), "gb99"),
    (lambda b: b["extracts"]["staff"].pop("sheet"), "staff"),
    (lambda b: b["extracts"]["staff"].update(sheet="科室"), "share a sheet"),
])
def test_a_malformed_profile_is_named(tmp_path, change, word):
    with pytest.raises(ValueError, match=word):
        write(tmp_path, change)


@pytest.mark.parametrize("change, word", [
    (lambda x: x["headers"][0]["map"].pop("病人编号"), "patient_local_id"),
    (lambda x: x["headers"][0]["map"].update(别名="registration_id"), "mapped twice"),
    (lambda x: x["headers"][0]["map"].update(别名="no_such"), "no_such"),
    (lambda x: x.update(absent=[*x["absent"], "status"]), "required"),
    (lambda x: x.update(codes={"nothing": {"1": "2"}}), "nothing"),
    (lambda x: x.update(units={"status": {"factor": "0.01", "zh": "分", "en": "fen"}}), "needs a number"),
])
def test_what_a_profile_leaves_open_is_named(tmp_path, change, word):
    found = profiles.check(write(tmp_path, lambda b: change(b["extracts"]["registration"])), CONTRACTS)
    assert any(word in text for text in found), found


def test_the_newest_headers_not_after_the_period_hold():
    vendor, contract = profiles.load_profiles()["hongshu_his"], CONTRACTS["charge_line"]
    old = list(vendor.extracts["charge_line"].header_map(contract, dt.date(2025, 6, 30)))
    new = list(vendor.extracts["charge_line"].header_map(contract, dt.date(2025, 7, 1)))
    assert "金额" in old and "实收金额" in new
    assert columns_of(new, vendor, contract, dt.date(2025, 7, 1)) == columns_of(old, vendor, contract, dt.date(2025, 6, 1))
    with pytest.raises(Refused, match="charge_line") as refused:
        columns_of(new, vendor, contract, dt.date(2025, 6, 1))
    assert refused.value.code == "headers" and "金额" in refused.value.zh and "实收金额" in refused.value.zh
    with pytest.raises(Refused) as refused:
        columns_of(old, vendor, contract, dt.date(2020, 1, 1))
    assert refused.value.code == "no_header_map"


def test_a_sender_reads_of_its_own_headers():
    batches = pl.DataFrame({"batch_id": ["a", "b", "c", "d"], "profile": ["hongshu_his", "hongshu_his", "canonical", None],
                            "period_from": [dt.date(2025, 6, 1), dt.date(2025, 7, 1), dt.date(2025, 7, 1), None]})
    header_of = header_finder(batches, CONTRACTS, profiles.load_profiles())
    assert [header_of(b, "charge_line", "amount") for b in "abcd"] == ["金额", "实收金额", "amount", None]
    assert header_of("a", "charge_line", "trace_codes") is None and header_of("a", "payroll", "amount") is None
