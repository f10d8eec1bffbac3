"""The landing zone: which batches lie there, and which of them are new.

Put here: senders, manifests, loose files, receipt times. Put elsewhere: reading the files (`readers.py`), deciding
about their rows (`load.py`). Nothing here changes the landing zone: it is the senders'.
"""

import csv
import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingestion import ledger
from ingestion.ledger import Known
from ingestion.profile import Profile, load_profiles
from ingestion.readers import digest_of
from ingestion.refusal import Refused
from quality.contract import TIMEZONE

SHANGHAI = ZoneInfo(TIMEZONE)
MANIFEST = "manifest.json"
SCHEMA_VERSIONS = ("1.0",)
UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
INSTITUTION_CODE = re.compile(r"^[0-9A-Z]{22}$")
# what a file's bytes become as text, so that a load stays inside its bound before anything is read
UNPACKS = {"csv": 1, "gzip": 8, "xlsx": 10, "parquet": 8}


class ManifestFile(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    extract: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    rows: int | None = Field(default=None, ge=0)


class Period(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    from_: dt.date = Field(alias="from")
    to: dt.date


class Manifest(BaseModel):
    """What the sender says about a batch; keys that we do not know are the sender's own affair."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    batch_id: str = Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9_.\-]+$")
    sender: str
    source_system: str | None = None
    schema_version: str
    period: Period
    extracted_at: dt.datetime
    received_at: dt.datetime | None = None
    files: tuple[ManifestFile, ...] = Field(min_length=1)


@dataclass(frozen=True)
class File:
    """A file of a batch; `extract` is None for a workbook, whose sheets say it."""

    path: Path
    extract: str | None
    sha256: str | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Batch:
    """A batch as it lies in the landing zone; `refused` says why it cannot even be opened."""

    batch_id: str
    sender: str
    landing_path: str
    stamp: tuple[int, int]              # size and mtime of what identifies it, for the quick skip
    digest: str
    received_at: dt.datetime            # Shanghai wall time
    extracted_at: dt.datetime
    period_from: dt.date
    period_to: dt.date
    profile: str | None = None
    source_system: str | None = None
    schema_version: str | None = None
    files: tuple[File, ...] = ()
    refused: Refused | None = field(default=None, compare=False)
    bytes: int = 0
    text_bytes: int = 0
    configuration: str = ""             # of the sender, at the time of the look

    @property
    def institution_code(self) -> str | None:
        """The sending institution, None for an authority."""
        return self.sender if INSTITUTION_CODE.match(self.sender) else None


@dataclass(frozen=True)
class Pending:
    """What a look at the landing zone found."""

    batches: tuple[Batch, ...]          # new, in the order of receipt
    waiting: tuple[str, ...]            # landing paths that are still growing or incomplete
    known: int                          # old ones skipped


def wall_time(moment: dt.datetime) -> dt.datetime:
    """A moment as Shanghai wall time; one without offset is taken for it."""
    return moment.astimezone(SHANGHAI).replace(tzinfo=None) if moment.tzinfo else moment


def _mtime(stamp: int) -> dt.datetime:
    return wall_time(dt.datetime.fromtimestamp(stamp // 1_000_000_000, dt.UTC))


def read_senders(landing: Path) -> dict[str, str]:
    """Sender to profile name, from senders.csv; none while the landing zone has no sender's folder either.

    Raises ValueError naming the line that is wrong.
    """
    path = landing / "senders.csv"
    if not path.exists():
        if landing.is_dir() and any(e.is_dir() for e in os.scandir(landing)):
            raise ValueError("上报目录缺少 senders.csv:请列出 sender_code,profile,name | "
                             "senders.csv is missing in the landing zone: list sender_code,profile,name there")
        return {}
    senders: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as f:
        reader = csv.DictReader(f)
        if missing := {"sender_code", "profile"} - set(reader.fieldnames or ()):
            raise ValueError(f"senders.csv 缺少列 | columns missing in senders.csv: {', '.join(sorted(missing))}")
        for row in reader:
            if row["sender_code"] in senders:
                raise ValueError(f"senders.csv 第 {reader.line_num} 行重复 | line {reader.line_num} of senders.csv: sender "
                                 f"{row['sender_code']} is listed twice")
            senders[row["sender_code"]] = row["profile"]
    return senders


def _digest(parts: list[tuple[str, str | None, str]]) -> str:
    return hashlib.sha256(json.dumps(sorted(parts, key=str), ensure_ascii=False).encode()).hexdigest()


def _text_bytes(profile: Profile | None, size: int) -> int:
    if profile is None:
        return size
    kind = "gzip" if profile.format == "csv" and profile.compression == "gzip" else profile.format
    return size * UNPACKS[kind]


def _safe_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.\-]", "_", text)[:80]


def _id_reused(batch_id: str) -> Refused:
    return Refused("batch_id_reused", f"批次号 {batch_id} 已用于其他内容,请换新批次号",
                   f"batch id {batch_id} was used for other content; send it under a new id")


class _Look:
    def __init__(self, landing: Path, senders: dict[str, str], profiles: dict[str, Profile], known: Known,
                 quiet_seconds: float, now: dt.datetime | None) -> None:
        self.landing, self.senders, self.profiles, self.known = landing, senders, profiles, known
        self.quiet_seconds, self.now = quiet_seconds, now
        self.waiting: list[str] = []
        self.skipped = 0
        self.taken: set[str] = set()                             # loose batch ids given out in this look
        self.configurations: dict[str, str] = {}

    def batches(self) -> Iterator[Batch]:
        if not self.landing.is_dir():
            return
        for sender in sorted(e.name for e in os.scandir(self.landing) if e.is_dir()):
            folder = self.landing / sender
            for entry in sorted(os.scandir(folder), key=lambda e: e.name):
                if entry.name.startswith((".", "~$")) or entry.name.endswith(UNFINISHED):
                    continue
                found = (self._manifest(sender, entry) if entry.is_dir(follow_symlinks=False)
                         else self._loose(sender, entry))
                if found is not None:
                    yield replace(found, configuration=self._configuration(sender))

    def _configuration(self, sender: str) -> str:
        """What decides how a sender is read, as a short text that changes with it."""
        name = self.senders.get(sender, "")
        if name not in self.configurations:
            body = self.profiles[name].model_dump_json() if name in self.profiles else ""
            self.configurations[name] = hashlib.sha256(f"{name}|{body}".encode()).hexdigest()[:16]
        return self.configurations[name]

    def _done(self, sender: str, held: str | None) -> bool:
        """Whether what the ledger holds under a stamp or digest settles the matter."""
        return held is not None and held in ("", self._configuration(sender))

    def _settled(self, newest: int) -> bool:
        if self.now is None:
            return True
        return (self.now - _mtime(newest)).total_seconds() >= self.quiet_seconds

    def _sender_problem(self, sender: str) -> Refused | None:
        if sender not in self.senders:
            return Refused("unknown_sender", f"发送方 {_safe_name(sender)} 未登记,请先在 senders.csv 登记",
                           f"sender {_safe_name(sender)} is not registered; add it to senders.csv")
        if self.senders[sender] not in self.profiles:
            return Refused("unknown_profile", f"发送方 {sender} 的对接配置 {self.senders[sender]} 不存在",
                           f"profile {self.senders[sender]} of sender {sender} does not exist")
        return None

    def _manifest(self, sender: str, entry: os.DirEntry) -> Batch | None:
        folder = Path(entry.path)
        place = f"{sender}/{entry.name}"
        try:
            state = os.stat(folder / MANIFEST)
        except FileNotFoundError:
            self.waiting.append(place)                       # files come first, the manifest completes the batch
            return None
        stamp = (state.st_size, state.st_mtime_ns)
        if self._done(sender, self.known.stamps.get((place, *stamp))):
            self.skipped += 1
            return None
        files_newest = max(e.stat().st_mtime_ns for e in os.scandir(folder))
        received = _mtime(files_newest)
        empty = Batch(entry.name, sender, place, stamp, "", received, received, received.date(), received.date(),
                      self.senders.get(sender))
        raw = b""
        try:
            raw = (folder / MANIFEST).read_bytes()
            manifest = Manifest.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(p) for p in first["loc"]) or "JSON"
            return replace(empty, digest=hashlib.sha256(raw).hexdigest(), refused=Refused(
                "manifest", f"{MANIFEST} 的 {where} 不正确,请按规范填写", f"{MANIFEST}: {where}: {first['msg']}"))
        received = wall_time(manifest.received_at) if manifest.received_at else received
        profile = self.profiles.get(self.senders.get(sender, ""))
        problem, files, size = self._sender_problem(sender), [], 0
        if manifest.sender != sender:
            problem = problem or Refused("manifest", f"{MANIFEST} 的 sender 与目录 {_safe_name(sender)} 不一致",
                                         f"{MANIFEST}: its sender is not the folder's, {_safe_name(sender)}")
        if manifest.schema_version not in SCHEMA_VERSIONS:
            problem = problem or Refused(
                "schema_version", f"规范版本 {_safe_name(manifest.schema_version)} 未知,应为 {'、'.join(SCHEMA_VERSIONS)}",
                f"schema version {_safe_name(manifest.schema_version)} is unknown, known: {', '.join(SCHEMA_VERSIONS)}")
        for f in manifest.files:
            if Path(f.name).name != f.name or f.name in (".", ".."):
                problem = problem or Refused("manifest", "文件名不得带路径", "a file name must have no folder in it")
                continue
            path = folder / f.name
            if path.is_symlink() or not path.is_file():
                if not self._settled(files_newest):
                    self.waiting.append(place)
                    return None
                problem = problem or Refused("file_missing", f"清单中的文件 {f.name} 不存在,请补齐后以新批次号发送",
                                             f"file {f.name} of the manifest is not there; send it in a new batch")
                continue
            extract = f.extract
            if profile and extract is None and profile.format != "xlsx":
                extract = profile.extract_of(f.name)
            if profile and profile.format != "xlsx" and extract not in profile.extracts:
                known = ", ".join(profile.extracts)
                problem = problem or Refused(
                    "extract_unknown", f"文件 {f.name} 不属于对接配置 {profile.name} 的任何数据集({known})",
                    f"file {f.name} is none of the extracts of profile {profile.name} ({known})")
            size += path.stat().st_size
            files.append(File(path, extract if profile and profile.format != "xlsx" else None, f.sha256, f.rows))
        digest = _digest([(f.name, f.extract, (f.sha256 or "").lower()
                           or (digest_of(folder / f.name) if (folder / f.name).is_file() else "")) for f in manifest.files])
        if self._done(sender, self.known.digests.get((manifest.batch_id, digest))):
            self.skipped += 1
            return None
        if manifest.batch_id in self.known.accepted:
            problem = problem or _id_reused(manifest.batch_id)
        return Batch(manifest.batch_id, sender, place, stamp, digest, received, wall_time(manifest.extracted_at),
                     manifest.period.from_, manifest.period.to, self.senders.get(sender), manifest.source_system,
                     manifest.schema_version, tuple(files), problem, size, _text_bytes(profile, size))

    def _loose(self, sender: str, entry: os.DirEntry) -> Batch | None:
        state = entry.stat(follow_symlinks=False)
        place, stamp = f"{sender}/{entry.name}", (state.st_size, state.st_mtime_ns)
        if self._done(sender, self.known.stamps.get((place, *stamp))):
            self.skipped += 1
            return None
        if not self._settled(state.st_mtime_ns):
            self.waiting.append(place)
            return None
        path = Path(entry.path)
        digest = digest_of(path)
        after = os.stat(path)
        if (after.st_size, after.st_mtime_ns) != stamp:
            self.waiting.append(place)
            return None
        profile = self.profiles.get(self.senders.get(sender, ""))
        problem = self._sender_problem(sender)
        received = _mtime(state.st_mtime_ns)
        extract = profile.extract_of(entry.name) if profile else None
        period = re.search(r"(?<![0-9])([0-9]{8}|[0-9]{6})(?:-([0-9]{1,4}))?(?![0-9])", entry.name)
        first = last = received.date()
        name = _safe_name(path.stem)
        seq = 1
        if period:
            try:
                first = dt.datetime.strptime(period[1].ljust(8, "0")[:6] + (period[1][6:] or "01"), "%Y%m%d").date()
                following = (first.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
                last = first if len(period[1]) == 8 else following - dt.timedelta(days=1)
                name, seq = period[1], int(period[2] or 1)
            except ValueError:
                period = None
        if profile and extract is None and problem is None:
            problem = Refused("file_name", f"文件名“{entry.name}”不符合约定:{'、'.join({e.file for e in profile.extracts.values()})}",
                              f"file name {entry.name} fits none of {sorted({e.file for e in profile.extracts.values()})}")
        while True:                                          # a workbook sent again under its old name is a new batch
            batch_id = f"{sender}-{name}-{seq:02d}"
            if self._done(sender, self.known.digests.get((batch_id, digest))):
                self.skipped += 1
                return None
            if batch_id not in self.known.accepted and batch_id not in self.taken:
                break
            seq += 1
        self.taken.add(batch_id)
        files = (File(path, None if profile and profile.format == "xlsx" else extract, digest),)
        return Batch(batch_id, sender, place, stamp, digest, received, received, first, last, self.senders.get(sender),
                     None, None, files, problem, state.st_size, _text_bytes(profile, state.st_size))


def look(landing: Path, profiles: dict[str, Profile], known: Known, *, as_of: dt.datetime | None = None,
         quiet_seconds: float = 60, now: dt.datetime | None = None) -> Pending:
    """The new batches, in the order of receipt and batch id, received at or before `as_of`.

    A batch without manifest, or with files missing, waits until nothing in it has changed for `quiet_seconds` before
    `now`; without `now` nothing waits for time, but a file that changes while it is read still waits.
    """
    eye = _Look(landing, read_senders(landing), profiles, known, quiet_seconds, now)
    limit = wall_time(as_of) if as_of else None
    found = [b for b in eye.batches() if limit is None or b.received_at <= limit]
    found.sort(key=lambda b: (b.received_at, b.batch_id, b.landing_path))
    first: dict[str, Batch] = {}
    new = []
    for b in found:                                          # one batch id in two folders
        if b.batch_id not in first:
            first[b.batch_id] = b
        elif first[b.batch_id].digest == b.digest:
            eye.skipped += 1
            continue
        else:
            b = replace(b, refused=b.refused or _id_reused(b.batch_id))
        new.append(b)
    return Pending(tuple(new), tuple(eye.waiting), eye.skipped)


def pending_fingerprint(home: Path, landing: Path, *, quiet_seconds: float = 60, as_of: dt.datetime | None = None,
                        now: dt.datetime | None = None) -> str | None:
    """What is waiting to be taken in, as a short text that changes with it; None when nothing is."""
    pending = look(landing, load_profiles(), ledger.known(home), as_of=as_of, quiet_seconds=quiet_seconds, now=now)
    if not pending.batches:
        return None
    return hashlib.sha256("\n".join(f"{b.landing_path}|{b.digest}" for b in pending.batches).encode()).hexdigest()[:16]
