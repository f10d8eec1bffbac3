"""A small county, generated once for the module, holds together: money, references, identities, and what is planted."""

import csv
import datetime as dt
import hashlib
import json

import polars as pl
import pytest

from data_samples.generate import generate
from data_samples.parameters import load_parameters
from quality.contract import load_contracts

START, MONTHS, SCALE, SEED, DAILY = dt.date(2024, 4, 1), 4, 0.0012, 11, 18


@pytest.fixture(scope="module")
def county(tmp_path_factory):
    out = tmp_path_factory.mktemp("county") / "out"
    generate(out, SCALE, MONTHS, START, SEED, DAILY)
    return out


@pytest.fixture(scope="module")
def table(county):
    return lambda extract: pl.read_parquet(county / "truth" / "tables" / f"{extract}.parquet")


@pytest.fixture(scope="module")
def truth(county):
    with (county / "truth" / "ground_truth.csv").open(encoding="utf-8", newline="") as f:
        return {row["gt_id"]: row for row in csv.DictReader(f)}


def off(frame: pl.DataFrame, left: pl.Expr, right: pl.Expr, tolerance: str = "0.00") -> int:
    return frame.filter((left - right).abs() > pl.lit(tolerance).cast(pl.Decimal(10, 2))).height


def test_every_extract_has_a_truth_table_with_the_columns_of_its_contract(table):
    for name, contract in load_contracts().items():
        assert table(name).schema == {c.name: c.polars_type for c in contract.columns}, name


def test_a_bill_is_the_sum_of_its_lines(table):
    keys = ["institution_code", "settlement_id"]
    lines = table("charge_line").group_by(keys).agg(pl.col("amount").sum())
    bills = table("settlement").filter("valid_flag").join(lines, on=keys, how="left")
    assert bills.height > 300
    assert off(bills, pl.col("total_fee"), pl.col("amount").fill_null(0)) == 0


def test_what_is_paid_is_the_bill(table):
    s = table("settlement")
    paid = pl.col("fund_pay") + pl.col("account_pay") + pl.col("cash_pay") + pl.col("other_pay")
    borne = pl.col("in_scope_amount") + pl.col("full_selfpay") + pl.col("preselfpay") + pl.col("over_limit")
    assert off(s, pl.col("total_fee"), paid) == 0
    assert off(s, pl.col("total_fee"), borne) == 0


def test_an_amount_is_quantity_times_price(table):
    lines = table("charge_line")
    product = (pl.col("quantity") * pl.col("unit_price")).cast(pl.Decimal(20, 2))
    assert off(lines, pl.col("amount"), product, "0.01") == 0


def test_a_cancelled_bill_comes_to_nothing(table):
    s = table("settlement")
    refunds = s.filter(pl.col("refund_of").is_not_null())
    back = refunds.join(s, left_on=["institution_code", "refund_of"], right_on=["institution_code", "settlement_id"])
    assert back.height == refunds.height > 0
    assert off(back, pl.col("total_fee"), -pl.col("total_fee_right")) == 0
    assert not back["valid_flag"].any() and not back["valid_flag_right"].any()


def test_front_page_fees_come_from_the_lines(table):
    pages = table("case_front_page")
    ten = [
        "fee_service",
        "fee_diagnosis",
        "fee_treatment",
        "fee_rehab",
        "fee_tcm",
        "fee_western_drug",
        "fee_tcm_patent",
        "fee_tcm_slice",
        "fee_blood",
        "fee_consumable",
        "fee_other",
    ]
    assert pages.height > 20
    assert off(pages, pl.col("total_fee"), pl.sum_horizontal(ten)) == 0
    keys = ["institution_code", "stay_id"]
    lines = table("charge_line").filter(pl.col("stay_id").is_not_null()).group_by(keys).agg(pl.col("amount").sum())
    assert off(pages.join(lines, on=keys), pl.col("total_fee"), pl.col("amount")) == 0


def test_accounts_are_the_settlements_up_to_posting_lag(table):
    f = table("finance_monthly")
    wide = f.pivot("line_code", index=["institution_code", "stat_month"], values="month_amount")
    assert off(wide, pl.col("I10"), pl.col("I11") + pl.col("I12")) == 0
    assert off(wide, pl.col("I10"), pl.sum_horizontal(["I13", "I14", "I15", "I16", "I17", "I18"])) == 0
    assert off(wide, pl.col("I00"), pl.col("I10") + pl.col("I30") + pl.col("I40")) == 0
    assert off(wide, pl.col("E00"), pl.sum_horizontal(["E10", "E20", "E30", "E40", "E50", "E60"])) == 0
    # of the first months every bill has been entered; a cancelled one and its refund are both booked
    early = pl.col("setl_time") < dt.datetime(2024, 6, 1)
    settled = table("settlement").join(f.select("institution_code").unique(), on="institution_code", how="semi").filter(early)
    booked = wide.filter(pl.col("stat_month") < "2024-06")["I10"].sum()
    assert float(booked) == pytest.approx(float(settled["total_fee"].sum()), rel=0.02)


