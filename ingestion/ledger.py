"""What has been taken in: the committed loads of a home, and questions about them.

Put here: the schemas of a load's tables, reading them, the conservation law, what is still in quarantine.
Put elsewhere: writing a load (`load.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from quality.checks import CHECKS  # noqa: F401  the schema of checks.parquet, beside the others

BATCHES = {
    "load_id": pl.String, "batch_id": pl.String, "sender": pl.String, "institution_code": pl.String,
    "profile": pl.String, "source_system": pl.String, "schema_version": pl.String, "period_from": pl.Date,
    "period_to": pl.Date, "extracted_at": pl.Datetime("us"), "received_at": pl.Datetime("us"), "status": pl.String,
    "reason_code": pl.String, "reason_zh": pl.String, "reason_en": pl.String, "rows_received": pl.Int64,
    "rows_staged": pl.Int64, "rows_quarantined": pl.Int64, "rows_duplicate": pl.Int64, "file_count": pl.Int64,
    "bytes": pl.Int64, "digest": pl.String, "landing_path": pl.String,
}
FILES = {
    "load_id": pl.String, "batch_id": pl.String, "sender": pl.String, "institution_code": pl.String,
    "extract": pl.String, "file_name": pl.String, "file_digest": pl.String, "sheet": pl.String, "bytes": pl.Int64,
    "physical_lines": pl.Int64, "rows_received": pl.Int64, "rows_staged": pl.Int64, "rows_quarantined": pl.Int64,
    "rows_duplicate": pl.Int64, "status": pl.String, "reason_code": pl.String, "reason_zh": pl.String,
    "reason_en": pl.String,
}
ROW = {
    "load_id": pl.String, "batch_id": pl.String, "sender": pl.String, "institution_code": pl.String,
    "extract": pl.String, "file_name": pl.String, "file_digest": pl.String, "sheet": pl.String, "line_no": pl.Int64,
}
QUARANTINE = ROW | {"key_hash": pl.UInt64, "row_json": pl.String, "event_date": pl.Date}
FINDINGS = ROW | {"rule_id": pl.String, "severity": pl.String, "column": pl.String, "expected_zh": pl.String,
                  "expected_en": pl.String, "found": pl.String, "event_date": pl.Date}
# by which an old batch is recognised from a directory listing, unread
LANDING = {"landing_path": pl.String, "size": pl.Int64, "mtime_ns": pl.Int64, "batch_id": pl.String, "digest": pl.String,
           "configuration": pl.String}
MENDED_BY_CONFIGURATION = frozenset({"unknown_sender", "unknown_profile", "headers", "no_header_map", "sheet_unknown",
                                     "extract_unknown", "file_name"})
# quarantined rows that a later row with the same key has replaced
RELEASES = {"extract": pl.String, "key_hash": pl.UInt64, "quarantine_load_id": pl.String,
            "load_id": pl.String, "batch_id": pl.String}


@dataclass(frozen=True)
class Known:
    """What the ledger already holds, so that the landing zone's look need not take it up again.

    `stamps` skips a batch unread, by its place, size and mtime; `digests` by its id and content. The value is the
    sender's configuration at the time when the batch was refused for what a configuration can mend, else "": such a
    batch is taken up again when the configuration has changed.
    """

    stamps: Mapping[tuple[str, int, int], str] = field(default_factory=dict)
    digests: Mapping[tuple[str, str], str] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()                      # batch ids taken, or recognised as sent before


def load_ids(home: Path) -> list[str]:
    """The committed loads, ascending."""
    return sorted(p.name for p in (home / "loads").glob("L[0-9]*") if p.is_dir())


def load_folders(home: Path) -> list[Path]:
    """The folders of the committed loads, ascending."""
    return [home / "loads" / load for load in load_ids(home)]


def last_load(home: Path) -> str | None:
    """The newest committed load, None before the first."""
    return next(reversed(load_ids(home)), None)


def table(home: Path, name: str, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """One table of every load, in load order; empty before the first load."""
    paths = [home / "loads" / load / f"{name}.parquet" for load in load_ids(home)]
    frames = [pl.read_parquet(p) for p in paths if p.exists()]
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def known(home: Path) -> Known:
    """What the landing zone's look must not take up again."""
    seen = table(home, "landing", LANDING)
    batches = table(home, "batches", BATCHES).select("load_id", "batch_id", "digest", "landing_path", "status", "reason_code")
    mendable = batches.filter(pl.col("reason_code").is_in(MENDED_BY_CONFIGURATION)).select(
        "landing_path", "digest", pl.lit(True).alias("_mendable")).unique()
    # the last word about a batch holds: refused then, it may have been taken since
    seen = seen.join(mendable, on=["landing_path", "digest"], how="left", maintain_order="left").with_columns(
        pl.when(pl.col("_mendable")).then(pl.col("configuration")).otherwise(pl.lit("")).alias("configuration"))
    taken = batches.filter(pl.col("status") != "refused")
    done = set(taken.select("batch_id", "digest").iter_rows())
    stamps, digests = {}, {}
    for place, size, mtime, batch_id, digest, configuration in seen.select(
            "landing_path", "size", "mtime_ns", "batch_id", "digest", "configuration").iter_rows():
        configuration = "" if (batch_id, digest) in done else configuration
        stamps[place, size, mtime] = digests[batch_id, digest] = configuration
    return Known(stamps, digests, frozenset(taken["batch_id"]))


