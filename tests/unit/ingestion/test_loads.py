"""What becomes of rows: conservation, duplicates, corrections, releases, as-of, and loads that are interrupted."""

import datetime as dt
import io
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion import ledger, load, sealed
from ingestion.landing import pending_fingerprint
from ingestion.trace import trace
from tests.unit.ingestion.conftest import (
    CITIZEN_ID,
    CLINIC,
    CONTRACTS,
    COUNTY,
    HOSPITAL,
    MOBILE,
    OTHER_CLINIC,
    PRIVATE,
    TOWNSHIP,
    Landing,
    charge,
    institution,
    registration,
)


def staged_bytes(home: Path) -> dict[str, bytes]:
    names = ("batches", "files", "quarantine", "findings", "releases")
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.glob("loads/L*/**/*.parquet"))
            if p.parent.name == "staged" or p.stem in names}


def every_dialect(zone: Landing) -> None:
    for sender in (HOSPITAL, COUNTY, PRIVATE):
        zone.batch(sender, {"registration": [registration(sender, i) for i in range(30)],
                            "charge_line": [charge(sender, i) for i in range(60)]})
    zone.batch(TOWNSHIP, {"institution": [institution(TOWNSHIP), institution(CLINIC, TOWNSHIP)],
                          "charge_line": [charge(TOWNSHIP, i) for i in range(60)]}, received="2024-02-02T06:00:00+08:00")
    zone.workbook(CLINIC, {"registration": [registration(CLINIC, i) for i in range(10)]}, mtime="2024-02-03 06:00:00")


def test_every_dialect_says_the_same(zone):
    every_dialect(zone)
    zone.ingest()
    lines = zone.staged("charge_line")
    for code in (HOSPITAL, COUNTY, PRIVATE, TOWNSHIP):
        own = lines.filter(institution_code=code).sort("charge_id")
        assert own["charge_id"].to_list() == [f"C{i:08d}" for i in range(60)]
        assert own["amount"].sum() == 60 * 7 and set(own["chrgitm_type"]) == {"09"} and set(own["chrgitm_lv"]) == {"02"}
        assert own["unit_price"].unique().to_list() == [pl.Series([3.5]).cast(pl.Decimal(12, 4))[0]]
        assert own["occurred_at"][3] == dt.datetime(2024, 1, 4, 9, 3)
    by_person = zone.staged("registration").group_by("institution_code").agg(pl.col("person_key").n_unique())
    assert by_person["person_key"].n_unique() == 2      # 28 of the hospitals, 10 of the clinic: the same people
    assert zone.staged("registration")["person_key"].n_unique() == 28


def test_the_staged_files_are_what_the_contract_says(zone):
    every_dialect(zone)
    zone.ingest()
    for path in zone.home.glob("loads/*/staged/*.parquet"):
        contract = CONTRACTS[path.stem.rsplit("-", 1)[0]]
        frame = pl.read_parquet(path)
        assert dict(frame.schema) == contract.staged_schema
        if contract.event_date:
            assert frame[contract.event_date].cast(pl.Date, strict=False).is_sorted()
        assert frame.select(pl.col(r"^_(batch_id|file_digest|line_no|received_at|row_hash|load_id)$")).null_count().row(0) == (0,) * 6


def test_the_same_landing_zone_gives_the_same_bytes(zone, tmp_path):
    every_dialect(zone)
    zone.ingest()
    first = staged_bytes(zone.home)
    zone.home = tmp_path / "again"
    zone.ingest()
    assert staged_bytes(zone.home) == first and len(first) >= 8


def test_a_second_run_does_nothing(zone):
    every_dialect(zone)
    assert pending_fingerprint(zone.home, zone.landing) is not None
    zone.ingest()
    before = staged_bytes(zone.home)
    summary = zone.ingest()
    assert summary.load_ids == [] and summary.known == 5 and staged_bytes(zone.home) == before
    assert pending_fingerprint(zone.home, zone.landing) is None


