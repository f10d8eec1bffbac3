"""Every kind of wrong file is refused with its reason, and harms nothing else."""

import datetime as dt
import gzip
import io
import json
import os
import struct
import zipfile

import polars as pl
import pytest

from ingestion import ledger
from ingestion.readers import BLOCK, Limits
from tests.unit.ingestion.conftest import (
    CITIZEN_ID,
    CLINIC,
    COUNTY,
    HOSPITAL,
    PRIVATE,
    SENDERS,
    TOWNSHIP,
    charge,
    institution,
    registration,
    to_vendor,
)

ROWS = 40


def good(zone, sender: str) -> bytes:
    return zone.encode("charge_line", [charge(sender, i) for i in range(ROWS)], SENDERS[sender])


def after(zone, sender: str, raw: bytes, extract: str = "charge_line", **options) -> dict:
    """Take in one wrong file beside a right batch of another sender, and say what became of the wrong one."""
    right = HOSPITAL if sender != HOSPITAL else COUNTY
    zone.batch(right, {"charge_line": [charge(right, i) for i in range(ROWS)]})
    zone.batch(sender, {"f.dat": (extract, raw)})
    summary = zone.ingest(**options)
    assert summary.accepted >= 1 and zone.staged("charge_line").filter(institution_code=right).height == ROWS
    assert ledger.conservation(zone.home) == []
    return zone.status()[f"{sender}-202401-01"]


def long_gzip(raw: bytes) -> bytes:
    header, line = gzip.decompress(raw).split(b"\n")[:2]
    return gzip.compress(header + b"\n" + (line + b"\n") * 300_000)