def seen_files(home: Path) -> set[tuple[str, str, str]]:
    """(sender, digest, extract) of every file whose rows have been taken."""
    files = table(home, "files", FILES).filter(pl.col("status") == "accepted")
    return set(files.select("sender", "file_digest", "extract").iter_rows())


def _query(home: Path, sql: str, *names: str) -> list[dict[str, Any]]:
    if not load_ids(home):
        return []
    with duckdb.connect() as con:
        for name in names:
            con.read_parquet(str(home / "loads" / "L*" / f"{name}.parquet")).create_view(name)
        cursor = con.execute(sql)
        columns = [d[0] for d in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def status(home: Path) -> list[dict[str, Any]]:
    """One record per batch, in the order of the ledger, with what became of its rows."""
    return _query(home, """
        SELECT load_id, batch_id, sender, institution_code, profile, period_from, period_to, received_at, status,
               reason_code, reason_zh, reason_en, rows_received, rows_staged, rows_quarantined, rows_duplicate,
               file_count, bytes
        FROM batches ORDER BY load_id, received_at, batch_id""", "batches")


def conservation(home: Path) -> list[dict[str, Any]]:
    """Batches and files that break rows_received = rows_staged + rows_quarantined + rows_duplicate, in the ledger or
    against the rows that are really there. Empty when the law holds."""
    law = "rows_received <> rows_staged + rows_quarantined + rows_duplicate"
    broken = _query(home, f"""
        SELECT load_id, batch_id, NULL AS file_name, 'ledger' AS what, rows_received AS expected,
               rows_staged + rows_quarantined + rows_duplicate AS found FROM batches WHERE {law}
        UNION ALL
        SELECT load_id, batch_id, file_name, 'ledger', rows_received, rows_staged + rows_quarantined + rows_duplicate
        FROM files WHERE {law}
        UNION ALL
        SELECT b.load_id, b.batch_id, NULL, 'files', b.rows_received, coalesce(sum(f.rows_received), 0)
        FROM batches b LEFT JOIN files f USING (load_id, batch_id) GROUP BY ALL
        HAVING b.rows_received <> coalesce(sum(f.rows_received), 0)
        UNION ALL
        SELECT f.load_id, f.batch_id, NULL, 'quarantine', f.n, coalesce(q.n, 0)
        FROM (SELECT load_id, batch_id, sum(rows_quarantined) AS n FROM files WHERE status = 'accepted' GROUP BY ALL) f
        LEFT JOIN (SELECT load_id, batch_id, count(*) AS n FROM quarantine GROUP BY ALL) q USING (load_id, batch_id)
        WHERE f.n <> coalesce(q.n, 0)
        ORDER BY 1, 2, 3""", "batches", "files", "quarantine")
    for load in load_ids(home):
        files = pl.read_parquet(home / "loads" / load / "files.parquet")
        for (extract,), rows in files.group_by("extract", maintain_order=True):
            paths = sorted((home / "loads" / load / "staged").glob(f"{extract}-[0-9]*.parquet")) if extract else []
            found = sum(pl.scan_parquet(p).select(pl.len()).collect().item() for p in paths)
            if found != rows["rows_staged"].sum():
                broken.append({"load_id": load, "batch_id": None, "file_name": None, "what": f"staged {extract}",
                               "expected": rows["rows_staged"].sum(), "found": found})
    return broken


def conservation_breaks(home: Path) -> list[str]:
    """The batches, or loads, for which `conservation` does not hold. Empty when the law holds."""
    return list(dict.fromkeys(b["batch_id"] or f"{b['load_id']} {b['what']}" for b in conservation(home)))


def open_quarantine(home: Path) -> pl.DataFrame:
    """The quarantined rows that no later row with the same key has replaced."""
    rows, released = table(home, "quarantine", QUARANTINE), table(home, "releases", RELEASES)
    keys = released.select("extract", "key_hash", load_id="quarantine_load_id").unique()
    return rows.join(keys, on=["extract", "key_hash", "load_id"], how="anti", maintain_order="left")
