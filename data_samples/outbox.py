"""Gathers emitted rows into batches and writes landing files, manifests and the generator's own truth tables.

Put here: batches. Put elsewhere: which rows exist (`records.py`, `reports.py`), their dialect (`dialects.py`), faults (`planted.py`).
"""

import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from data_samples.dialects import Dialect, workbook
from data_samples.schedule import Schedule, date_of
from quality.contract import Contract

ZONE = dt.timezone(dt.timedelta(hours=8))
SCHEMA_VERSION = "1.0"
NO_MANIFEST = "xlsx"  # village clinics send loose workbooks
ROW_GROUP = 100_000


def _typed(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """The contract's columns in its order and types; null where the frame has none."""
    have = set(frame.columns)
    return frame.select(
        [
            (pl.col(c.name).cast(c.polars_type) if c.name in have else pl.lit(None, c.polars_type).alias(c.name))
            for c in contract.columns
        ]
    )


class Truth:
    """The generator's own tables: `<folder>/<extract>.parquet`, the last true version of each row that was sent."""

    def __init__(self, folder: Path, contracts: dict[str, Contract]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.contracts = folder, contracts
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self.rows: dict[str, int] = {}

    def add(self, extract: str, frame: pl.DataFrame) -> None:
        self.rows[extract] = self.rows.get(extract, 0) + frame.height
        waiting = self._waiting.setdefault(extract, [])
        waiting.append(_typed(self.contracts[extract], frame))
        if sum(f.height for f in waiting) >= ROW_GROUP:
            self._flush(extract)

    def _flush(self, extract: str) -> None:
        table = pl.concat(self._waiting.pop(extract)).to_arrow(compat_level=pl.CompatLevel.oldest())
        if extract not in self._writers:
            self._writers[extract] = pq.ParquetWriter(self.folder / f"{extract}.parquet", table.schema, compression="zstd")
        self._writers[extract].write_table(table)

    def close(self) -> None:
        for extract in list(self._waiting):
            self._flush(extract)
        for w in self._writers.values():
            w.close()


class Outbox:
    """Holds rows until their batch is due, then writes it."""

    def __init__(self, landing: Path, contracts: dict[str, Contract], schedule: Schedule, tamper: Callable) -> None:
        self.landing, self.contracts, self.schedule, self.tamper = landing, contracts, schedule, tamper
        self.queued: dict[str, list[tuple]] = {}
        self.dialects: dict[str, Dialect] = {}
        self.pending: dict[str, dict[str, list[pl.DataFrame]]] = {}
        self.last_received: dict[str, dt.datetime] = {}
        self.rows_sent: dict[str, int] = {}
        self.batches = self.files = self.bytes = 0
        self.receipts: list[tuple[str, str]] = []
        self.latest = dt.datetime(1970, 1, 1)

    def dialect(self, profile: str) -> Dialect:
        if profile not in self.dialects:
            self.dialects[profile] = Dialect(profile, self.contracts)
        return self.dialects[profile]

    def hold(self, group: str, extract: str, frame: pl.DataFrame) -> None:
        if frame.height:
            self.pending.setdefault(group, {}).setdefault(extract, []).append(frame)

    def due(self, group: str, last_slot: int) -> dict[tuple[int, int], dict[str, pl.DataFrame]]:
        """Takes out the rows of slots up to `last_slot`, by (institution, slot) and extract; later ones stay held."""
        batches: dict[tuple[int, int], dict[str, pl.DataFrame]] = {}
        held = self.pending.get(group, {})
        for extract, frames in list(held.items()):
            if not frames:
                continue
            frame = pl.concat(frames, how="vertical_relaxed")
            later = frame.filter(pl.col("slot") > last_slot)
            held[extract] = [later] if later.height else []
            now = frame.filter(pl.col("slot") <= last_slot)
            for (inst, slot), part in now.partition_by(["inst", "slot"], as_dict=True, include_key=False).items():
                batches.setdefault((inst, slot), {})[extract] = part
        return batches

    def write(
        self,
        sender: str,
        profile: str,
        label: str,
        seq: int,
        first: int,
        last: int,
        received: dt.datetime,
        frames: dict[str, pl.DataFrame],
        system: str,
    ) -> None:
        """Writes one batch, and first what was queued to arrive before it; receipts of one sender never run backwards."""
        for waiting in [q for q in self.queued.get(sender, []) if q[6] < received]:
            self.queued[sender].remove(waiting)
            self.write(*waiting)
        floor = self.last_received.get(sender)
        if floor is not None and received <= floor:
            received = floor + dt.timedelta(minutes=7)
        self.last_received[sender] = received
        self.latest = max(self.latest, received)
        dialect, period_from = self.dialect(profile), date_of(first)
        extracted = received - dt.timedelta(hours=1)
        order = [e for e in self.contracts if e in frames and e in dialect.extracts]
        local = {}
        for extract in order:
            frame = self._complete(extract, frames[extract], extracted)
            header = dialect.headers(extract, period_from).get("los_days")
            local[extract] = self.tamper(sender, label, seq, extract, dialect.localise(extract, frame, period_from), header)
            self.rows_sent[extract] = self.rows_sent.get(extract, 0) + frame.height
        folder, loose = self.landing / sender, dialect.format == NO_MANIFEST
        if not loose:
            folder /= f"{sender}-{label}-{seq:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        files, written = [], []
        if loose:
            name = dialect.file_name(order[0], label if seq == 1 else f"{label}-{seq:02d}")
            self._put(folder / name, workbook({dialect.sheet(e): local[e] for e in order}))
            written.append(folder / name)
        else:
            for extract in order:
                data = dialect.encode(local[extract])
                name = dialect.file_name(extract, label)
                self._put(folder / name, data)
                written.append(folder / name)
                files.append(
                    {"name": name, "extract": extract, "sha256": hashlib.sha256(data).hexdigest(), "rows": local[extract].height}
                )
            manifest = {
                "batch_id": f"{sender}-{label}-{seq:02d}",
                "sender": sender,
                "source_system": system,
                "schema_version": SCHEMA_VERSION,
                "period": {"from": str(period_from), "to": str(date_of(last))},
                "extracted_at": extracted.replace(tzinfo=ZONE).isoformat(),
                "received_at": received.replace(tzinfo=ZONE).isoformat(),
                "files": files,
            }
            self._put(folder / "manifest.json", json.dumps(manifest, ensure_ascii=False, indent=1).encode())
            written.append(folder / "manifest.json")
        stamp = received.replace(tzinfo=ZONE).timestamp()
        if loose:
            self.receipts.append((f"{sender}/{written[0].name}", received.isoformat(sep=" ")))
        for path in written:
            os.utime(path, (stamp, stamp))
        self.batches += 1

    def queue(self, *batch: object) -> None:
        """Keeps a batch (the arguments of `write`) until a later one of the same sender, or the end of the run."""
        self.queued.setdefault(batch[0], []).append(batch)

    def flush(self) -> None:
        """Writes what is still queued."""
        for batches in self.queued.values():
            for batch in sorted(batches, key=lambda q: q[6]):
                self.write(*batch)
        self.queued = {}

    def _complete(self, extract: str, frame: pl.DataFrame, extracted: dt.datetime) -> pl.DataFrame:
        """The frame with every column of the contract, in its types, and the envelope."""
        have = set(frame.columns)
        op = pl.col("op_type") if "op_type" in have else pl.lit("I").alias("op_type")
        at = pl.lit(extracted, pl.Datetime("us"))
        if "source_updated_at" in have:
            at = pl.min_horizontal(pl.col("source_updated_at"), at)
        envelope = frame.with_columns(op, at.alias("source_updated_at")).select("op_type", "source_updated_at")
        return pl.concat([_typed(self.contracts[extract], frame), envelope], how="horizontal")

    def _put(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.files += 1
        self.bytes += len(data)