def noise(n: int) -> bytes:
    return b"".join(struct.pack("<I", (i * 2654435761) & 0xFFFFFFFF) for i in range(n // 4))


@pytest.mark.parametrize("sender, code, make", [
    pytest.param(TOWNSHIP, "gzip_truncated", lambda raw: raw[:-20], id="truncated gzip"),
    pytest.param(TOWNSHIP, "gzip_damaged", lambda raw: raw[:40] + b"\xff\xff\xff\xff" + raw[44:], id="damaged gzip"),
    pytest.param(TOWNSHIP, "gzip_damaged", lambda raw: gzip.decompress(raw), id="not packed"),
    pytest.param(TOWNSHIP, "zip_bomb", long_gzip, id="zip bomb"),
    pytest.param(HOSPITAL, "empty_file", lambda raw: b"", id="no bytes"),
    pytest.param(HOSPITAL, "empty_file", lambda raw: b"\n\n\n", id="blank lines only"),
    pytest.param(HOSPITAL, "not_text", lambda raw: noise(200_000), id="binary rubbish"),
    pytest.param(HOSPITAL, "not_text", lambda raw: gzip.compress(raw), id="packed where text is agreed"),
    pytest.param(HOSPITAL, "not_text", lambda raw: raw.decode().encode("utf-16"), id="utf-16"),
    pytest.param(HOSPITAL, "not_text", lambda raw: raw[:200] + b"\0" + raw[200:], id="a NUL"),
    pytest.param(HOSPITAL, "wrong_encoding", lambda raw: raw.decode().encode("gb18030"), id="gb18030 where utf-8 is agreed"),
    pytest.param(COUNTY, "wrong_encoding", lambda raw: raw.decode("gb18030").encode(), id="utf-8 where gb18030 is agreed"),
    pytest.param(HOSPITAL, "too_many_columns", lambda raw: b",".join(b"c%d" % i for i in range(100_000)) + b"\n", id="columns"),
    pytest.param(HOSPITAL, "line_too_long", lambda raw: raw + b"x" * (3 << 20), id="an endless line"),
    pytest.param(HOSPITAL, "headers", lambda raw: raw.replace(b"charge_id", b"chargeid", 1), id="a header renamed"),
    pytest.param(HOSPITAL, "header_twice", lambda raw: raw.replace(b"charge_id", b"stay_id", 1), id="a header twice"),
    pytest.param(HOSPITAL, "structure", lambda raw: raw.replace(b",2,3.5", b",2,3.5,,"), id="every line too wide"),
    pytest.param(HOSPITAL, "structure", lambda raw: raw + b"x\n" * 500_000, id="a long tail of rubbish"),
    pytest.param(PRIVATE, "parquet_damaged", lambda raw: raw[:-30], id="truncated parquet"),
    pytest.param(PRIVATE, "parquet_damaged", lambda raw: b"PAR1" + noise(5000) + b"PAR1", id="rubbish as parquet"),
    pytest.param(PRIVATE, "parquet_damaged", lambda raw: raw[:4] + noise(len(raw) // 3) + raw[4 + len(raw) // 3 // 4 * 4:],
                 id="parquet with damaged pages"),
])
def test_a_wrong_file_is_refused_with_its_reason(zone, sender, code, make):
    record = after(zone, sender, make(good(zone, sender)))
    assert (record["status"], record["reason_code"]) == ("refused", code), record["reason_en"]
    assert record["rows_staged"] == 0 and record["rows_received"] == record["rows_quarantined"]
    assert "f.dat" in record["reason_en"] and record["reason_zh"] != record["reason_en"]


def test_a_mistaken_header_is_named_with_what_was_expected(zone):
    record = after(zone, HOSPITAL, good(zone, HOSPITAL).replace(b"charge_id", b"chargeid", 1))
    assert "'chargeid' is not mapped (nearest expected: 'charge_id')" in record["reason_en"]
    assert "'charge_id' is missing" in record["reason_en"] and "缺少表头“charge_id”(费用流水号)" in record["reason_zh"]


def test_wrong_encoding_names_byte_and_line(zone):
    text = good(zone, HOSPITAL).decode()
    raw = text.encode("gb18030")
    record = after(zone, HOSPITAL, raw)
    with pytest.raises(UnicodeDecodeError) as first:
        raw.decode()
    at = first.value.start
    assert f"byte {at}" in record["reason_en"] and "line 2" in record["reason_en"]


def test_a_bomb_inside_the_absolute_limit(zone):
    record = after(zone, TOWNSHIP, good(zone, TOWNSHIP), limits=Limits(max_unpacked_bytes=1000))
    assert record["reason_code"] == "zip_bomb"


def test_content_other_than_the_manifest_says(zone):
    folder = zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, i) for i in range(ROWS)]})
    file = next(p for p in folder.iterdir() if p.suffix == ".csv")
    file.write_bytes(file.read_bytes().replace(b"7.00", b"9.00", 1))
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["files"][0]["rows"] = ROWS
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    zone.ingest()
    record = zone.status()[f"{HOSPITAL}-202401-01"]
    assert (record["reason_code"], record["rows_received"], record["rows_quarantined"]) == ("digest", ROWS, ROWS)
    assert zone.staged("charge_line").height == 0 and not list((zone.home / "archive").rglob("*.enc"))


@pytest.mark.parametrize("manifest, code", [
    ({"schema_version": "9.0"}, "schema_version"), ({"sender": COUNTY}, "manifest"), ({"period": None}, "manifest"),
    ({"files": []}, "manifest"), ({"files": [{"name": "../senders.csv", "extract": "charge_line"}]}, "manifest"),
    ({"files": [{"name": "nowhere.csv", "extract": "charge_line"}]}, "file_missing"),
    ({"files": [{"name": "charge_line_202401.csv", "extract": "payroll"}]}, "extract_unknown"),
])
def test_a_wrong_manifest(zone, manifest, code):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]}, **manifest)
    zone.batch(COUNTY, {"charge_line": [charge(COUNTY, 1)]})
    assert zone.ingest().accepted == 1
    assert zone.status()[f"{HOSPITAL}-202401-01"]["reason_code"] == code


