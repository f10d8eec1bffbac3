"""Takes the new batches of a landing zone into a home, load by load; each load is committed by one rename.

Put here: the order of the steps, what becomes of each row, the writing of a load. Put elsewhere: how any one step is
done. Interrupted at any moment and started again, the result is the same: nothing outside the `.tmp-` folder and the
archive (which goes by content) is written before the rename.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from ingestion import identity, ledger, sealed
from ingestion.identity import KeyRing
from ingestion.landing import Batch, File, Pending, look
from ingestion.normalise import columns_of, normalise
from ingestion.profile import Profile, load_checked
from ingestion.readers import Limits, Opened, Part, open_file, parse
from ingestion.refusal import Refused
from quality.checks import BATCHES as CHECKED
from quality.checks import CODES, COUNTS, batch_checks, code_counts, tally
from quality.contract import LINEAGE, Contract, load_contracts
from quality.schema import gate

OPS = ("I", "U", "D")
EARLIER = {"sender": pl.String} | CODES
ROW_GROUP = 122_880                  # DuckDB's own vector group: its readers prune and parallelise by it


class Progress(Protocol):
    """What a long job tells its caller."""

    def stage(self, label: str, total: int | None = None) -> None: ...
    def item(self, label: str = "") -> None: ...


class Silent:
    """Progress that nobody watches."""

    def stage(self, label: str, total: int | None = None) -> None: ...
    def item(self, label: str = "") -> None: ...


class ConservationBroken(Exception):
    """A row would have been lost or counted twice; nothing was committed."""


class _Moved(Exception):
    """A batch was taken away or changed while it was being read: it waits for the next run."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


@dataclass(frozen=True)
class Policy:
    """The settings of a run, each with its reason."""

    max_load_bytes: int = 256 << 20    # of text: about 1.2 million charge lines, which stay within 2 GiB of memory
    refusal_share: float = 0.3         # more bad rows than this are a broken export, not slips: mend it at its source
    refusal_rows: int = 20             # fewer bad rows than this never refuse a batch: three of eight can be slips
    quiet_seconds: float = 60          # a file that has not grown for a minute has arrived
    limits: Limits = field(default_factory=Limits)


@dataclass
class IngestSummary:
    """What a run took in."""

    load_ids: list[str] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0
    duplicate: int = 0
    known: int = 0
    waiting: tuple[str, ...] = ()
    rows_received: int = 0
    rows_staged: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    bytes: int = 0
    staged: dict[str, int] = field(default_factory=dict)       # rows by extract


@dataclass
class _Piece:
    """One part of one file on its way through a load."""

    batch: int
    file: File
    file_order: int
    digest: str | None
    bytes: int
    part: Part | None
    sheet: str | None = None
    physical_lines: int | None = None
    columns: tuple[str, ...] = ()
    extract: str | None = None
    refused: Refused | None = None
    seen: bool = False
    received: int = 0                  # rows; those of an unreadable file as its manifest says
    staged: int = 0
    quarantined: int = 0
    duplicate: int = 0
    bad: int = 0
    conflict: int = 0