def test_small_loads_hold_the_same_rows_as_one(zone, tmp_path):
    every_dialect(zone)
    zone.ingest()
    one = zone.staged("charge_line").drop("_load_id").sort("_batch_id", "_line_no")
    zone.home = tmp_path / "many"
    assert len(zone.ingest(max_load_bytes=5000).load_ids) >= 4
    many = zone.staged("charge_line").drop("_load_id").sort("_batch_id", "_line_no")
    assert one.equals(many) and ledger.conservation(zone.home) == []


def test_as_of_takes_only_what_had_been_received(zone, tmp_path):
    every_dialect(zone)
    assert zone.ingest(as_of=dt.datetime(2024, 2, 1, 5)).load_ids == []
    assert zone.ingest(as_of=dt.datetime(2024, 2, 1, 6)).accepted == 3
    assert zone.ingest(as_of=dt.datetime(2024, 2, 2, 6)).accepted == 1
    assert zone.ingest().accepted == 1


def test_a_file_that_is_still_growing_waits(zone):
    zone.workbook(CLINIC, {"registration": [registration(CLINIC, 1)]}, mtime="2024-02-03 06:00:00")
    summary = zone.ingest(now=dt.datetime(2024, 2, 3, 6, 0, 30), quiet_seconds=60)
    assert summary.load_ids == [] and len(summary.waiting) == 1
    assert zone.ingest(now=dt.datetime(2024, 2, 3, 6, 1), quiet_seconds=60).accepted == 1


# --- duplicates and corrections ---------------------------------------------------------------------------------------

def test_the_same_batch_again_changes_nothing(zone):
    folder = zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, i) for i in range(20)]})
    zone.ingest()
    os.utime(folder / "manifest.json")                      # touched: it is looked at again, and recognised
    assert zone.ingest().load_ids == []


def test_the_same_files_under_a_new_batch_id_are_duplicates(zone):
    rows = [charge(HOSPITAL, i) for i in range(20)]
    zone.batch(HOSPITAL, {"charge_line": rows}, 1)
    zone.ingest()
    zone.batch(HOSPITAL, {"charge_line": rows}, 2)
    summary = zone.ingest()
    assert (summary.duplicate, summary.rows_duplicate, summary.rows_staged) == (1, 20, 0)
    assert zone.status()[f"{HOSPITAL}-202401-02"]["status"] == "duplicate"


def test_repeated_rows_are_counted_once_wherever_they_repeat(zone):
    rows = [charge(HOSPITAL, i) for i in range(20)]
    zone.batch(HOSPITAL, {"charge_line": [*rows, rows[3]]}, 1)
    zone.batch(HOSPITAL, {"charge_line": rows[:5] + [charge(HOSPITAL, 50)]}, 2)
    first = zone.ingest()
    assert (first.rows_staged, first.rows_duplicate) == (21, 6)
    zone.batch(HOSPITAL, {"charge_line": rows[10:] + [charge(HOSPITAL, 51)]}, 3)
    second = zone.ingest()
    assert (second.rows_staged, second.rows_duplicate) == (1, 10)
    assert zone.staged("charge_line")["charge_id"].is_unique().all()


def test_a_correction_is_staged_beside_the_old_row_and_a_return_to_it_too(zone):
    for seq, name in enumerate(("甲", "乙", "甲", "甲"), 1):
        zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1, item_name=name),
                                              charge(HOSPITAL, 100 + seq)]}, seq,
                   received=f"2024-02-0{seq}T06:00:00+08:00")
    zone.ingest()
    own = zone.staged("charge_line").filter(charge_id="C00000001").sort("_received_at")
    assert own["item_name"].to_list() == ["甲", "乙", "甲"]
    assert zone.status()[f"{HOSPITAL}-202401-04"]["rows_duplicate"] == 1


def test_the_last_of_different_rows_with_one_key_wins_inside_a_batch(zone):
    rows = [charge(HOSPITAL, 1), charge(HOSPITAL, 2), charge(HOSPITAL, 1, item_name="乙"), charge(HOSPITAL, 1, item_name="丙")]
    zone.batch(HOSPITAL, {"charge_line": rows})
    summary = zone.ingest()
    assert (summary.rows_staged, summary.rows_quarantined) == (2, 2)
    assert zone.staged("charge_line").filter(charge_id="C00000001")["item_name"].item() == "丙"
    found = zone.table("findings")
    assert set(found["rule_id"]) == {"charge_line.key_conflict"} and sorted(found["line_no"]) == [2, 4]