def test_beds_follow_from_one_day_to_the_next(table):
    b = table("bed_daily").sort("institution_code", "dept_code", "stat_date")
    moved = (
        pl.col("patients_start") + pl.col("admissions") + pl.col("transfers_in") - pl.col("discharges") - pl.col("transfers_out")
    )
    assert b.filter(moved != pl.col("patients_end")).height == 0
    over = ["institution_code", "dept_code"]
    follows = (pl.col("stat_date").shift(1).over(over) + pl.duration(days=1)) == pl.col("stat_date")
    assert b.filter(follows & (pl.col("patients_end").shift(1).over(over) != pl.col("patients_start"))).height == 0
    assert b["patients_end"].min() >= 0


def test_occupancy_is_over_100_percent_only_where_it_is_planted(table, truth):
    planted = truth["GT-Q13"]["institution_code"] if "GT-Q13" in truth else None
    wards = (
        table("bed_daily").filter(pl.col("institution_code") != pl.lit(planted or "")).group_by("institution_code", "dept_code")
    )
    load = wards.agg(pl.col("occupied_bed_days").sum() / pl.col("actual_open_beds").sum())
    assert load.height > 3
    assert load["occupied_bed_days"].max() <= 1


def test_hospital_doctors_work_in_consulting_rooms_and_in_wards(table):
    types = table("department").select("institution_code", "dept_code", "dept_type")
    doctors = table("staff").filter(pl.col("category_code").is_in(["11", "12"]))
    placed = doctors.join(types, on=["institution_code", "dept_code"])
    with_wards = types.filter(pl.col("dept_type") == "2")["institution_code"].unique()
    per = placed.group_by("institution_code").agg(
        wards=(pl.col("dept_type") == "2").sum(), rooms=(pl.col("dept_type") == "1").sum()
    )
    hospitals = per.filter(pl.col("institution_code").is_in(with_wards.implode()))
    assert hospitals.height == with_wards.len() and hospitals.select(pl.min_horizontal("wards", "rooms").min()).item() > 0
    assert per.filter(~pl.col("institution_code").is_in(with_wards.implode()))["wards"].sum() == 0


@pytest.mark.parametrize(
    ("extract", "who"), [("inpatient_stay", "admitting_doctor_id"), ("case_front_page", "attending_doctor_id")]
)
def test_inpatients_have_a_doctor_of_their_ward_where_it_has_one(table, extract, who):
    doctors = (
        table("staff").filter(pl.col("category_code").is_in(["11", "12"])).select("institution_code", "staff_id", "dept_code")
    )
    treated = table(extract).join(doctors, left_on=["institution_code", who], right_on=["institution_code", "staff_id"])
    assert treated.height == table(extract).height > 10
    elsewhere = treated.filter(pl.col("dept_code") != pl.col("admission_dept"))
    own = doctors.rename({"dept_code": "admission_dept"})
    assert elsewhere.join(own, on=["institution_code", "admission_dept"], how="semi").height == 0
    wards = table("department").filter(pl.col("dept_type") == "2")
    assert treated.join(wards, on=["institution_code", "dept_code"], how="anti").height == 0


def test_references_resolve(table):
    contracts = load_contracts()
    for name, contract in contracts.items():
        rows = table(name)
        for r in contract.references:
            if r.extract == name:
                continue
            same = [] if r.extract == "institution" or r.county_wide else ["institution_code"]
            target = (
                table(r.extract)
                .select([*same, pl.col(r.key).alias(r.column)] if r.column != "institution_code" else [pl.col(r.key)])
                .unique()
            )
            missing = rows.filter(pl.col(r.column).is_not_null()).join(target, on=[*same, r.column], how="anti")
            # a bill that was entered after the period leaves its lines behind for the next delivery
            assert missing.height <= rows.height * 0.001, (name, r.column, missing.height)


def test_every_visit_and_stay_has_one_main_diagnosis_at_each_stage(table):
    d = table("diagnosis")
    per = d.group_by("institution_code", "encounter_id", "stay_id", "diag_stage").agg(pl.col("is_main").sum().alias("mains"))
    assert (per["mains"] == 1).all()
    visits = table("outpatient_encounter").select("institution_code", "encounter_id")
    assert visits.join(d, on=["institution_code", "encounter_id"], how="anti").height == 0


