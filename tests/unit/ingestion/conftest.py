"""A landing zone of a few senders, made by hand: every test says itself what lies in it."""

import csv
import datetime as dt
import gzip
import hashlib
import io
import json
import os
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from ingestion import identity, ledger
from ingestion.landing import SHANGHAI
from ingestion.load import ingest
from ingestion.profile import load_checked
from quality.contract import load_contracts

CONTRACTS = load_contracts()
PROFILES = load_checked(CONTRACTS)

HOSPITAL = "990326001A100000000001"       # speaks canonical
COUNTY = "990326001A100000000002"         # speaks hongshu_his
TOWNSHIP = "990326002C220000000003"       # speaks chenguang_his
PRIVATE = "990326001A100000000004"        # speaks yunlian_parquet
CLINIC = "990326002D600000000005"         # speaks village_workbook, in the charge of TOWNSHIP
OTHER_CLINIC = "990326003D600000000006"
SENDERS = {HOSPITAL: "canonical", COUNTY: "hongshu_his", TOWNSHIP: "chenguang_his", PRIVATE: "yunlian_parquet",
           CLINIC: "village_workbook", OTHER_CLINIC: "village_workbook", "CDC": "canonical", "BUREAU": "canonical"}

CITIZEN_ID = "990326198001010017"
MOBILE = "13812345678"


def with_check_digit(first17: str) -> str:
    return first17 + identity.CHECK[sum(int(d) * w for d, w in zip(first17, identity.WEIGHTS, strict=True)) % 11]


def registration(institution: str, n: int, **changes) -> dict:
    row = {"institution_code": institution, "registration_id": f"R{n:06d}", "patient_local_id": f"P{n % 50:04d}",
           "id_type": "01", "id_number": with_check_digit(f"9903261980010{100 + n % 28 + 1:03d}1"[:17].ljust(17, "0")),
           "person_name": f"测试{n % 50}", "sex_code": "1", "birth_date": "1980-01-01", "dept_code": "D01",
           "registration_type": "1", "channel": "1", "registered_at": f"2024-01-{n % 28 + 1:02d} 08:{n % 60:02d}:00",
           "fee": "10.00", "status": "2"}
    return row | changes


def charge(institution: str, n: int, **changes) -> dict:
    row = {"institution_code": institution, "charge_id": f"C{n:08d}", "encounter_id": f"E{n // 3:06d}",
           "settlement_id": f"S{n // 3:06d}", "local_item_code": "I001", "item_name": "头孢克肟",
           "chrgitm_type": "09", "chrgitm_lv": "02", "quantity": "2", "unit_price": "3.5", "amount": "7.00",
           "occurred_at": f"2024-01-{n % 28 + 1:02d} 09:{n % 60:02d}:00",
           "charged_at": f"2024-01-{n % 28 + 1:02d} 09:{n % 60:02d}:00"}
    return row | changes


def institution(code: str, parent: str | None = None, **changes) -> dict:
    row = {"institution_code": code, "institution_name": "示例机构", "institution_class": code[9:13].rstrip("0").ljust(4, "0"),
           "level_code": {"D": "3", "C": "2"}.get(code[9], "1"), "nonprofit_flag": "1", "parent_institution_code": parent,
           "township_code": code[:9], "network_access": "1", "operating_status": "1", "valid_from": "2023-01-01"}
    return row | changes


def to_vendor(rows: list[dict], extract: str, profile_name: str, day: dt.date) -> tuple[list[str], list[list]]:
    """Canonical rows as the vendor would write them: the profile, turned round."""
    profile = PROFILES[profile_name]
    x, contract = profile.extracts[extract], CONTRACTS[extract]
    headers = x.header_map(contract, day)
    out = []
    for row in rows:
        line = []
        for ours in headers.values():
            value = row.get(ours)
            kind = contract.by_name[ours].kind if ours in contract.by_name else "string"
            if value is not None:
                back = {v: k for k, v in x.codes.get(ours, {}).items()}
                value = back.get(value, value)
                try:
                    if kind == "date":
                        value = dt.datetime.strptime(value, "%Y-%m-%d").strftime(profile.date_format)
                    elif kind == "datetime":
                        value = dt.datetime.strptime(value, "%Y-%m-%d %H:%M:%S").strftime(profile.datetime_format)
                except ValueError:
                    pass
                if kind == "bool":
                    value = {str(v).lower(): k for k, v in profile.booleans.items()}.get(value, value)
                if ours in x.units:
                    value = f"{float(value) / float(x.units[ours].factor):.2f}".rstrip("0").rstrip(".")
            line.append(value)
        out.append(line)
    return list(headers), out