def test_a_batch_may_tell_of_several_changes_of_one_record(zone):
    changes = [charge(HOSPITAL, 1, item_name="乙", source_updated_at="2024-01-30 10:00:00", op_type="U"),
               charge(HOSPITAL, 1, item_name="甲", source_updated_at="2024-01-29 10:00:00"),
               charge(HOSPITAL, 1, item_name="乙", source_updated_at="2024-01-31 10:00:00", op_type="U")]
    zone.batch(HOSPITAL, {"charge_line": changes})
    summary = zone.ingest()
    assert (summary.rows_staged, summary.rows_quarantined, summary.rows_duplicate) == (2, 0, 1)
    own = zone.staged("charge_line").sort("_source_updated_at")
    assert own["item_name"].to_list() == ["甲", "乙"] and own["_line_no"].to_list() == [3, 2]


def test_a_corrected_row_releases_the_quarantined_one(zone):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1, chrgitm_type="99"), charge(HOSPITAL, 2, chrgitm_type="99")]}, 1)
    zone.ingest()
    assert ledger.open_quarantine(zone.home).height == 2
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]}, 2, received="2024-02-03T06:00:00+08:00")
    zone.ingest()
    assert ledger.open_quarantine(zone.home)["line_no"].to_list() == [3]
    assert zone.table("releases")["batch_id"].to_list() == [f"{HOSPITAL}-202401-02"]


def test_a_correction_in_the_same_load_releases_too_but_an_earlier_row_does_not(zone):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 2)]}, 1, received="2024-02-01T06:00:00+08:00")
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1, chrgitm_type="99"), charge(HOSPITAL, 2, chrgitm_type="99")]}, 2,
               received="2024-02-02T06:00:00+08:00")
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]}, 3, received="2024-02-03T06:00:00+08:00")
    zone.ingest()
    assert ledger.open_quarantine(zone.home)["line_no"].to_list() == [3]


def test_a_reused_batch_id_is_refused_unless_the_first_was(zone):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]}, folder="a", batch_id="B-1")
    zone.batch(COUNTY, {"charge_line": ("charge_line", b"")}, folder="a", batch_id="C-1")
    zone.ingest()
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 2)]}, folder="b", batch_id="B-1")
    zone.batch(COUNTY, {"charge_line": [charge(COUNTY, 1)]}, folder="b", batch_id="C-1")
    summary = zone.ingest()
    assert (summary.refused, summary.accepted) == (1, 1)
    assert zone.table("batches").filter(batch_id="B-1")["reason_code"].to_list() == [None, "batch_id_reused"]


def test_a_workbook_sent_again_under_its_name_is_a_new_batch(zone):
    zone.workbook(CLINIC, {"registration": [registration(CLINIC, 1, fee="10.00")]})
    zone.ingest()
    zone.workbook(CLINIC, {"registration": [registration(CLINIC, 1, fee="11.00")]}, mtime="2024-02-09 06:00:00")
    zone.ingest()
    assert sorted(zone.status()) == [f"{CLINIC}-202401-01", f"{CLINIC}-202401-02"]
    assert [str(f) for f in zone.staged("registration")["fee"]] == ["10.00", "11.00"]


def test_too_many_bad_rows_refuse_the_batch_whole(zone):
    rows = [charge(HOSPITAL, i, chrgitm_type="99" if i < 25 else "09") for i in range(60)]
    zone.batch(HOSPITAL, {"charge_line": rows})
    zone.batch(COUNTY, {"charge_line": [charge(COUNTY, i) for i in range(60)]})
    summary = zone.ingest(refusal_share=0.4)
    assert (summary.refused, summary.rows_staged, summary.rows_quarantined) == (1, 60, 60)
    record = zone.status()[f"{HOSPITAL}-202401-01"]
    assert record["reason_code"] == "bad_share" and "25 of 60" in record["reason_en"] and "charge_line (25)" in record["reason_en"]
    assert zone.table("findings").height == 25 and ledger.conservation(zone.home) == []