def test_rubbish_as_manifest(zone):
    folder = zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    (folder / "manifest.json").write_bytes(b"{\xff not json")
    zone.ingest()
    assert zone.status()[folder.name]["reason_code"] == "manifest"


def test_a_sender_that_nobody_registered(zone):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    (zone.landing / HOSPITAL).rename(zone.landing / "STRANGER")
    zone.workbook(CLINIC, {"charge_line": [charge(CLINIC, 1)]})
    (zone.landing / CLINIC).rename(zone.landing / "NOBODY")
    summary = zone.ingest()
    assert summary.refused == 2 and set(zone.table("batches")["reason_code"]) == {"unknown_sender"}


def test_an_institution_does_not_send_what_an_authority_sends(zone):
    record = after(zone, HOSPITAL, b"x\n1\n", extract="population")
    assert record["reason_code"] == "not_entitled"


def test_rows_of_others_are_kept_back_but_a_clinic_in_charge_may_send_through_its_township(zone):
    rows = [charge(TOWNSHIP, 1), charge(CLINIC, 1), charge(HOSPITAL, 1)]
    zone.batch(TOWNSHIP, {"institution": [institution(TOWNSHIP), institution(CLINIC, TOWNSHIP)], "charge_line": rows})
    zone.ingest()
    assert set(zone.staged("charge_line")["institution_code"]) == {TOWNSHIP, CLINIC}
    assert zone.table("findings")["rule_id"].to_list() == ["charge_line.sender"]
    assert zone.table("findings")["line_no"].to_list() == [4]


# --- lines ------------------------------------------------------------------------------------------------------------

def lines_of(zone, raw: bytes) -> tuple[list[int], list[tuple[int, str]]]:
    """(lines staged, (line, rule) of the findings) of one canonical file."""
    zone.batch(HOSPITAL, {"f.csv": ("charge_line", raw)})
    zone.ingest()
    assert ledger.conservation(zone.home) == []
    staged = zone.staged("charge_line")["_line_no"].sort().to_list()
    return staged, zone.table("findings").select("line_no", "rule_id").sort("line_no").rows()


def edited(zone, line: int, change, n: int = 60) -> bytes:
    lines = zone.encode("charge_line", [charge(HOSPITAL, i) for i in range(n)], "canonical").split(b"\n")
    lines[line - 1] = change(lines[line - 1])
    return b"\n".join(lines)


@pytest.mark.parametrize("change", [
    pytest.param(lambda line: line + b",extra", id="too long"),
    pytest.param(lambda line: line[:60], id="too short"),
    pytest.param(lambda line: line.replace("头孢".encode(), "头".encode() + b"\xb0"), id="undecodable"),
    pytest.param(lambda line: line.replace("头孢".encode(), '"头孢'.encode()), id="a stray quote at a field's start"),
])
def test_a_broken_line_costs_that_line(zone, change):
    staged, found = lines_of(zone, edited(zone, 7, change))
    assert staged == [n for n in range(2, 62) if n != 7] and found == [(7, "charge_line.structure")]
    assert zone.table("quarantine")["row_json"].to_list() == [None]


@pytest.mark.parametrize("change", [
    pytest.param(lambda line: line.replace("头孢".encode(), '头"孢'.encode()), id="a quote inside a field"),
    pytest.param(lambda line: line.replace("头孢克肟".encode(), '"头孢,克肟"'.encode()), id="a quoted delimiter"),
    pytest.param(lambda line: line.replace("头孢克肟".encode(), '"头孢""克肟"'.encode()), id="a doubled quote"),
    pytest.param(lambda line: line + b"\r", id="one CRLF line"),
])
def test_a_line_that_is_unusual_but_whole_passes(zone, change):
    staged, found = lines_of(zone, edited(zone, 7, change))
    assert staged == list(range(2, 62)) and found == []
    name = zone.staged("charge_line").filter(_line_no=7)["item_name"].item()
    assert "头" in name and "肟" in name and not name.startswith('"')


