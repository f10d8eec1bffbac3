"""Small homes for the dbt tests: loads of staged Parquet written straight from the contracts, and dbt run over them."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from quality.contract import load_contracts

ROOT = Path(__file__).parents[3]
PROJECT = ROOT / "dbt_project"
COUNTY = "990326"
SENDERS = {          # code → (class, level, township, nonprofit)
    f"{COUNTY}001A10000000000001": ("A100", "1", "001", "1"),
    f"{COUNTY}001A21000000000002": ("A210", "1", "001", "1"),
    f"{COUNTY}002C22000000000003": ("C220", "2", "002", "1"),
    f"{COUNTY}003D60000000000004": ("D600", "3", "003", "1"),
    f"{COUNTY}002A10000000000005": ("A100", "4", "002", "2"),
    f"{COUNTY}001A41100000000006": ("A411", "4", "001", "1"),
}
GENERAL, TCM, TOWNSHIP, VILLAGE, PRIVATE, PSYCHIATRIC = SENDERS
DISEASES = ["J18.900", "I10.x00", "K29.700", "E11.900", "S52.500"]
Row = dict[str, Any]

BATCHES = {
    "load_id": pl.String, "batch_id": pl.String, "sender": pl.String, "institution_code": pl.String, "profile": pl.String,
    "source_system": pl.String, "schema_version": pl.String, "period_from": pl.Date, "period_to": pl.Date,
    "extracted_at": pl.Datetime("us"), "received_at": pl.Datetime("us"), "status": pl.String, "reason_code": pl.String,
    "reason_zh": pl.String, "reason_en": pl.String, "rows_received": pl.Int64, "rows_staged": pl.Int64,
    "rows_quarantined": pl.Int64, "rows_duplicate": pl.Int64, "file_count": pl.Int64, "bytes": pl.Int64, "digest": pl.String,
    "landing_path": pl.String,
}
FILES = {
    "load_id": pl.String, "batch_id": pl.String, "sender": pl.String, "institution_code": pl.String, "extract": pl.String,
    "file_name": pl.String, "file_digest": pl.String, "sheet": pl.String, "bytes": pl.Int64, "physical_lines": pl.Int64,
    "rows_received": pl.Int64, "rows_staged": pl.Int64, "rows_quarantined": pl.Int64, "rows_duplicate": pl.Int64,
    "status": pl.String, "reason_code": pl.String, "reason_zh": pl.String, "reason_en": pl.String,
}


def money(value: float) -> Decimal:
    return Decimal(str(round(value, 2))).quantize(Decimal("0.01"))


def staged(extract: str, rows: Iterable[Row], load_id: str, received_at: datetime) -> pl.DataFrame:
    """Rows in the exact staged schema; what a row does not give is null, lineage is filled in."""
    schema = load_contracts()[extract].staged_schema
    filled = []
    for n, row in enumerate(rows, 2):
        if unknown := row.keys() - schema.keys():
            raise KeyError(f"{extract}: {sorted(unknown)}")
        base = dict.fromkeys(schema) | {
            "_batch_id": f"{load_id}-{extract}", "_file_digest": f"{hash((load_id, extract)) & 0xFFFF:064x}", "_line_no": n,
            "_received_at": received_at, "_source_updated_at": received_at, "_op_type": "I", "_row_hash": n, "_load_id": load_id,
        }
        filled.append(base | row)
    return pl.DataFrame(filled, schema=schema, orient="row")


def write_load(home: Path, number: int, received_at: datetime, extracts: dict[str, list[Row]],
               period: tuple[date, date]) -> None:
    """One committed load with its ledger; one batch for each institution that appears."""
    load_id = f"L{number:06d}"
    folder = home / "loads" / load_id
    (folder / "staged").mkdir(parents=True)
    files = []
    for extract, rows in extracts.items():
        if rows:
            staged(extract, rows, load_id, received_at).write_parquet(folder / "staged" / f"{extract}-001.parquet")
        for code in sorted({r.get("institution_code", "NHSA") for r in rows}):
            n = sum(r.get("institution_code", "NHSA") == code for r in rows)
            files.append(dict.fromkeys(FILES) | {
                "load_id": load_id, "batch_id": f"{code}-{number}", "sender": code,
                "institution_code": code if code in SENDERS else None, "extract": extract, "file_name": f"{extract}.csv",
                "file_digest": f"{number}{extract}", "bytes": 100 * n, "physical_lines": n + 1, "rows_received": n, "rows_staged": n,
                "rows_quarantined": 0, "rows_duplicate": 0, "status": "accepted"})
    batches = []
    for code in sorted({f["sender"] for f in files}):
        mine = [f for f in files if f["sender"] == code]
        batches.append(dict.fromkeys(BATCHES) | {
            "load_id": load_id, "batch_id": f"{code}-{number}", "sender": code,
            "institution_code": code if code in SENDERS else None, "profile": "canonical", "schema_version": "1.0",
            "period_from": period[0], "period_to": period[1], "extracted_at": received_at, "received_at": received_at,
            "status": "accepted", "rows_received": sum(f["rows_received"] for f in mine),
            "rows_staged": sum(f["rows_staged"] for f in mine), "rows_quarantined": 0, "rows_duplicate": 0,
            "file_count": len(mine), "bytes": sum(f["bytes"] for f in mine), "digest": f"{number}"})
    pl.DataFrame(batches, schema=BATCHES, orient="row").write_parquet(folder / "batches.parquet")
    pl.DataFrame(files, schema=FILES, orient="row").write_parquet(folder / "files.parquet")


def reference_rows() -> dict[str, list[Row]]:
    """Institutions, departments, staff and catalogue."""
    institutions = [{
        "institution_code": code, "institution_name": f"机构{n}", "institution_class": cls, "level_code": level,
        "nonprofit_flag": profit, "township_code": COUNTY + town, "operating_status": "1", "valid_from": date(2020, 1, 1),
    } for n, (code, (cls, level, town, profit)) in enumerate(SENDERS.items(), 1)]
    departments, staff, catalogue = [], [], []
    for code in SENDERS:
        for dept, std, kind in (("01", "A03", "1"), ("02", "A04", "2"), ("03", "A21", "2")):
            departments.append({"institution_code": code, "dept_code": dept, "dept_name": f"科室{dept}", "std_dept_code": std,
                                "dept_type": kind, "open_beds": 20, "active_flag": True})
        staff.append({"institution_code": code, "staff_id": "D1", "staff_key": f"s{code}", "sex_code": "1",
                      "birth_date": date(1980, 1, 1), "category_code": "11", "dept_code": "02", "multi_site_flag": False,
                      "start_date": date(2020, 1, 1)})
        for n, (item_class, kind) in enumerate((("1", "09"), ("1", "11"), ("2", "03"), ("2", "04"), ("3", "08"), ("2", "05"))):
            catalogue.append({"institution_code": code, "local_item_code": f"I{n}", "local_item_name": f"项目{n}",
                              "item_class": item_class, "chrgitm_type": kind, "unit_price": Decimal(10 * (n + 1)),
                              "antibiotic_level": "1" if n == 0 else None, "nhsa_code": f"N{n}" if n else None,
                              "valid_from": date(2020, 1, 1)})
    return {"institution": institutions, "department": departments, "staff": staff, "catalog_mapping": catalogue}


def month_rows(rng: random.Random, month: date, scale: int = 40) -> dict[str, list[Row]]:
    """The events of one month: visits, stays and their money, which balances."""
    out: dict[str, list[Row]] = {e: [] for e in (
        "registration", "outpatient_encounter", "diagnosis", "settlement", "charge_line", "inpatient_stay", "case_front_page",
        "bed_daily", "finance_monthly", "out_of_county_settlement")}
    tag = month.strftime("%Y%m")
    for code, (cls, level, *_) in SENDERS.items():
        for n in range(scale + rng.randrange(10)):
            at = datetime(month.year, month.month, 1 + rng.randrange(28), 8 + rng.randrange(9), rng.randrange(60))
            key, person, fee = f"{tag}-{n}", f"p{rng.randrange(500)}", rng.uniform(20, 400)
            drug, exam = money(fee * 0.4), money(fee * 0.2)
            service = money(fee) - drug - exam
            total = drug + exam + service
            insured = rng.choice(["390", "390", "310", None])
            who = {"person_key": person, "person_match": rng.choice("AAABC"), "sex_code": "1", "birth_date": date(1970, 5, 5),
                   "institution_code": code}
            out["registration"].append(who | {
                "registration_id": f"R{key}", "dept_code": "01", "registration_type": "1", "channel": "1", "registered_at": at,
                "fee": Decimal("5.00"), "status": "2"})
            out["outpatient_encounter"].append(who | {
                "encounter_id": f"E{key}", "registration_id": f"R{key}", "visit_type": rng.choice("11124"), "first_visit_flag": True,
                "dept_code": "01", "doctor_id": "D1", "visit_start": at, "visit_end": at + timedelta(minutes=30),
                "infusion_flag": False, "outcome_code": "1", "payment_category": "03", "total_fee": total, "drug_fee": drug})
            out["diagnosis"].append({
                "institution_code": code, "diagnosis_id": f"X{key}", "encounter_id": f"E{key}", "diag_stage": "1", "is_main": True,
                "seq": 1, "icd10_code": rng.choice(DISEASES), "icd10_name": "诊断", "coding_version": "CLIN2", "diagnosed_at": at})
            fund = money(float(total) * 0.6) if insured else Decimal("0.00")
            out["settlement"].append(who | {
                "settlement_id": f"S{key}", "encounter_id": f"E{key}", "insurance_type": insured, "med_type": "11", "setl_time": at,
                "begin_date": at.date(), "end_date": at.date(), "total_fee": total, "in_scope_amount": money(float(total) * 0.9),
                "fund_pay": fund, "pooling_pay": fund, "account_pay": Decimal("0.00"), "cash_pay": total - fund,
                "other_pay": Decimal("0.00"), "full_selfpay": money(float(total) * 0.1), "valid_flag": rng.random() > 0.02})
            for i, (item, kind, amount) in enumerate((("I0", "09", drug), ("I2", "03", exam), ("I5", "05", service))):
                out["charge_line"].append({
                    "institution_code": code, "charge_id": f"C{key}-{i}", "encounter_id": f"E{key}", "settlement_id": f"S{key}",
                    "local_item_code": item, "item_name": f"项目{item}", "chrgitm_type": kind, "quantity": Decimal(1),
                    "unit_price": amount, "amount": amount, "occurred_at": at, "charged_at": at})
        if level in "12" or cls.startswith("A"):
            for n in range(scale // 3 + rng.randrange(5)):
                out_at = datetime(month.year, month.month, 1 + rng.randrange(28), 10, 0)
                days = 1 + rng.randrange(12)
                in_at, key = out_at - timedelta(days=days), f"{tag}-{n}"
                fee = rng.uniform(800, 9000)
                drug, consumable, lab = money(fee * 0.3), money(fee * 0.1), money(fee * 0.2)
                service = money(fee * 0.4)
                total = drug + consumable + lab + service
                dept, disease = rng.choice(["02", "03"]), rng.choice(DISEASES)
                out["inpatient_stay"].append({
                    "institution_code": code, "stay_id": f"H{key}", "person_key": f"p{n}", "person_match": "A", "sex_code": "2",
                    "birth_date": date(1950, 1, 1), "medical_record_key": f"m{key}", "admission_times": 1, "admission_route": "1",
                    "admitted_at": in_at, "admission_dept": dept, "discharged_at": out_at, "discharge_dept": dept,
                    "day_surgery_flag": False, "payment_category": "03", "insurance_type": "390", "total_fee": total})
                zero = dict.fromkeys((
                    "fee_diagnosis", "fee_imaging", "fee_treatment", "fee_operation", "fee_rehab", "fee_tcm", "fee_tcm_patent",
                    "fee_tcm_slice", "fee_blood", "fee_other"), Decimal("0.00"))
                out["case_front_page"].append(zero | {
                    "institution_code": code, "stay_id": f"H{key}", "medical_record_key": f"m{key}", "payment_category": "03",
                    "admission_times": 1, "admission_route": "1", "admitted_at": in_at, "admission_dept": dept,
                    "discharged_at": out_at, "discharge_dept": dept, "los_days": days, "main_diag_code": disease,
                    "main_diag_name": "诊断", "disposition_code": "1", "readmit31_flag": False, "total_fee": total,
                    "selfpay_amount": money(fee * 0.3), "fee_service": service, "fee_lab": lab, "fee_diagnosis": lab,
                    "fee_western_drug": drug, "fee_antibiotic": money(float(drug) * 0.2), "fee_consumable": consumable})
                fund = money(float(total) * 0.7)
                out["settlement"].append({
                    "institution_code": code, "settlement_id": f"SH{key}", "person_key": f"p{n}", "person_match": "A",
                    "sex_code": "2", "birth_date": date(1950, 1, 1), "stay_id": f"H{key}", "insurance_type": "390",
                    "med_type": "21", "setl_time": out_at, "begin_date": in_at.date(), "end_date": out_at.date(),
                    "total_fee": total, "in_scope_amount": total, "fund_pay": fund, "pooling_pay": fund,
                    "account_pay": Decimal("0.00"), "cash_pay": total - fund, "other_pay": Decimal("0.00"),
                    "full_selfpay": Decimal("0.00"), "valid_flag": True})
                for i, (item, kind, amount) in enumerate((
                        ("I1", "11", drug), ("I4", "08", consumable), ("I3", "04", lab), ("I5", "05", service))):
                    out["charge_line"].append({
                        "institution_code": code, "charge_id": f"CH{key}-{i}", "stay_id": f"H{key}", "settlement_id": f"SH{key}",
                        "local_item_code": item, "item_name": f"项目{item}", "chrgitm_type": kind, "quantity": Decimal(1),
                        "unit_price": amount, "amount": amount, "occurred_at": out_at, "charged_at": out_at})
            for d in range(28):
                out["bed_daily"].append({
                    "institution_code": code, "dept_code": "02", "stat_date": month + timedelta(days=d), "actual_open_beds": 20,
                    "extra_beds": 0, "patients_start": 15, "admissions": 2, "transfers_in": 0, "discharges": 2, "transfers_out": 0,
                    "deaths": 0, "patients_end": 15, "occupied_bed_days": 15})
            income = sum(s["total_fee"] for s in out["settlement"] if s["institution_code"] == code)
            shares = {"I10": 1.0, "I13": 0.3, "I14": 0.02, "I15": 0.1, "I16": 0.15, "I17": 0.1, "I18": 0.33, "E30": 0.08}
            for line, share in shares.items():
                out["finance_monthly"].append({
                    "institution_code": code, "stat_month": month.strftime("%Y-%m"), "line_code": line, "line_name": line,
                    "month_amount": money(float(income) * share), "ytd_amount": Decimal("0.00"), "restated_flag": False})
    for n in range(10):
        out["out_of_county_settlement"].append({
            "external_settlement_id": f"O{tag}-{n}", "psn_key": f"q{n}", "person_key": f"p{n}", "person_match": "A",
            "care_division": "530300", "institution_name": "市医院", "med_type": "21", "referral_flag": "1",
            "begin_date": month, "end_date": month + timedelta(days=6), "total_fee": Decimal("9000.00"),
            "fund_pay": Decimal("4000.00"), "cash_pay": Decimal("5000.00")})
    return out


def months(first: date, n: int) -> list[date]:
    return [date(first.year + (first.month - 1 + k) // 12, (first.month - 1 + k) % 12 + 1, 1) for k in range(n)]


def dbt(home: Path, duckdb: Path, *args: str, variables: dict[str, str] | None = None) -> str:
    """Run dbt over the home; returns its output, raises with it when dbt fails."""
    command = [str(Path(sys.executable).parent / "dbt"), *args, "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT),
               "--target-path", str(home.parent / "target"), "--log-path", str(home.parent / "logs")]
    if variables:
        command += ["--vars", json.dumps(variables)]
    run = subprocess.run(command, capture_output=True, text=True, check=False,
                         env=os.environ | {"XIANJIAN_HOME": str(home), "XIANJIAN_DUCKDB": str(duckdb)})
    if run.returncode:
        raise AssertionError(run.stdout[-6000:])
    return run.stdout