def test_unknown_op_types_and_times_are_named(zone):
    rows = [charge(HOSPITAL, 1, op_type="X"), charge(HOSPITAL, 2, source_updated_at="tomorrow"),
            charge(HOSPITAL, 3, op_type="D", source_updated_at="2024-01-31 10:00:00"), charge(HOSPITAL, 4)]
    zone.batch(HOSPITAL, {"charge_line": rows})
    zone.ingest()
    assert sorted(zone.table("findings")["rule_id"]) == ["charge_line.op_type", "charge_line.source_updated_at"]
    left = zone.staged("charge_line").sort("charge_id").select("_op_type", "_source_updated_at").rows()
    assert left == [("D", dt.datetime(2024, 1, 31, 10)), ("I", dt.datetime(2024, 2, 1, 6))]


ROWS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["good", "other", "bad code", "wide", "foreign"])), max_size=25)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(ROWS, min_size=1, max_size=4), cut=st.integers(0, 3))
def test_no_row_is_lost_or_counted_twice(tmp_path_factory, batches, cut):
    zone = Landing(tmp_path_factory.mktemp("county"))
    kinds = {"good": {}, "other": {"item_name": "乙"}, "bad code": {"chrgitm_type": "77"}, "wide": {},
             "foreign": {"institution_code": COUNTY}}
    sent = 0
    for seq, rows in enumerate(batches, 1):
        lines = zone.encode("charge_line", [charge(HOSPITAL, n, **kinds[kind]) for n, kind in rows], "canonical").split(b"\n")
        lines[1:-1] = [line + b",x" if kind == "wide" else line for line, (_, kind) in zip(lines[1:-1], rows, strict=True)]
        zone.batch(HOSPITAL, {"f.csv": ("charge_line", b"\n".join(lines))}, seq, received=f"2024-02-0{seq}T06:00:00+08:00")
        sent += len(rows)
        if seq == cut:
            zone.ingest(refusal_rows=10)
    zone.ingest(refusal_rows=10)
    assert ledger.conservation(zone.home) == []
    totals = zone.table("batches").select("rows_received", "rows_staged", "rows_quarantined", "rows_duplicate").sum().row(0)
    assert totals[0] == sum(totals[1:])
    refused = zone.table("batches").filter(status="refused")
    structure = refused.filter(reason_code="structure").height
    assert totals[0] == sent or structure
    staged = zone.staged("charge_line").sort("_received_at", "_line_no")
    repeated = staged.filter((pl.col("_row_hash") == pl.col("_row_hash").shift(1)).over("charge_id"))
    assert repeated.height == 0


# --- personal data ----------------------------------------------------------------------------------------------------

def test_no_identity_leaves_the_door(zone):
    leaky = {"id_number": CITIZEN_ID, "person_name": "欧阳某某"}
    zone.batch(HOSPITAL, {
        "registration": [registration(HOSPITAL, 1, **leaky), registration(HOSPITAL, 2, status=CITIZEN_ID, **leaky),
                         registration(HOSPITAL, 3, id_number=CITIZEN_ID[:-1] + "5X", person_name="欧阳某某"),
                         registration(HOSPITAL, 4, fee=MOBILE + "元", **leaky)],
        "charge_line": [charge(HOSPITAL, 1, item_name=f"联系{MOBILE}或{CITIZEN_ID}"),
                        charge(HOSPITAL, 2, chrgitm_type=CITIZEN_ID)]})
    zone.batch(COUNTY, {"registration": [registration(COUNTY, i, sex_code=CITIZEN_ID, **leaky) for i in range(40)]})
    zone.ingest()
    assert zone.table("quarantine").height >= 3 and zone.status()[f"{COUNTY}-202401-01"]["status"] == "refused"
    for path in zone.home.glob("loads/**/*.parquet"):
        for column in pl.read_parquet(path).iter_columns():
            if column.dtype == pl.String:
                text = "\n".join(column.drop_nulls())
                assert CITIZEN_ID not in text and MOBILE not in text and "欧阳" not in text, (path.name, column.name)
                assert not re.search(r"(?<![0-9A-Za-z])1[3-9][0-9]{9}(?![0-9A-Za-z])", text), (path.name, column.name)
    for path in zone.home.rglob("*"):
        if path.is_file():
            assert CITIZEN_ID.encode() not in path.read_bytes() and "欧阳".encode() not in path.read_bytes(), path.name