def test_a_field_over_several_lines(zone):
    staged, found = lines_of(zone, edited(zone, 7, lambda line: line.replace("头孢".encode(), '"头\r\n孢'.encode())
                                          .replace("克肟".encode(), '克肟"'.encode())))
    assert staged == [2, 3, 4, 5, 6, 7, *range(9, 63)] and found == []
    assert zone.staged("charge_line").filter(_line_no=7)["item_name"].item() == "头 孢克肟"


@pytest.mark.parametrize("change", [
    pytest.param(lambda raw: b"\xef\xbb\xbf" + raw, id="byte-order mark"),
    pytest.param(lambda raw: raw.replace(b"\n", b"\r\n"), id="CRLF"),
    pytest.param(lambda raw: raw.rstrip(b"\n"), id="no last line end"),
])
def test_harmless_variations(zone, change):
    staged, found = lines_of(zone, change(edited(zone, 2, lambda line: line)))
    assert staged == list(range(2, 62)) and found == []


def test_blank_lines_keep_the_line_numbers(zone):
    staged, found = lines_of(zone, edited(zone, 7, lambda line: b"\n\n" + line))
    assert staged == [2, 3, 4, 5, 6, *range(9, 64)] and found == []


def test_a_file_across_blocks_keeps_its_lines(zone):
    rows = [charge(HOSPITAL, i, item_name="名" * 100) for i in range(6000)]
    raw = zone.encode("charge_line", rows, "canonical")
    assert len(raw) > 2 * BLOCK
    bad = raw.split(b"\n")
    bad[1500] += b",x"
    staged, found = lines_of(zone, b"\n".join(bad))
    assert len(staged) == 5999 and found == [(1501, "charge_line.structure")]
    ids = zone.staged("charge_line").sort("_line_no").select("_line_no", "charge_id").rows()
    assert all(int(c[1:]) == n - 2 for n, c in ids)


# --- workbooks --------------------------------------------------------------------------------------------------------

def clinic(zone, edit=None, rows=20, **options) -> dict:
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    zone.workbook(CLINIC, {"charge_line": [charge(CLINIC, i) for i in range(rows)]}, edit=edit)
    assert zone.ingest(**options).accepted >= 1
    return zone.status()[f"{CLINIC}-202401-01"]


def test_a_formula_is_named_with_its_cell(zone):
    record = clinic(zone, lambda book: book.worksheets()[0].write_formula(4, 3, "=1+1"))
    assert record["reason_code"] == "formula"
    assert "收费明细" in record["reason_en"] and "cell D5" in record["reason_en"]


def test_a_sheet_that_is_not_agreed(zone):
    def edit(book):
        book.add_worksheet("收费明细2").write(0, 0, "x")
    assert clinic(zone, edit)["reason_code"] == "sheet_unknown"


def test_instructions_and_empty_sheets_are_passed_over(zone):
    def edit(book):
        book.add_worksheet("填写说明").write(0, 0, "请逐行填写")
        book.add_worksheet("Sheet9")
    assert clinic(zone, edit)["status"] == "accepted"


def test_workbook_rows_have_their_own_numbers_and_errors(zone):
    def edit(book):
        book.worksheets()[0].write(5, 40, "旁注")
    record = clinic(zone, edit)
    assert (record["rows_staged"], record["rows_quarantined"]) == (19, 1)
    staged = zone.staged("charge_line").filter(institution_code=CLINIC)
    assert sorted(staged["_line_no"]) == [n for n in range(2, 22) if n != 6] and set(staged["_sheet"]) == {"收费明细"}
    assert zone.table("findings")["line_no"].to_list() == [6]