def test_identity_numbers_are_valid_and_cannot_belong_to_anybody(table):
    p = load_parameters()
    residents = table("resident").filter(pl.col("id_number").is_not_null())
    weights, check = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], "10X98765432"
    for number, birth, sex in residents.select("id_number", "birth_date", "sex_code").iter_rows():
        assert number.startswith(p.county.division)
        assert check[sum(int(a) * w for a, w in zip(number, weights, strict=False)) % 11] == number[17]
        assert number[6:14] == f"{birth:%Y%m%d}" and int(number[16]) % 2 == int(sex) % 2
    assert residents["phone"].str.starts_with(p.names.phone_prefix).all()


def test_nobody_comes_after_death_unless_it_is_planted(table, truth):
    planted = set(truth["GT-F09"]["record_ids"].split(";")) if "GT-F09" in truth else set()
    dead = table("resident").filter(pl.col("death_date").is_not_null()).select("id_number", "death_date")
    late = table("outpatient_encounter").join(dead, on="id_number").filter(pl.col("visit_start").dt.date() > pl.col("death_date"))
    assert set(late["encounter_id"]) <= planted


def test_what_was_planted_is_recorded_and_what_was_not_has_a_reason(county, truth):
    about = json.loads((county / "truth" / "county.json").read_text("utf-8"))
    ids = {f"GT-{k}" for k in load_parameters().planted if k != "unplanned"} | set(load_parameters().planted.unplanned)
    assert ids - {"GT-I02"} <= truth.keys() | about["not_planted"].keys()
    for needed in (
        "GT-O01",
        "GT-O04",
        "GT-F01",
        "GT-F10",
        "GT-F11",
        "GT-Q01",
        "GT-Q03",
        "GT-Q05",
        "GT-Q06",
        "GT-Q07",
        "GT-Q09",
        "GT-I01",
    ):
        assert needed in truth, (needed, about["not_planted"].get(needed))


def test_planted_records_exist_under_the_ids_that_are_recorded(table, truth):
    visits, stays = set(table("outpatient_encounter")["encounter_id"]), set(table("inpatient_stay")["stay_id"])
    cards, lines = set(table("notifiable_report")["card_id"]), set(table("charge_line")["charge_id"])
    known = visits | stays | cards | lines
    for gt in ("GT-O01", "GT-O04", "GT-F01", "GT-F10", "GT-Q06"):
        ids = truth[gt]["record_ids"].split(";")
        assert ids and set(ids) <= known, gt


def test_planted_data_faults_are_in_the_files(county, table, truth):
    landing = county / "landing"
    second = [m for m in landing.glob("*/*/manifest.json") if m.parent.name.endswith("-02")]
    double = [m for m in second if (m.parent.parent / (m.parent.name[:-2] + "01")).exists()]
    digests = [{f["sha256"] for f in json.loads(m.read_text("utf-8"))["files"]} for m in double]
    firsts = [json.loads((m.parent.parent / (m.parent.name[:-2] + "01") / "manifest.json").read_text("utf-8")) for m in double]
    same = [{f["sha256"] for f in first["files"]} == d for first, d in zip(firsts, digests, strict=True)]
    assert any(same), "the double file of GT-Q01"
    sender = truth["GT-Q09"]["institution_code"]
    texts = [p.read_bytes().decode("gb18030") for p in landing.glob(f"{sender}/*-01/住院病案首页_*.csv")]
    assert any("天," in t for t in texts)


def test_manifests_agree_with_their_files(county):
    for path in (county / "landing").glob("*/*/manifest.json"):
        manifest = json.loads(path.read_text("utf-8"))
        assert manifest["received_at"] > manifest["extracted_at"]
        for f in manifest["files"]:
            assert hashlib.sha256((path.parent / f["name"]).read_bytes()).hexdigest() == f["sha256"]


def test_receipts_of_one_sender_run_forwards(county):
    by_sender: dict[str, list[tuple[str, str]]] = {}
    for path in (county / "landing").glob("*/*/manifest.json"):
        m = json.loads(path.read_text("utf-8"))
        by_sender.setdefault(m["sender"], []).append((m["received_at"], m["batch_id"]))
    for sent in by_sender.values():
        assert len({at for at, _ in sent}) == len(sent)


def test_a_folder_with_files_is_refused(county):
    with pytest.raises(ValueError, match="not empty"):
        generate(county, SCALE, 1)
    with pytest.raises(ValueError, match="first of a month"):
        generate(county / "new", SCALE, 1, dt.date(2024, 1, 2))
