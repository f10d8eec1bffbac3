"""The committed sample is what the generator makes today, byte for byte, and its hand-worked totals hold."""

from decimal import Decimal

import polars as pl
import pytest

from data_samples.restore import SAMPLE, generate_sample, lay_out

CLINIC = "990326001D110000000014"
GENERAL = "990326001A100000000001"
TOWNSHIP = "990326001C220000000007"
PSYCHIATRIC = "990326001A411000000013"


def table(extract: str) -> pl.DataFrame:
    return pl.read_parquet(SAMPLE / "truth" / "tables" / f"{extract}.parquet")


def files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_same_seed_makes_the_same_bytes(tmp_path):
    generate_sample(tmp_path / "again")
    new, old = files(tmp_path / "again"), files(SAMPLE)
    assert new.keys() == old.keys()
    assert [k for k in new if new[k] != old[k]] == [], "run python -m data_samples.restore"


def test_laying_out_restores_the_times_of_receipt(tmp_path):
    lay_out(tmp_path / "county")
    books = list((tmp_path / "county" / "landing").rglob("*.xlsx"))
    assert books and len({round(b.stat().st_mtime) for b in books}) > 5


def test_the_sample_speaks_every_dialect():
    found = {p.suffix for p in (SAMPLE / "landing").rglob("*") if p.is_file()}
    assert {".csv", ".gz", ".parquet", ".xlsx", ".json"} <= found
    headers = {p.read_bytes().decode("gb18030").splitlines()[0] for p in (SAMPLE / "landing" / GENERAL).rglob("费用明细_*.csv")}
    assert len(headers) == 2, "the vendor's headers change on 1 July 2025"


def of(extract: str, institution: str) -> pl.DataFrame:
    return table(extract).filter(pl.col("institution_code") == institution)


def test_hand_total_outpatient_cost_and_drug_share():
    july = of("outpatient_encounter", CLINIC).filter(pl.col("visit_start").dt.month() == 7)
    assert july.height == 5
    assert july["total_fee"].sum() == Decimal("194.88")
    assert july["drug_fee"].sum() == Decimal("105.38")
    assert float(july["drug_fee"].sum() / july["total_fee"].sum()) == pytest.approx(0.5407, abs=5e-5)


def test_hand_total_inpatient_cost():
    june = of("case_front_page", GENERAL).filter(pl.col("discharged_at").dt.month() == 6)
    assert (june.height, june["los_days"].sum()) == (2, 6)
    assert june["total_fee"].sum() == Decimal("17153.35")
    assert june["fee_consumable"].sum() == Decimal("2239.30")
    assert float(june["total_fee"].sum() / 6) == pytest.approx(2858.89, abs=0.005)
    assert float(june["fee_consumable"].sum() / june["total_fee"].sum()) == pytest.approx(0.1305, abs=5e-5)


def test_hand_total_fund_share():
    bills = of("settlement", TOWNSHIP).filter(pl.col("stay_id").is_not_null() & (pl.col("setl_time").dt.month() == 7))
    assert bills.height == 3
    assert (bills["total_fee"].sum(), bills["fund_pay"].sum()) == (Decimal("4130.07"), Decimal("3276.47"))


def test_hand_total_accounts_and_one_bill():
    visits = of("outpatient_encounter", PSYCHIATRIC).filter(pl.col("visit_start").dt.month() == 6)
    report = of("finance_monthly", PSYCHIATRIC).filter(pl.col("stat_month") == "2025-06")
    income = dict(report.select("line_code", "month_amount").iter_rows())
    assert visits["total_fee"].sum() == income["I11"] == income["I10"] == Decimal("236.25")
    lines = of("charge_line", PSYCHIATRIC).filter(pl.col("encounter_id") == "O25060000003")
    assert sorted(lines["amount"]) == [Decimal(x) for x in ("1.98", "2.52", "2.53", "5.28", "9.00", "12.00")]
    assert lines["amount"].sum() == Decimal("33.31")


def test_hand_total_discharges_per_ward_doctor():
    wards = of("department", TOWNSHIP).filter(pl.col("dept_type") == "2")["dept_code"].to_list()
    doctors = of("staff", TOWNSHIP).filter(pl.col("category_code").is_in(["11", "12"]) & pl.col("dept_code").is_in(wards))
    posts = [table("staff").filter(pl.col("id_number") == x).height for x in doctors.sort("staff_id")["id_number"]]
    assert (doctors.sort("staff_id")["staff_id"].to_list(), posts) == (["D0003", "D0005"], [2, 1])
    july = of("inpatient_stay", TOWNSHIP).filter(pl.col("discharged_at").dt.month() == 7)
    assert july.height / sum(1 / n for n in posts) == 2.0