def test_no_workbook_at_all(zone):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    folder = zone.landing / CLINIC
    folder.mkdir()
    (folder / "上报工作簿_202401.xlsx").write_bytes(b"PK\x03\x04" + noise(4000))
    (folder / "上报工作簿_202402.xlsx").write_bytes(noise(4000))
    zone.ingest()
    assert set(zone.table("batches").filter(sender=CLINIC)["reason_code"]) == {"not_workbook"}


def test_a_workbook_bomb(zone):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    path = zone.workbook(CLINIC, {"charge_line": [charge(CLINIC, 1)]})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/media/image1.bin", b"0" * (30 << 20))
    zone.ingest()
    assert zone.status()[f"{CLINIC}-202401-01"]["reason_code"] == "zip_bomb"


def test_a_workbook_under_another_name(zone):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    zone.workbook(CLINIC, {"charge_line": [charge(CLINIC, 1)]}, name="随便.xlsx")
    zone.ingest()
    assert zone.table("batches").filter(sender=CLINIC)["reason_code"].to_list() == ["file_name"]


def test_unfinished_files_are_left_alone(zone):
    (zone.landing / CLINIC).mkdir()
    for name in ("~$上报工作簿_202401.xlsx", "上报工作簿_202401.xlsx.part", ".hidden"):
        (zone.landing / CLINIC / name).write_bytes(b"x")
    folder = zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    os.rename(folder / "manifest.json", folder / "manifest.later")
    summary = zone.ingest()
    assert summary.load_ids == [] and summary.waiting == (f"{HOSPITAL}/{folder.name}",)


def test_typed_cells_read_like_text(zone):
    def edit(book):
        sheet, day = book.worksheets()[0], book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_datetime(1, headers.index("出生日期"), dt.datetime(1980, 1, 1), day)
        sheet.write_number(1, headers.index("挂号诊查费"), 10)
        sheet.write_datetime(1, headers.index("挂号时间"), dt.datetime(2024, 1, 2, 8, 1), day)

    headers = to_vendor([], "registration", "village_workbook", dt.date(2024, 1, 1))[0]
    zone.workbook(CLINIC, {"registration": [registration(CLINIC, 1)]}, edit=edit)
    zone.workbook(CLINIC, {"registration": [registration(CLINIC, 1)]}, name="上报工作簿_202402.xlsx")
    summary = zone.ingest()
    assert (summary.rows_staged, summary.rows_duplicate) == (1, 1)


# --- typed Parquet ----------------------------------------------------------------------------------------------------

def test_typed_parquet_reads_like_text(zone):
    text = pl.read_parquet(io.BytesIO(good(zone, PRIVATE)))
    typed = text.with_columns(
        pl.col("amount", "quantity", "unitPrice").cast(pl.Decimal(12, 4)),
        pl.col("occurredAt").str.to_datetime("%Y-%m-%d %H:%M:%S"),
        pl.col("chargedAt").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.replace_time_zone("Asia/Shanghai").dt.convert_time_zone("UTC"))
    buffer = io.BytesIO()
    typed.write_parquet(buffer)
    zone.batch(PRIVATE, {"a.parquet": ("charge_line", good(zone, PRIVATE))})
    zone.batch(PRIVATE, {"b.parquet": ("charge_line", buffer.getvalue())}, seq=2)
    summary = zone.ingest()
    assert (summary.rows_staged, summary.rows_duplicate) == (ROWS, ROWS)


def test_nothing_personal_is_told_of_a_wrong_file(zone):
    rows = [registration(HOSPITAL, i, id_number=CITIZEN_ID, person_name="某某某") for i in range(30)]
    raw = zone.encode("registration", rows, "canonical").replace(b",01,", b",01,,")
    zone.batch(HOSPITAL, {"f.csv": ("registration", raw)})
    zone.ingest()
    record = zone.status()[f"{HOSPITAL}-202401-01"]
    assert record["status"] == "refused" and not {CITIZEN_ID, "某某某"} & set(json.dumps(record, default=str).split())
    assert CITIZEN_ID not in json.dumps(record, default=str)