@contextmanager
def _only_writer(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "ingest.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError("另一个入库任务正在运行,请等待其结束 | another ingestion is writing here: wait for it to end") from None
        yield


def ingest(home: Path, landing: Path, keys: KeyRing, contracts: dict[str, Contract] | None = None,
           profiles: dict[str, Profile] | None = None, *, as_of: datetime | None = None, now: datetime | None = None,
           progress: Progress | None = None, **settings: Any) -> IngestSummary:
    """Take in every new batch received at or before `as_of`, and say what became of it.

    Without `contracts` and `profiles` the repository's own hold. `now` is the moment against which files that are still
    growing are told apart; without it only a change during the look is noticed. `settings` are those of `Policy`.
    Raises ConservationBroken, without committing the load, when a row could not be accounted for.
    """
    contracts = contracts or load_contracts()
    profiles = profiles or load_checked(contracts)
    policy, progress = Policy(**settings), progress or Silent()
    with _only_writer(home):
        loads = home / "loads"
        loads.mkdir(exist_ok=True)
        for leftover in loads.glob(".tmp-*"):
            shutil.rmtree(leftover)
        for leftover in (home / "archive").glob("*/*.part"):
            leftover.unlink()
        progress.stage("上报目录 | landing zone")
        pending = look(landing, profiles, ledger.known(home), as_of=as_of, quiet_seconds=policy.quiet_seconds, now=now)
        summary = IngestSummary(known=pending.known, waiting=pending.waiting)
        groups = list(_groups(pending, policy.max_load_bytes))
        progress.stage("装载 | loads", len(groups))
        number = max((int(name[1:]) for name in ledger.load_ids(home)), default=0)
        for batches in groups:
            load = None
            while batches and load is None:
                load = _Load(home, f"L{number + 1:06d}", batches, keys, contracts, profiles, policy, progress)
                try:
                    load.run()
                except _Moved as moved:
                    shutil.rmtree(load.temporary)
                    summary.waiting += (moved.batch.landing_path,)
                    batches, load = [b for b in batches if b is not moved.batch], None
            if load is None:
                continue
            number += 1
            summary.load_ids.append(load.load_id)
            load.add_to(summary)
            progress.item(f"{load.load_id}: {len(batches)} batches")
    return summary


def _groups(pending: Pending, max_bytes: int) -> Iterator[list[Batch]]:
    group: list[Batch] = []
    size = 0
    for batch in pending.batches:
        if group and size + batch.text_bytes > max_bytes:
            yield group
            group, size = [], 0
        group.append(batch)
        size += batch.text_bytes
    if group:
        yield group


def hash_of(columns: list[str]) -> pl.Expr:
    """A 64-bit fingerprint of columns as text, the same on every machine and version of Polars."""
    texts = [pl.col(c).cast(pl.String).fill_null("\x00") for c in columns]
    return pl.concat_str(texts, separator="\x1f").nchash.xxhash64()


def _event_day(contract: Contract, typed: bool) -> pl.Expr:
    """The day of a row: of its event column, else null."""
    if contract.event_date is None:
        return pl.lit(None, pl.Date)
    column = contract.by_name[contract.event_date]
    if typed and column.kind in ("date", "datetime"):
        return pl.col(column.name).cast(pl.Date)
    text = pl.col(column.name).str.slice(0, 10)
    return pl.when(text.str.len_chars() == 7).then(text + "-01").otherwise(text).str.to_date("%Y-%m-%d", strict=False)


@dataclass
class _Judged:
    """One extract of a load after the gate."""

    contract: Contract
    good: pl.DataFrame                 # staged columns with lineage, and _piece, _event
    bad: pl.DataFrame                  # _piece, line_no, key_hash, row_json, event_date
    findings: pl.DataFrame             # _piece, line_no and the finding


class _Load:
    def __init__(self, home: Path, load_id: str, batches: list[Batch], keys: KeyRing, contracts: dict[str, Contract],
                 profiles: dict[str, Profile], policy: Policy, progress: Progress) -> None:
        self.home, self.load_id, self.batches, self.keys = home, load_id, batches, keys
        self.contracts, self.profiles, self.policy, self.progress = contracts, profiles, policy, progress
        self.temporary = home / "loads" / f".tmp-{load_id}"
        self.refused: dict[int, Refused] = {i: b.refused for i, b in enumerate(batches) if b.refused}
        self.pieces: list[_Piece] = []
        self.of_batch: list[list[_Piece]] = [[] for _ in batches]
        self.judged: list[_Judged] = []
        self.vault: list[pl.DataFrame] = []
        self.tallies: list[pl.DataFrame] = []
        self.codes: list[pl.DataFrame] = []

    # -- the way of a load

    def run(self) -> None:
        self.temporary.mkdir()
        (self.temporary / "staged").mkdir()
        self._open()
        self._judge()
        self._refuse_by_share()
        self._stage()
        self._write_ledger()
        self._archive()
        # once for all: 2,000 archived files one by one took 16 of 65 seconds
        os.sync()
        os.rename(self.temporary, self.home / "loads" / self.load_id)
        os.sync()

    def add_to(self, summary: IngestSummary) -> None:
        for status, n in self.batch_table.group_by("status").len().iter_rows():
            setattr(summary, status, getattr(summary, status) + n)
        for name in ("rows_received", "rows_staged", "rows_quarantined", "rows_duplicate"):
            setattr(summary, name, getattr(summary, name) + self.batch_table[name].sum())
        summary.bytes += self.batch_table["bytes"].sum()
        for extract, n in self.file_table.group_by("extract").agg(pl.col("rows_staged").sum()).iter_rows():
            if n:
                summary.staged[extract] = summary.staged.get(extract, 0) + n

    # -- opening

    def _open(self) -> None:
        seen = ledger.seen_files(self.home)
        self.progress.stage(f"{self.load_id} 读取 | reading", len(self.batches))
        for i, batch in enumerate(self.batches):
            for order, file in enumerate(batch.files):
                self._open_file(i, batch, order, file)
            mine = self.of_batch[i]
            if i not in self.refused:
                if wrong := next((p.refused for p in mine if p.refused), None):
                    self.refused[i] = wrong
                else:
                    for p in mine:
                        mark = (batch.sender, p.digest, p.extract)
                        p.seen = mark in seen
                    seen |= {(batch.sender, p.digest, p.extract) for p in mine}
            for p in mine:
                if i in self.refused or p.seen:
                    p.part = None
            self.progress.item(batch.batch_id)

    def _add(self, piece: _Piece) -> None:
        self.pieces.append(piece)
        self.of_batch[piece.batch].append(piece)

    def _open_file(self, i: int, batch: Batch, order: int, file: File) -> None:
        profile = self.profiles.get(batch.profile or "")
        try:
            size = file.path.stat().st_size
        except OSError:
            raise _Moved(batch) from None
        if profile is None:
            self._add(_Piece(i, file, order, file.sha256, size, None, received=file.rows or 0, refused=self.refused.get(i)))
            return
        try:
            opened: Opened = open_file(file.path, file.extract, profile, self.policy.limits)
            if file.sha256 and file.sha256.lower() != opened.digest:
                raise Refused("digest", "文件内容与清单的 sha256 不符,可能传输受损,请重新发送",
                              "the content is not what the manifest's sha256 says; send it again")
        except OSError:
            raise _Moved(batch) from None
        except Refused as error:
            # what could not be read counts as its manifest says, so that a lost file shows in the ledger
            self._add(_Piece(i, file, order, file.sha256, size, None, extract=file.extract, received=file.rows or 0,
                             refused=error.within(file.path.name)))
            return
        for part in opened.parts:
            piece = _Piece(i, file, order, opened.digest, opened.bytes, part, part.sheet, part.physical_lines,
                           extract=part.extract, received=part.rows_received)
            self._add(piece)
            try:
                contract = self.contracts.get(part.extract)
                if contract is None or part.extract not in profile.extracts:
                    raise Refused("extract_unknown", f"对接配置 {profile.name} 没有数据集 {part.extract}",
                                  f"profile {profile.name} has no extract {part.extract}")
                if contract.sent_by == "authority" and batch.institution_code:
                    raise Refused("not_entitled", f"“{contract.zh}”只能由主管部门发送", f"{contract.name} is sent by an authority only")
                piece.columns = columns_of(part.header, profile, contract, batch.period_from)
            except Refused as error:
                piece.refused = error.within(file.path.name)

    # -- judging

    def _judge(self) -> None:
        order = sorted(self.contracts, key=lambda name: (name != "institution", name))
        todo = [name for name in order if any(self._takes(p) and p.extract == name for p in self.pieces)]
        self.progress.stage(f"{self.load_id} 校验 | judging", len(todo))
        self.parents = self._known_parents()
        for name in todo:
            pieces = [(n, p) for n, p in enumerate(self.pieces) if self._takes(p) and p.extract == name]
            judged = self._judge_extract(self.contracts[name], pieces)
            if name == "institution":
                self.parents |= dict(judged.good.select("institution_code", "parent_institution_code").iter_rows())
            self.judged.append(judged)
            self.progress.item(name)

    def _takes(self, piece: _Piece) -> bool:
        return piece.batch not in self.refused and not piece.seen

    def _known_parents(self) -> dict[str, str | None]:
        paths = sorted((self.home / "loads").glob("L*/staged/institution-*.parquet"))
        frames = [pl.read_parquet(p, columns=["institution_code", "parent_institution_code"]) for p in paths]
        return {code: parent for frame in frames for code, parent in frame.iter_rows()}

    def _strings(self, contract: Contract, pieces: list[tuple[int, _Piece]]) -> pl.DataFrame:
        groups: dict[tuple, list[tuple[int, _Piece]]] = {}
        for n, p in pieces:
            groups.setdefault((self.batches[p.batch].profile, p.columns), []).append((n, p))
        frames = []
        for (profile, columns), members in groups.items():
            raw = parse([p.part for _, p in members], self.profiles[profile])
            rows = [f.height for f in raw]
            frame = pl.concat(raw, rechunk=False).with_columns(
                pl.Series("_piece", np.repeat(np.array([n for n, _ in members], np.int32), rows)),
                pl.Series("_line_no", np.concatenate([p.part.line_numbers() for _, p in members])))
            for _, p in members:
                p.part.body, p.part.frame = b"", None
            frames.append(normalise(frame.lazy(), columns, self.profiles[profile], contract).collect())
        strings = pl.concat(frames, rechunk=False)
        del frames
        by_piece = pl.DataFrame({
            "_piece": pl.Series([n for n, _ in pieces], dtype=pl.Int32),
            "_sender": [self.batches[p.batch].sender for _, p in pieces],
            "_received_at": pl.Series([self.batches[p.batch].received_at for _, p in pieces], dtype=pl.Datetime("us")),
            "_extracted_at": pl.Series([self.batches[p.batch].extracted_at for _, p in pieces], dtype=pl.Datetime("us")),
        })
        strings = strings.join(by_piece, on="_piece", how="left", maintain_order="left").with_row_index("_row")
        local = pl.col("_source_updated_at").str.replace(" ", "T", literal=True).str.replace(r"(Z|[+-]\d\d:?\d\d)$", "")
        return strings.with_columns(
            pl.coalesce(local.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us"),
                        pl.when(pl.col("_source_updated_at").is_null()).then(pl.col("_extracted_at"))
                        ).alias("_source_updated_at"))

    def _envelope(self, strings: pl.DataFrame, contract: Contract) -> pl.DataFrame:
        """Findings about what is no column of the contract: who sent the row, and how it is to be applied."""
        found = []

        def add(rule: str, column: str, bad: pl.Expr, zh: str, en: str, shown: pl.Expr) -> None:
            rows = strings.filter(bad.fill_null(False))
            if rows.height:
                found.append(rows.select("_row", pl.lit(f"{contract.name}.{rule}").alias("rule_id"),
                                         pl.lit("error").alias("severity"), pl.lit(column).alias("column"),
                                         pl.lit(zh).alias("expected_zh"), pl.lit(en).alias("expected_en"),
                                         shown.alias("found")))

        add("op_type", "op_type", ~pl.col("_op_type").is_in(OPS), "I、U 或 D", "I, U or D", pl.col("_op_type").str.slice(0, 20))
        add("source_updated_at", "source_updated_at", pl.col("_source_updated_at").is_null(),
            "可识别的日期时间", "a date and time that can be read", pl.lit(None, pl.String))
        if "institution_code" in contract.by_name and contract.sent_by == "institution":
            if contract.name == "institution":
                parent = pl.col("parent_institution_code")
            else:
                parent = pl.col("institution_code").replace_strict(self.parents or {"": None}, default=None,
                                                                   return_dtype=pl.String)
            own = (pl.col("institution_code") == pl.col("_sender")) | (parent == pl.col("_sender"))
            institution = pl.col("_sender").str.contains(r"^[0-9A-Z]{22}$")
            add("sender", "institution_code", institution & pl.col("institution_code").is_not_null() & ~own.fill_null(False),
                "发送机构本身,或由其代管的村卫生室", "the sender itself, or a clinic in its charge", pl.col("institution_code"))
        empty = {"_row": pl.UInt32} | dict.fromkeys(
            ("rule_id", "severity", "column", "expected_zh", "expected_en", "found"), pl.String)
        return pl.concat(found) if found else pl.DataFrame(schema=empty)

    def _judge_extract(self, contract: Contract, pieces: list[tuple[int, _Piece]]) -> _Judged:
        strings = self._strings(contract, pieces)
        envelope = self._envelope(strings, contract)
        verdict = gate(strings, contract)
        findings = pl.concat([verdict.findings.rename({"row": "_row"}), envelope])
        self.tallies.append(tally(strings, verdict, contract, by="_piece"))
        self.codes.append(code_counts(verdict.good, contract, by="_piece"))
        wrong = envelope["_row"].unique()
        bad_rows = pl.concat([verdict.bad_index.cast(pl.UInt32), wrong.cast(pl.UInt32)]).unique().sort()
        good = verdict.good
        if wrong.len():
            good = good.filter(~pl.col("_row").is_in(wrong.implode()))
        good = identity.pseudonymise(good, contract, self.keys)
        bad = identity.pseudonymise(strings[bad_rows], contract, self.keys)
        self.vault += [identity.vault_rows(f, contract).with_columns(pl.lit(contract.name).alias("_x"))
                       for f in (good, bad) if f.height]
        good = self._staged_form(good, contract)
        lines = strings.select("_row", "_piece", line_no="_line_no", event_date=_event_day(contract, typed=False))
        findings = findings.join(lines, on="_row", how="left", maintain_order="left").drop("_row")
        business = [c for c in contract.staged_schema if c not in LINEAGE]
        keyed = pl.all_horizontal(pl.col(k).is_not_null() for k in contract.staged_key)
        bad = bad.select(
            "_piece", pl.col("_line_no").alias("line_no"),
            pl.when(keyed).then(hash_of(list(contract.staged_key))).alias("key_hash"),
            pl.struct(identity.hide_numbers(pl.col(c)).alias(c) for c in business).struct.json_encode().alias("row_json"),
            _event_day(contract, typed=False).alias("event_date"))
        broken = [(n, b) for n, p in pieces for b in p.part.broken]
        if broken:
            where = {"_piece": pl.Series([n for n, _ in broken], dtype=pl.Int32),
                     "line_no": pl.Series([b.line_no for _, b in broken], dtype=pl.Int64)}
            text = {"expected_zh": [b.zh for _, b in broken], "expected_en": [b.en for _, b in broken],
                    "found": [b.found for _, b in broken]}
            rows = pl.DataFrame(where)
            bad = pl.concat([bad, rows.select(*where, pl.lit(None, pl.UInt64).alias("key_hash"),
                                              pl.lit(None, pl.String).alias("row_json"),
                                              pl.lit(None, pl.Date).alias("event_date"))])
            findings = pl.concat([findings, pl.DataFrame(where | text).select(
                pl.lit(f"{contract.name}.structure").alias("rule_id"), pl.lit("error").alias("severity"),
                pl.lit(None, pl.String).alias("column"), *text, "_piece", "line_no",
                pl.lit(None, pl.Date).alias("event_date"))])
        for n, count in bad.group_by("_piece").len().iter_rows():
            self.pieces[n].bad = count
        findings = findings.with_columns(identity.hide_numbers(pl.col("found")))
        return _Judged(contract, good, bad, findings)

    def _staged_form(self, good: pl.DataFrame, contract: Contract) -> pl.DataFrame:
        business = [c for c in contract.staged_schema if c not in LINEAGE]
        free = [c.name for c in contract.columns if identity.is_free_text(contract, c.name)]
        good = good.select(*business, "_piece", "_line_no", "_received_at", "_source_updated_at", "_op_type")
        good = good.with_columns(identity.hide_numbers(pl.col(c)) for c in free)
        return good.with_columns(hash_of([*business, "_op_type"]).alias("_row_hash"),
                                 hash_of(list(contract.staged_key)).alias("_key"),
                                 _event_day(contract, typed=True).alias("_event"))

    def _refuse_by_share(self) -> None:
        for i, pieces in enumerate(self.of_batch):
            mine = [p for p in pieces if self._takes(p)]
            received, bad = sum(p.received for p in mine), sum(p.bad for p in mine)
            if bad >= self.policy.refusal_rows and bad > self.policy.refusal_share * received:
                share, limit = bad / received, self.policy.refusal_share
                worst = max(mine, key=lambda p: p.bad)
                zh, n = self.contracts[worst.extract].zh, worst.bad
                self.refused[i] = Refused(
                    "bad_share", f"{received} 行中有 {bad} 行({share:.0%})不合格,超过 {limit:.0%},整批退回;最多的是{zh}({n} 行)。"
                    "请改正后重报",
                    f"{bad} of {received} rows ({share:.0%}) are bad, more than {limit:.0%}: the batch is refused whole; most "
                    f"are of {worst.extract} ({n}). Correct it and send it again")

    # -- staging

    def _stage(self) -> None:
        self.quarantine, self.findings, self.released = [], [], []
        self.progress.stage(f"{self.load_id} 入库 | staging", len(self.judged))
        refused = [n for n, p in enumerate(self.pieces) if p.batch in self.refused]
        waiting = ledger.open_quarantine(self.home).filter(pl.col("key_hash").is_not_null())
        for judged in self.judged:
            contract, name = judged.contract, judged.contract.name
            good = judged.good
            if refused:
                good = good.filter(~pl.col("_piece").is_in(refused))
            good, conflicts, copies = self._one_version(good, contract)
            for n, count in good.group_by("_piece").len().iter_rows():
                self.pieces[n].staged = count
            for n, count in copies.group_by("_piece").len().iter_rows():
                self.pieces[n].duplicate = count
            bad = judged.bad
            if conflicts.height:
                rows, found = self._conflict_rows(conflicts, contract)
                bad, judged.findings = pl.concat([bad, rows]), pl.concat([judged.findings, found])
                for n, count in rows.group_by("_piece").len().iter_rows():
                    self.pieces[n].conflict = count
            for n, count in bad.group_by("_piece").len().iter_rows():
                self.pieces[n].quarantined = count
            self._release(good, bad, waiting.filter(pl.col("extract") == name), name)
            self.quarantine.append(bad.with_columns(pl.lit(name).alias("extract")))
            self.findings.append(judged.findings.with_columns(pl.lit(name).alias("extract")))
            if good.height:
                self._write_staged(good, contract)
            judged.good = judged.bad = judged.findings = None
            self.progress.item(name)

    def _one_version(self, good: pl.DataFrame, contract: Contract) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """(rows to stage, rows in conflict inside their batch, rows that repeat the version we have).

        Versions follow each other by receipt, then by the source's own time of change: a batch may tell of several
        changes of one record. What differs at one time of change is a conflict.
        """
        batch_of = pl.Series("_batch", [p.batch for p in self.pieces], dtype=pl.Int32)
        good = good.with_columns(batch_of.gather(good["_piece"]).alias("_batch")).sort(
            "_received_at", "_source_updated_at", "_piece", "_line_no")
        conflict = pl.repeat(False, good.height, eager=True)
        if good["_key"].n_unique() < good.height:
            last = good.select(pl.col("_row_hash").last().over("_key", "_batch", "_source_updated_at")).to_series()
            conflict = good["_row_hash"] != last
        conflicts, good = good.filter(conflict), good.filter(~conflict)
        held = self._held(good, contract)
        repeats = good["_key"].n_unique() < good.height
        if held.height == 0 and not repeats:
            return good, conflicts, good.clear()
        good = good.join(held, on="_key", how="left", maintain_order="left")
        before = pl.col("_row_hash").shift(1).over("_key") if repeats else pl.lit(None, pl.UInt64)
        same = good.select((pl.coalesce(before, "_held") == pl.col("_row_hash")).fill_null(False)).to_series()
        good = good.drop("_held")
        return good.filter(~same), conflicts, good.filter(same)

    def _held(self, good: pl.DataFrame, contract: Contract) -> pl.DataFrame:
        """The version that the earlier loads hold of each key: `_key`, `_held`.

        Only the event days that the new rows have are searched, which statistics in the files make cheap: a row whose
        event day is corrected is new anyway.
        """
        empty = pl.DataFrame(schema={"_key": pl.UInt64, "_held": pl.UInt64})
        paths = sorted((self.home / "loads").glob(f"L*/staged/{contract.name}-*.parquet"))
        if not paths or not good.height:
            return empty
        keys = list(contract.staged_key)
        old = pl.scan_parquet(paths)
        if contract.event_date and good["_event"].null_count() == 0:
            column = contract.by_name[contract.event_date]
            low, high = good["_event"].min(), good["_event"].max()
            if column.kind == "date":
                old = old.filter(pl.col(column.name).is_between(low, high))
            elif column.kind == "datetime":
                old = old.filter(pl.col(column.name).is_between(pl.lit(low).cast(pl.Datetime("us")),
                                                                pl.lit(high).cast(pl.Datetime("us")).dt.offset_by("1d")))
        new = good.lazy().select(*keys).unique()
        order = ["_received_at", "_source_updated_at", "_load_id", "_line_no"]
        old = old.select(*keys, "_row_hash", *order).join(new, on=keys, how="semi")
        found = old.collect(engine="streaming").sort(order)
        return found.select(hash_of(keys).alias("_key"), pl.col("_row_hash").alias("_held")).unique(
            "_key", keep="last", maintain_order=True)

    def _conflict_rows(self, rows: pl.DataFrame, contract: Contract) -> tuple[pl.DataFrame, pl.DataFrame]:
        business = [c for c in contract.staged_schema if c not in LINEAGE]
        text = [identity.hide_numbers(pl.col(c).cast(pl.String)).alias(c) for c in business]
        place = ("_piece", pl.col("_line_no").alias("line_no"))
        bad = rows.select(*place, pl.col("_key").alias("key_hash"), pl.struct(text).struct.json_encode().alias("row_json"),
                          pl.col("_event").alias("event_date"))
        names = "、".join(contract.by_name[k].zh for k in contract.primary_key)
        found = rows.select(
            pl.lit(f"{contract.name}.key_conflict").alias("rule_id"), pl.lit("error").alias("severity"),
            pl.lit(contract.primary_key[-1]).alias("column"),
            pl.lit(f"同一批次、同一更新时间内主键({names})只出现一次,或各行内容相同;内容不同时只取最后一行").alias("expected_zh"),
            pl.lit(f"one row per key ({', '.join(contract.primary_key)}) and time of change in a batch; of different rows the last is taken")
            .alias("expected_en"), pl.lit(None, pl.String).alias("found"), *place, pl.col("_event").alias("event_date"))
        return bad, found

    def _release(self, good: pl.DataFrame, bad: pl.DataFrame, waiting: pl.DataFrame, extract: str) -> None:
        """Earlier quarantined rows, of other loads or of earlier batches of this one, whose key is staged now."""
        batch_ids = pl.Series([self.batches[p.batch].batch_id for p in self.pieces], dtype=pl.String)
        own = bad.filter(pl.col("key_hash").is_not_null()).select(
            "key_hash", pl.lit(self.load_id).alias("quarantine_load_id"), pl.col("_piece").alias("_bad_piece"))
        old = waiting.select("key_hash", pl.col("load_id").alias("quarantine_load_id"),
                             pl.lit(-1, pl.Int32).alias("_bad_piece"))
        both = pl.concat([old, own])
        if not both.height or not good.height:
            return
        batch = np.array([-1, *(p.batch for p in self.pieces)])
        hits = good.select("_key", "_piece").join(both, left_on="_key", right_on="key_hash", how="inner")
        later = batch[hits["_piece"].to_numpy() + 1] > batch[hits["_bad_piece"].to_numpy() + 1]
        hits = hits.filter(pl.Series(later, dtype=pl.Boolean))
        self.released.append(hits.select(
            pl.lit(extract).alias("extract"), pl.col("_key").alias("key_hash"), "quarantine_load_id",
            pl.lit(self.load_id).alias("load_id"), batch_ids.gather(hits["_piece"]).alias("batch_id"))
            .unique().sort(pl.all()))

    def _write_staged(self, good: pl.DataFrame, contract: Contract) -> None:
        lookup = {"_batch_id": [self.batches[p.batch].batch_id for p in self.pieces],
                  "_file_digest": [p.digest for p in self.pieces],
                  "_sheet": [p.sheet for p in self.pieces]}
        good = good.sort("_event", "_piece", "_line_no", nulls_last=True)
        piece = good["_piece"]
        good = good.with_columns(*(pl.Series(k, v, dtype=pl.String).gather(piece).alias(k) for k, v in lookup.items()),
                                 pl.lit(self.load_id).alias("_load_id"))
        schema = contract.staged_schema
        good.select(pl.col(name).cast(kind) for name, kind in schema.items()).write_parquet(
            self.temporary / "staged" / f"{contract.name}-001.parquet", compression="zstd", row_group_size=ROW_GROUP)

    # -- the ledger

    def _write_ledger(self) -> None:
        files = []
        for p in self.pieces:
            batch, refused = self.batches[p.batch], self.refused.get(p.batch)
            reason = p.refused or refused
            if refused:
                p.staged, p.quarantined, p.duplicate, state = 0, p.received, 0, "refused"
            elif p.seen:
                p.staged, p.quarantined, p.duplicate, state = 0, 0, p.received, "duplicate"
            else:
                state = "accepted"
            if p.received != p.staged + p.quarantined + p.duplicate:
                raise ConservationBroken(
                    f"batch {batch.batch_id}, file {p.file.path.name}: {p.received} rows received, {p.staged} staged, "
                    f"{p.quarantined} quarantined, {p.duplicate} duplicate")
            files.append((self.load_id, batch.batch_id, batch.sender, batch.institution_code, p.extract,
                          p.file.path.name, p.digest, p.sheet, p.bytes, p.physical_lines, p.received, p.staged, p.quarantined, p.duplicate,
                          state, *((reason.code, reason.zh, reason.en) if reason and refused else (None, None, None))))
        self.file_table = pl.DataFrame(files, schema=ledger.FILES, orient="row")
        rows = []
        for i, b in enumerate(self.batches):
            mine = self.of_batch[i]
            refused = self.refused.get(i)
            state = "refused" if refused else "duplicate" if mine and all(p.seen for p in mine) else "accepted"
            rows.append((self.load_id, b.batch_id, b.sender, b.institution_code, b.profile, b.source_system,
                         b.schema_version, b.period_from, b.period_to, b.extracted_at, b.received_at, state,
                         *((refused.code, refused.zh, refused.en) if refused else (None, None, None)),
                         *(sum(getattr(p, n) for p in mine) for n in ("received", "staged", "quarantined", "duplicate")),
                         len(b.files), b.bytes, b.digest, b.landing_path))
        self.batch_table = pl.DataFrame(rows, schema=ledger.BATCHES, orient="row")
        stamps = [(b.landing_path, *b.stamp, b.batch_id, b.digest, b.configuration) for b in self.batches]
        self._write("batches", self.batch_table)
        self._write("files", self.file_table)
        self._write("landing", pl.DataFrame(stamps, schema=ledger.LANDING, orient="row"))
        self._write("quarantine", self._with_place(self.quarantine, ledger.QUARANTINE))
        self._write("findings", self._with_place(self.findings, ledger.FINDINGS))
        self._write_checks()
        self._write("releases", pl.concat(self.released) if self.released else pl.DataFrame(schema=ledger.RELEASES))
        self._write_vault()

    def _write_checks(self) -> None:
        """The checks of each batch as a whole, and the code counts that later loads are compared with."""
        batch_ids = pl.Series("batch_id", [self.batches[p.batch].batch_id for p in self.pieces], dtype=pl.String)
        taken = [n for n, p in enumerate(self.pieces) if self._takes(p)]

        def by_batch(frames: list[pl.DataFrame], key: list[str], values: list[str]) -> pl.DataFrame:
            if not frames:
                return pl.DataFrame(schema={"batch_id": pl.String} | dict.fromkeys(key, pl.String) | dict.fromkeys(values, pl.Int64))
            rows = pl.concat(frames).filter(pl.col("_piece").is_in(taken))
            rows = rows.with_columns(batch_ids.gather(rows["_piece"]).alias("batch_id"))
            # the sum of nulls is null here: what was not counted is not zero
            total = [pl.when(pl.col(v).is_not_null().any()).then(pl.col(v).sum()).alias(v) for v in values]
            return rows.group_by("batch_id", *key, maintain_order=True).agg(total)

        codes = by_batch(self.codes, ["extract", "column", "code"], ["n"])
        rows = []
        before = self._periods_before()
        for i, b in enumerate(self.batches):
            extracts = dict.fromkeys(p.extract for p in self.of_batch[i] if p.extract in self.contracts)
            state = self.batch_table["status"][i]
            for x in extracts:
                mine = [p for p in self.of_batch[i] if p.extract == x]
                said = {p.file: p.file.rows for p in mine if p.file.extract == x}
                rows.append((self.load_id, b.batch_id, b.sender, b.institution_code, x, b.period_from, b.period_to,
                             b.received_at, state, (b.sender, x, b.period_from, b.period_to) in before,
                             sum(p.received for p in mine), sum(p.quarantined for p in mine),
                             sum(p.duplicate for p in mine),
                             sum(said.values()) if said and None not in said.values() and i not in self.refused else None,
                             sum(p.conflict for p in mine)))
                before.add((b.sender, x, b.period_from, b.period_to))
        earlier = pl.concat([pl.DataFrame(schema=EARLIER), ledger.table(self.home, "codes", EARLIER)])
        self._write("checks", batch_checks(
            pl.DataFrame(rows, schema=CHECKED, orient="row"), by_batch(self.tallies, ["extract"], list(COUNTS)), codes,
            earlier, refusal_share=self.policy.refusal_share, refusal_rows=self.policy.refusal_rows))
        senders = self.batch_table.select("batch_id", "sender").unique()
        codes = codes.join(senders, on="batch_id", maintain_order="left").group_by(*list(EARLIER)[:-1]).agg(pl.col("n").sum())
        self._write("codes", codes.select(EARLIER.keys()).sort(pl.all()))

    def _periods_before(self) -> set[tuple]:
        batches = ledger.table(self.home, "batches", ledger.BATCHES)
        files = ledger.table(self.home, "files", ledger.FILES).select("load_id", "batch_id", "extract").unique()
        return set(files.join(batches, on=["load_id", "batch_id"]).select(
            "sender", "extract", "period_from", "period_to").iter_rows())

    def _write(self, name: str, frame: pl.DataFrame) -> None:
        frame.write_parquet(self.temporary / f"{name}.parquet", compression="zstd")

    def _with_place(self, frames: list[pl.DataFrame], schema: dict[str, pl.DataType]) -> pl.DataFrame:
        if not frames:
            return pl.DataFrame(schema=schema)
        rows = pl.concat(frames)
        at = [self.batches[p.batch] for p in self.pieces]
        place = {"batch_id": [b.batch_id for b in at], "sender": [b.sender for b in at],
                 "institution_code": [b.institution_code for b in at],
                 "file_name": [p.file.path.name for p in self.pieces], "file_digest": [p.digest for p in self.pieces],
                 "sheet": [p.sheet for p in self.pieces]}
        piece = rows["_piece"]
        first_day = pl.Series([b.period_from for b in at], dtype=pl.Date).gather(piece)
        rows = rows.with_columns(
            *(pl.Series(k, v, dtype=pl.String).gather(piece).alias(k) for k, v in place.items()),
            pl.lit(self.load_id).alias("load_id"), pl.col("event_date").fill_null(first_day))
        order = ["_piece", "line_no"] + (["rule_id", "column"] if "rule_id" in schema else [])
        return rows.sort(order, maintain_order=True).select(pl.col(n).cast(t) for n, t in schema.items())

    # -- the vault and the archive

    def _write_vault(self) -> None:
        rows = pl.concat([v.drop("_x") for v in self.vault]) if self.vault else pl.DataFrame(schema=identity.VAULT_SCHEMA)
        rows = rows.unique().sort(pl.all())
        marks = identity.vault_marks(rows, self.keys)
        before = sorted((self.home / "loads").glob("L*/vault_marks.parquet"))
        if before:
            old = pl.concat([pl.read_parquet(p) for p in before])["mark"]
            fresh = ~marks.is_in(old.implode())
            rows, marks = rows.filter(fresh), marks.filter(fresh)
        buffer = BytesIO()
        rows.write_parquet(buffer, compression="zstd")
        sealed.seal_bytes(buffer.getvalue(), self.temporary / "vault.bin", self.keys.vault, f"vault|{self.load_id}")
        self._write("vault_marks", marks.sort().to_frame())

    def _archive(self) -> None:
        done = set()
        for p in self.pieces:
            if p.batch not in self.refused and not p.seen and p.digest not in done:
                done.add(p.digest)
                try:
                    sealed.archive(self.home, p.file.path, p.digest, self.keys.vault)
                except (FileNotFoundError, sealed.Changed):
                    raise _Moved(self.batches[p.batch]) from None