class Landing:
    """Writes batches as senders do, and takes them in."""

    def __init__(self, root: Path) -> None:
        self.landing, self.home, self.key_dir = root / "landing", root / "home", root / "keys"
        self.landing.mkdir()
        identity.KeyRing.create_if_absent(self.key_dir)
        (self.key_dir / "pseudonym.key").write_text("0123456789abcdef" * 4)
        (self.key_dir / "vault.key").write_text("fedcba9876543210" * 4)
        self.keys = identity.KeyRing.load(self.key_dir)
        lines = ["sender_code,profile,name", *(f"{code},{p},示例" for code, p in SENDERS.items())]
        (self.landing / "senders.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def encode(self, extract: str, rows: list[dict], profile_name: str, day=dt.date(2024, 1, 1)) -> bytes:
        profile = PROFILES[profile_name]
        header, lines = to_vendor(rows, extract, profile_name, day)
        if profile.format == "parquet":
            buffer = io.BytesIO()
            data = {h: pl.Series([line[i] for line in lines], dtype=pl.String) for i, h in enumerate(header)}
            pl.DataFrame(data).write_parquet(buffer)
            return buffer.getvalue()
        text = io.StringIO()
        writer = csv.writer(text, delimiter=profile.delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([["" if v is None else v for v in line] for line in lines])
        raw = text.getvalue().encode(profile.encoding)
        return gzip.compress(raw, mtime=0) if profile.compression == "gzip" else raw

    def batch(self, sender: str, content: dict, /, seq: int = 1, *, received: str = "2024-02-01T06:00:00+08:00",
              day=dt.date(2024, 1, 1), **manifest) -> Path:
        """`content`: extract -> rows, or file name -> (extract, bytes)."""
        batch_id = manifest.pop("batch_id", f"{sender}-{day:%Y%m}-{seq:02d}")
        folder = self.landing / sender / manifest.pop("folder", batch_id)
        folder.mkdir(parents=True)
        listed = []
        for name, rows in content.items():
            if isinstance(rows, tuple):
                extract, raw = rows
            else:
                extract, raw = name, self.encode(name, rows, SENDERS[sender], day)
                name = PROFILES[SENDERS[sender]].extracts[extract].file.replace("*", f"{day:%Y%m}")
            (folder / name).write_bytes(raw)
            listed.append({"name": name, "extract": extract, "sha256": hashlib.sha256(raw).hexdigest(), "rows": None})
        record = {"batch_id": batch_id, "sender": sender, "source_system": "HIS", "schema_version": "1.0",
                  "period": {"from": f"{day}", "to": f"{day + dt.timedelta(days=30)}"},
                  "extracted_at": received, "received_at": received, "files": listed} | manifest
        (folder / "manifest.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
        return folder

    def workbook(self, sender: str, sheets: dict[str, list[dict]], name: str = "上报工作簿_202401.xlsx", edit=None,
                 mtime: str = "2024-02-01 06:00:00") -> Path:
        path = self.landing / sender / name
        path.parent.mkdir(exist_ok=True)
        book = xlsxwriter.Workbook(path)
        for extract, rows in sheets.items():
            sheet = book.add_worksheet(PROFILES["village_workbook"].extracts[extract].sheet)
            header, lines = to_vendor(rows, extract, "village_workbook", dt.date(2024, 1, 1))
            for i, line in enumerate([header, *lines]):
                sheet.write_row(i, 0, ["" if v is None else v for v in line])
        if edit:
            edit(book)
        book.close()
        stamp = dt.datetime.fromisoformat(mtime).replace(tzinfo=SHANGHAI).timestamp()
        os.utime(path, (stamp, stamp))
        return path

    def ingest(self, **options):
        return ingest(self.home, self.landing, self.keys, CONTRACTS, PROFILES, **options)

    def table(self, name: str) -> pl.DataFrame:
        return ledger.table(self.home, name, getattr(ledger, name.upper()))

    def staged(self, extract: str) -> pl.DataFrame:
        paths = sorted((self.home / "loads").glob(f"L*/staged/{extract}-*.parquet"))
        return (pl.concat([pl.read_parquet(p) for p in paths]) if paths
                else pl.DataFrame(schema=CONTRACTS[extract].staged_schema))

    def status(self) -> dict[str, dict]:
        return {s["batch_id"]: s for s in ledger.status(self.home)}


@pytest.fixture
def zone(tmp_path: Path) -> Landing:
    return Landing(tmp_path)