def test_the_vault_opens_with_its_key_and_holds_what_is_new_only(zone):
    zone.batch(HOSPITAL, {"registration": [registration(HOSPITAL, i) for i in range(40)]}, 1)
    zone.ingest()
    zone.batch(HOSPITAL, {"registration": [registration(HOSPITAL, i, fee="1.00") for i in range(41)]}, 2)
    zone.ingest()

    def opened(load_id: str) -> pl.DataFrame:
        raw = sealed.unseal_bytes(zone.home / "loads" / load_id / "vault.bin", zone.keys.vault, f"vault|{load_id}")
        return pl.read_parquet(io.BytesIO(raw))

    first, second = opened("L000001"), opened("L000002")
    assert {"id_number", "person_name", "patient_local_id"} == set(first["kind"]) and "测试7" in set(first["clear"])
    assert set(second["clear"]) >= {"测试40", "P0040"}
    assert second.join(first, on=["pseudonym", "kind", "clear"], how="semi").height == 0


def test_a_file_comes_back_from_the_archive_as_it_was_sent(zone):
    folder = zone.batch(COUNTY, {"charge_line": [charge(COUNTY, i) for i in range(10)]})
    sent = next(p for p in folder.iterdir() if p.suffix == ".csv").read_bytes()
    zone.ingest()
    digest = zone.table("files")["file_digest"].item()
    assert sealed.read_archived(zone.home, digest, zone.keys.vault) == sent


# --- interruptions ----------------------------------------------------------------------------------------------------

POINTS = ["_open", "_judge", "_refuse_by_share", "_stage", "_write_ledger", "_write_vault", "_archive"]


@pytest.mark.parametrize("point", [*POINTS, "rename"])
def test_interrupted_anywhere_and_run_again(zone, tmp_path, monkeypatch, point):
    every_dialect(zone)
    zone.ingest(max_load_bytes=20_000)
    undisturbed = staged_bytes(zone.home)
    zone.home = tmp_path / "disturbed"

    class Cut(BaseException):
        pass

    calls = {"n": 0}

    def cut_at(original):
        def run(*args, **kwargs):
            calls["n"] += 1
            result = original(*args, **kwargs) if point != "rename" else None
            if calls["n"] == 2:                              # in the second load: the first is committed
                raise Cut
            return result if point != "rename" else original(*args, **kwargs)
        return run

    with monkeypatch.context() as patch:
        if point == "rename":
            patch.setattr(load.os, "rename", cut_at(os.rename))
        else:
            patch.setattr(load._Load, point, cut_at(getattr(load._Load, point)))
        with pytest.raises(Cut):
            zone.ingest(max_load_bytes=20_000)
    assert ledger.load_ids(zone.home) == ["L000001"] and ledger.conservation(zone.home) == []
    zone.ingest(max_load_bytes=20_000)
    assert staged_bytes(zone.home) == undisturbed and not list((zone.home / "loads").glob(".tmp-*"))


def test_killed_for_real_and_run_again(zone, tmp_path):
    for sender in (HOSPITAL, COUNTY, PRIVATE):
        for seq in (1, 2):
            zone.batch(sender, {"charge_line": [charge(sender, 10_000 * seq + i) for i in range(1500)]}, seq)
    zone.ingest(max_load_bytes=230_000)
    undisturbed = staged_bytes(zone.home)
    zone.home = tmp_path / "killed"
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from ingestion.identity import KeyRing
        from ingestion.load import ingest
        home, landing, keys = map(Path, sys.argv[1:])
        ingest(home, landing, KeyRing.load(keys), max_load_bytes=230_000)
    """)
    command = [sys.executable, "-c", code, str(zone.home), str(zone.landing), str(zone.key_dir)]
    process = subprocess.Popen(command, cwd=Path(load.__file__).parents[1])
    while process.poll() is None and not any((zone.home / "loads").glob(".tmp-*/staged/*")):
        pass
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command, cwd=Path(load.__file__).parents[1], check=True)
    assert staged_bytes(zone.home) == undisturbed


@pytest.mark.parametrize("when", ["before reading", "before archiving", "before archiving, with other content"])
def test_a_batch_that_is_taken_away_waits_and_harms_nothing(zone, monkeypatch, when):
    folder = zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, i) for i in range(20)]})
    zone.batch(COUNTY, {"charge_line": [charge(COUNTY, i) for i in range(20)]})
    file = next(p for p in folder.iterdir() if p.suffix == ".csv")
    raw = file.read_bytes()
    step = "_open" if when == "before reading" else "_archive"
    original = getattr(load._Load, step)

    def disturbed(self):
        if len(self.batches) == 2:
            file.write_bytes(b"other") if "content" in when else file.unlink()
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(load._Load, step, disturbed)
        summary = zone.ingest()
    assert (summary.accepted, summary.waiting) == (1, (f"{HOSPITAL}/{folder.name}",))
    file.write_bytes(raw)
    assert zone.ingest().accepted == 1
    assert zone.staged("charge_line").height == 40 and ledger.conservation(zone.home) == []


def test_one_writer_at_a_time(zone):
    with load._only_writer(zone.home), pytest.raises(RuntimeError, match="another ingestion"):
        zone.ingest()


def test_a_lost_row_stops_the_load(zone, monkeypatch):
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, i) for i in range(20)]})
    original = load._Load._one_version
    monkeypatch.setattr(load._Load, "_one_version",
                        lambda self, good, contract: (lambda g, c, d: (g[:-1], c, d))(*original(self, good, contract)))
    with pytest.raises(load.ConservationBroken, match="20 rows received, 19 staged"):
        zone.ingest()
    assert ledger.load_ids(zone.home) == []


def test_clinics_of_other_townships_are_not_in_charge(zone):
    zone.batch(TOWNSHIP, {"institution": [institution(TOWNSHIP), institution(CLINIC, TOWNSHIP),
                                          institution(OTHER_CLINIC, HOSPITAL)]})
    zone.ingest()
    assert set(zone.staged("institution")["institution_code"]) == {TOWNSHIP, CLINIC}


# --- configuration and lineage ----------------------------------------------------------------------------------------

def test_a_refused_batch_is_taken_up_again_when_its_sender_is_registered(zone):
    senders = (zone.landing / "senders.csv").read_text("utf-8")
    (zone.landing / "senders.csv").write_text(senders.replace(HOSPITAL, "X" * 22), "utf-8")
    zone.batch(HOSPITAL, {"charge_line": [charge(HOSPITAL, 1)]})
    zone.batch(COUNTY, {"charge_line": ("charge_line", b"")})
    zone.workbook(CLINIC, {"charge_line": [charge(CLINIC, 1)]}, name="随便.xlsx")
    assert zone.ingest().refused == 3
    assert zone.ingest().load_ids == []
    (zone.landing / "senders.csv").write_text(senders, "utf-8")
    summary = zone.ingest()
    assert (summary.accepted, summary.refused) == (1, 0)
    assert zone.ingest().load_ids == [] and ledger.conservation(zone.home) == []


def test_a_row_leads_back_to_its_line(zone):
    every_dialect(zone)
    zone.ingest()
    for extract in ("registration", "charge_line"):
        for row in zone.staged(extract).unique("institution_code").iter_rows(named=True):
            line = trace(zone.home, zone.keys, row["_file_digest"], row["_line_no"], extract)
            key = "registration_id" if extract == "registration" else "charge_id"
            assert line.fields[key] == row[key] and line.sender == row["institution_code"]
            assert extract == "charge_line" or line.fields["id_number"] == "***(18)"
    with pytest.raises(LookupError):
        trace(zone.home, zone.keys, row["_file_digest"], 1)
