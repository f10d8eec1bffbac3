"""Opens what an institution sent, and hands on clean records with their line numbers.

Put here: everything that must be mistrusted about a file as such: compression, encoding, structure, size.
Put elsewhere: what headers and values mean (`normalise.py`), whether a batch is taken (`load.py`).

A text file is read once: hashed, decompressed, decoded and checked line by line. Polars is given only lines that are
one well-formed record each, because it pads short rows, cuts or refuses long ones, and lets a stray quote swallow what
follows. So a row's line number is exact, and a broken line costs that line.
"""

import csv
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fastexcel
import numpy as np
import polars as pl

from ingestion.profile import Profile
from ingestion.refusal import Refused

BLOCK = 1 << 20
SMALL = 64 << 10           # below it a ratio says nothing: a page of equal lines packs well


@dataclass(frozen=True)
class Limits:
    """What a file may be. The defaults are about ten times what the largest hospital of a county sends in a month."""

    max_file_bytes: int = 2 << 30
    max_unpacked_bytes: int = 4 << 30      # a month of charge lines of a county hospital is 0.3 GB of text
    max_ratio: int = 200                   # real extracts pack 5 to 20 times; a bomb packs a thousand times
    max_columns: int = 1000                # the widest contract has 75
    max_line_bytes: int = 1 << 20
    max_rows: int = 20_000_000
    max_broken_share: float = 0.05         # above it the file is in another encoding or dialect, not a bad line
    max_record_lines: int = 50             # a quoted field with line breaks in it


@dataclass
class Broken:
    """A line that is no record."""

    line_no: int
    zh: str
    en: str
    found: str


@dataclass
class Part:
    """The records of one file, or of one sheet, of one extract: text as it was sent, under the sender's headers.

    `body` holds UTF-8 lines for Polars to parse (text files and worksheets), `frame` the values of Parquet.
    """

    header: list[str]
    sheet: str | None
    extract: str | None
    physical_lines: int
    broken: list[Broken] = field(default_factory=list)
    body: bytes = b""
    frame: pl.DataFrame | None = None
    line_runs: list[tuple[int, int]] = field(default_factory=list)     # (first line, how many) of the good records

    def add_run(self, line_no: int, n: int) -> None:
        """Count n good records from a line on."""
        if self.line_runs and sum(self.line_runs[-1]) == line_no:
            self.line_runs[-1] = (self.line_runs[-1][0], self.line_runs[-1][1] + n)
        elif n:
            self.line_runs.append((line_no, n))

    @property
    def good_rows(self) -> int:
        return sum(n for _, n in self.line_runs)

    @property
    def rows_received(self) -> int:
        return self.good_rows + len(self.broken)

    def line_numbers(self) -> np.ndarray:
        """The physical line of each good record."""
        runs = [np.arange(start, start + n, dtype=np.int64) for start, n in self.line_runs]
        return np.concatenate(runs) if runs else np.empty(0, np.int64)


@dataclass(frozen=True)
class Opened:
    """A file as it was received: its digest, and its parts."""

    digest: str
    bytes: int
    parts: tuple[Part, ...]


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in blocks."""
    sha = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(BLOCK):
            sha.update(block)
    return sha.hexdigest()


def open_file(path: Path, extract: str | None, profile: Profile, limits: Limits) -> Opened:
    """Read one file of a sender. Raises Refused with the reason when it is not what the profile says."""
    size = path.stat().st_size
    if size == 0:
        raise Refused("empty_file", "文件为空(0 字节),请重新导出", "the file has 0 bytes; export it again")
    if size > limits.max_file_bytes:
        raise Refused("too_large", f"文件 {size} 字节,超过上限 {limits.max_file_bytes},请按较短的期间拆分",
                      f"{size} bytes, more than {limits.max_file_bytes}; split it into shorter periods")
    match profile.format:
        case "csv":
            reader = _Text(path, extract, profile, limits)
            return Opened(reader.digest, size, (reader.part,))
        case "xlsx":
            return Opened(digest_of(path), size, tuple(_workbook(path, profile, limits)))
    return Opened(digest_of(path), size, (_parquet(path, extract, limits),))


# --- text ------------------------------------------------------------------------------------------------------------

def _raw_blocks(path: Path, sha, profile: Profile, limits: Limits) -> Iterator[bytes]:
    with path.open("rb") as f:
        if profile.compression == "none":
            while block := f.read(BLOCK):
                sha.update(block)
                yield block
            return
        packed, unpacked, unzip = 0, 0, zlib.decompressobj(wbits=31)
        while block := f.read(BLOCK // 4):
            sha.update(block)
            packed += len(block)
            while block:
                if unzip.eof:                       # a further gzip member
                    unzip = zlib.decompressobj(wbits=31)
                try:
                    out = unzip.decompress(block, BLOCK)
                except zlib.error as error:
                    raise Refused("gzip_damaged", f"压缩文件损坏(第 {packed} 字节之前),请重新压缩并发送",
                                  f"not readable as gzip before byte {packed}; pack and send it again") from error
                block = unzip.unconsumed_tail or (unzip.unused_data if unzip.eof else b"")
                unpacked += len(out)
                if unpacked > limits.max_unpacked_bytes or unpacked > max(packed, SMALL) * limits.max_ratio:
                    raise Refused("zip_bomb", f"解压后超过 {unpacked} 字节,压缩比异常,拒收",
                                  f"unpacks to more than {unpacked} bytes from {packed}: refused as a zip bomb")
                if out:
                    yield out
        if not unzip.eof:
            raise Refused("gzip_truncated", f"压缩文件不完整(仅 {packed} 字节),请重新传输",
                          f"the gzip stream ends early, after {packed} bytes; transfer it again")


class _Text:
    """One pass over one text file."""

    def __init__(self, path: Path, extract: str | None, profile: Profile, limits: Limits) -> None:
        self.profile, self.limits = profile, limits
        self.encoding = "utf-8" if profile.encoding.lower().startswith("utf-8") else profile.encoding
        self.delimiter, self.quote = profile.delimiter.encode(), profile.quote.encode()
        self.line_no = 0                 # physical lines seen
        self.offset = 0                  # bytes of the unpacked file seen
        self.header: list[str] | None = None
        self.body = bytearray()
        self.part = Part([], None, extract, 0)
        self.broken = self.part.broken
        self.good = 0
        self.waiting: list[tuple[int, bytes]] = []     # from the first unclosed quote on: judged at the end
        sha = hashlib.sha256()
        carry = b""
        for block in _raw_blocks(path, sha, profile, limits):
            data = carry + block
            cut = data.rfind(b"\n") + 1
            carry = data[cut:]
            if len(carry) > limits.max_line_bytes:
                raise Refused("line_too_long", f"第 {self.line_no + 1} 行超过 {limits.max_line_bytes} 字节,不是文本抽取文件",
                              f"line {self.line_no + 1} is longer than {limits.max_line_bytes} bytes: no text extract")
            if cut:
                self._block(data[:cut])
        if carry:
            self._block(carry + b"\n")
        if self.header is None:
            raise Refused("empty_file", "文件没有表头,请重新导出", "the file has no header line; export it again")
        self._settle_waiting()
        self._tolerate(5)
        self.digest = sha.hexdigest()
        self.broken.sort(key=lambda b: b.line_no)
        self.part.header, self.part.physical_lines, self.part.body = self.header, self.line_no, bytes(self.body)

    def _block(self, raw: bytes) -> None:
        if self.offset == 0:
            if raw.startswith((b"\xff\xfe", b"\xfe\xff", b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"\xd0\xcf\x11\xe0")):
                raise Refused("not_text", f"不是 {self.profile.encoding} 文本(文件头为其他格式),请按约定格式导出",
                              f"not {self.profile.encoding} text but another format by its first bytes; "
                              "export it in the agreed form")
            for mark in (b"\xef\xbb\xbf", b"\x84\x31\x95\x33"):
                if raw.startswith(mark):
                    raw, self.offset = raw[len(mark):], len(mark)
        if (at := raw.find(b"\0")) >= 0:
            byte, line = self.offset + at, self.line_no + 1 + raw[:at].count(b"\n")
            raise Refused("not_text", f"第 {byte} 字节(第 {line} 行)为空字节,文件不是文本",
                          f"a NUL at byte {byte}, line {line}: no text")
        try:
            text = raw.decode(self.encoding)
        except UnicodeDecodeError:
            self._undecodable(raw)
        else:
            utf8 = raw if self.encoding == "utf-8" else text.encode()
            del text
            self._lines(utf8)
        self.offset += len(raw)

    def _undecodable(self, raw: bytes) -> None:
        """Line by line: a field cut inside a character, as column widths in bytes do it, costs that line only."""
        offset = self.offset
        for line in raw.split(b"\n")[:-1]:
            try:
                utf8 = line.decode(self.encoding).encode()
            except UnicodeDecodeError as error:
                at = offset + error.start
                if self.header is None:
                    raise Refused("wrong_encoding", f"表头(第 {self.line_no + 1} 行,第 {at} 字节)不是 {self.profile.encoding} 编码",
                                  f"the header (line {self.line_no + 1}, byte {at}) is not {self.profile.encoding}; "
                                  "save the file in that encoding") from None
                self.line_no += 1
                self.broken.append(Broken(self.line_no, f"第 {at} 字节不是 {self.profile.encoding} 编码",
                                          f"byte {at} is not {self.profile.encoding}", "undecodable"))
                if len(self.broken) > max(20, self.limits.max_broken_share * self.good):
                    raise Refused("wrong_encoding", f"不是 {self.profile.encoding} 编码:首个错误在第 {self.broken[0].line_no} 行,"
                                  f"{self.broken[0].zh};请按该编码保存",
                                  f"not {self.profile.encoding}: first on line {self.broken[0].line_no}, "
                                  f"{self.broken[0].en}; save the file in that encoding") from None
            else:
                self._lines(utf8 + b"\n")
            offset += len(line) + 1

    def _lines(self, utf8: bytes) -> None:
        if b"\r\n" in utf8:
            utf8 = utf8.replace(b"\r\n", b"\n")
        lines = utf8.split(b"\n")
        lines.pop()
        start = self.line_no + 1
        self.line_no += len(lines)
        if self.header is None:
            while lines and not lines[0].strip():
                lines.pop(0)
                start += 1
            if not lines:
                return
            self._header(lines.pop(0).decode())
            utf8 = b"".join(line + b"\n" for line in lines)
            start += 1
        if self.waiting:
            self.waiting += enumerate(lines, start)
            return
        width = len(self.header) - 1
        d = self.delimiter
        if (self.quote not in utf8 and b"\r" not in utf8 and width
                and [line.count(d) for line in lines].count(width) == len(lines)):
            self.body += utf8
            self._run(start, len(lines))
            return
        for line_no, line in enumerate(lines, start):
            if self.waiting:
                self.waiting.append((line_no, line))
            elif self.quote not in line and b"\r" not in line and width and line.count(d) == width:
                self.body += line + b"\n"
                self._run(line_no, 1)
            elif not line.strip():
                continue
            elif (fields := self._fields(line.decode())) is None:
                self.waiting.append((line_no, line))
            else:
                self._record(line_no, fields)

    def _header(self, text: str) -> None:
        if text.count(self.profile.delimiter) >= self.limits.max_columns:
            raise Refused("too_many_columns", f"表头有 {text.count(self.profile.delimiter) + 1} 列,上限 {self.limits.max_columns}",
                          f"{text.count(self.profile.delimiter) + 1} columns, at most {self.limits.max_columns}")
        fields = self._fields(text)
        if fields is None:
            raise Refused("structure", "表头的引号没有闭合", "the header has an unclosed quote")
        self.header = fields

    def _run(self, line_no: int, n: int) -> None:
        self.good += n
        self.part.add_run(line_no, n)

    def _fields(self, text: str) -> list[str] | None:
        """The fields of a record, None when a quote is still open."""
        options = {"delimiter": self.profile.delimiter, "quotechar": self.profile.quote}
        try:
            return next(csv.reader(io.StringIO(text, newline=""), strict=True, **options), [])
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                return None
        try:
            return next(csv.reader(io.StringIO(text, newline=""), **options), [])
        except csv.Error:
            return None

    def _record(self, line_no: int, fields: list[str]) -> None:
        want = len(self.header)
        if len(fields) != want:
            self.broken.append(Broken(line_no, f"应有 {want} 列,实有 {len(fields)} 列",
                                      f"{want} fields expected, {len(fields)} found", f"{len(fields)} fields"))
            if len(self.broken) % 1000 == 0:
                self._tolerate(5)
            return
        # written again by one known dialect: Polars and the csv module differ on quotes inside a field
        out = io.StringIO()
        csv.writer(out, delimiter=self.profile.delimiter, quotechar=self.profile.quote, lineterminator="\n").writerow(
            [" ".join(re.split(r"[\r\n]+", f)) if "\n" in f or "\r" in f else f for f in fields])
        self.body += out.getvalue().encode()
        self._run(line_no, 1)

    def _tolerate(self, always: int) -> None:
        """Refuse a file with too large a share of broken lines; `always` so many are borne."""
        share = len(self.broken) / max(1, len(self.broken) + self.good)
        if len(self.broken) > always and share > self.limits.max_broken_share:
            first = self.broken[0]
            raise Refused("structure", f"{len(self.broken)} 行({share:.0%})不是记录,首个在第 {first.line_no} 行:{first.zh};"
                          "请检查分隔符与列数",
                          f"{len(self.broken)} lines ({share:.0%}) are no records, the first is line {first.line_no}: "
                          f"{first.en}; see the delimiter and the number of columns")

    def _settle_waiting(self) -> None:
        """After an unclosed quote: take the lines up to the closing one as one record only when none of them is a
        record by itself; otherwise the quote is a slip, and only its own line is bad."""
        lines, i, want = self.waiting, 0, len(self.header)
        while i < len(lines):
            line_no, line = lines[i]
            i += 1
            if not line.strip():
                continue
            text = line.decode()
            fields = self._fields(text)
            taken = 0
            if fields is None:
                for n, (_, further) in enumerate(lines[i:i + self.limits.max_record_lines], 1):
                    more = further.decode()
                    alone = self._fields(more)
                    if alone is not None and len(alone) == want:
                        break
                    text += "\n" + more
                    joined = self._fields(text)
                    if joined is not None:
                        if len(joined) == want:
                            fields, taken = joined, n
                        break
            if fields is None:
                self.broken.append(Broken(line_no, "引号没有闭合", "a quote is not closed", "unclosed quote"))
            else:
                self._record(line_no, fields)
                i += taken


def parse(parts: list[Part], profile: Profile) -> list[pl.DataFrame]:
    """The records of each part as text columns c0, c1 …, nulls where nothing stands.

    Text parts must share one header width; they are parsed in one call, which costs the same as one file.
    """
    if not parts:
        return []
    if parts[0].frame is not None:
        return [p.frame for p in parts]
    names = [f"c{i}" for i in range(len(parts[0].header))]

    def read(body: bytes) -> pl.DataFrame:
        if not body:
            return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        return pl.read_csv(body, has_header=False, new_columns=names, infer_schema=False, separator=profile.delimiter,
                           quote_char=profile.quote, eol_char="\n")

    whole = read(b"".join(p.body for p in parts))
    rows = [p.good_rows for p in parts]
    if whole.height == sum(rows):
        starts = np.concatenate([[0], np.cumsum(rows)])
        return [whole.slice(int(starts[i]), n) for i, n in enumerate(rows)]
    frames = [read(p.body) for p in parts]
    for part, frame in zip(parts, frames, strict=True):
        if frame.height != part.good_rows:
            raise Refused("parser_disagrees", f"解析得 {frame.height} 行,逐行核对为 {part.good_rows} 行,拒收以防丢行",
                          f"the parser sees {frame.height} rows, the line check {part.good_rows}: refused, "
                          "so that no row is lost")
    return frames


# --- workbooks -------------------------------------------------------------------------------------------------------

def _sheet_files(book: zipfile.ZipFile) -> dict[str, str]:
    """Worksheet file inside the workbook -> its name; empty when the index is unusual."""
    try:
        index = book.read("xl/workbook.xml").decode("utf-8", "replace")
        links = book.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")
    except KeyError:
        return {}
    targets = {}
    for tag in re.findall(r"<Relationship\b[^>]*>", links):
        if (i := re.search(r'\bId="([^"]+)"', tag)) and (t := re.search(r'\bTarget="([^"]+)"', tag)):
            targets[i[1]] = "xl/" + t[1].removeprefix("/xl/")
    names = {}
    for tag in re.findall(r"<sheet\b[^>]*>", index):
        if (n := re.search(r'\bname="([^"]+)"', tag)) and (r := re.search(r'\br:id="([^"]+)"', tag)):
            names[targets.get(r[1], "")] = n[1]
    return names


def _check_workbook(path: Path, limits: Limits) -> None:
    try:
        book = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise Refused("not_workbook", "不是 XLSX 工作簿(或已加密、损坏),请另存为 .xlsx",
                      "not an XLSX workbook, or encrypted, or damaged; save it as .xlsx") from error
    with book:
        sheets, unpacked = _sheet_files(book), 0
        for member in book.infolist():
            try:
                with book.open(member) as stream:
                    tail = b""
                    while block := stream.read(BLOCK):
                        unpacked += len(block)
                        if (unpacked > limits.max_unpacked_bytes
                                or unpacked > max(path.stat().st_size, SMALL) * limits.max_ratio):
                            raise Refused("zip_bomb", f"解压后超过 {unpacked} 字节,拒收",
                                          f"unpacks to more than {unpacked} bytes: refused as a zip bomb")
                        if member.filename.startswith("xl/worksheets/"):
                            seen = tail + block
                            if hit := re.search(rb'<c\b[^>]*\br="([A-Z]+[0-9]+)"[^>]*>\s*<f[\s>/]', seen):
                                cell, sheet = hit[1].decode(), sheets.get(member.filename, member.filename)
                                raise Refused("formula", f"工作表“{sheet}”单元格 {cell} 是公式,请复制后“选择性粘贴为数值”",
                                              f"sheet {sheet}, cell {cell} holds a formula; paste it as a value")
                            tail = seen[-300:]
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise Refused("not_workbook", "工作簿损坏或已加密,请重新保存", "the workbook is damaged or encrypted; "
                              "save it again") from error


def _workbook(path: Path, profile: Profile, limits: Limits) -> Iterator[Part]:
    _check_workbook(path, limits)
    try:
        reader = fastexcel.read_excel(path)
        loaded = [(name, reader.load_sheet(name, header_row=None, skip_rows=0, dtypes="string",
                                           skip_whitespace_tail_rows=True).to_polars())
                  for name in reader.sheet_names]
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise Refused("not_workbook", "工作簿无法读取,请重新另存为 .xlsx", "the workbook cannot be read; save it again "
                      "as .xlsx") from None
    found = 0
    for name, cells in loaded:
        extract = profile.extract_of_sheet(name)
        if extract is None:
            if cells.height and name not in profile.ignored_sheets:
                known = "、".join(e.sheet for e in profile.extracts.values())
                raise Refused("sheet_unknown", f"工作表“{name}”不在约定之内,应为:{known}",
                              f"sheet {name} is not among those agreed: {known}; rename or remove it")
            continue
        if cells.width > limits.max_columns or cells.height > limits.max_rows:
            raise Refused("too_many_columns", f"工作表“{name}”有 {cells.width} 列 {cells.height} 行,超过上限",
                          f"sheet {name} has {cells.width} columns and {cells.height} rows, above the limit")
        found += 1
        yield _sheet(name, extract, cells)
    if not found:
        raise Refused("sheet_unknown", "没有任何约定的工作表", "none of the agreed sheets is in the workbook")


def _sheet(name: str, extract: str, cells: pl.DataFrame) -> Part:
    """A worksheet as text lines, row by row: sheets are many and small, so that Polars' cost per call would dominate."""
    rows = iter(enumerate(cells.rows(), 1))
    header: list[str] = []
    for _, row in rows:
        header = [v or "" for v in row]
        if any(v.strip() for v in header):
            break
    while header and not header[-1].strip():
        header.pop()
    if not header:
        raise Refused("empty_file", f"工作表“{name}”没有表头", f"sheet {name} has no header row")
    part, width, out = Part(header, name, extract, cells.height), len(header), io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for line_no, row in rows:
        filled = [v for v in row if v and not v.isspace()]
        if not filled:
            continue
        if any(v and not v.isspace() for v in row[width:]):
            part.broken.append(Broken(line_no, f"应有 {width} 列,其后还有内容",
                                      f"cells beyond the {width} columns of the header", "cells beyond the header"))
            continue
        writer.writerow(row[:width] if not any("\n" in v or "\r" in v for v in filled) else
                        [" ".join(re.split(r"[\r\n]+", v)) if v else v for v in row[:width]])
        part.add_run(line_no, 1)
    part.body = out.getvalue().encode()
    return part


# --- Parquet ---------------------------------------------------------------------------------------------------------

def _parquet(path: Path, extract: str | None, limits: Limits) -> Part:
    try:
        lazy = pl.scan_parquet(path)
        schema, rows = lazy.collect_schema(), lazy.select(pl.len()).collect().item()
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise Refused("parquet_damaged", "不是完整的 Parquet 文件,请重新导出", "not a whole Parquet file; "
                      "export it again") from None
    if len(schema) > limits.max_columns:
        raise Refused("too_many_columns", f"有 {len(schema)} 列,上限 {limits.max_columns}",
                      f"{len(schema)} columns, at most {limits.max_columns}")
    if rows > limits.max_rows:
        raise Refused("too_large", f"有 {rows} 行,上限 {limits.max_rows}", f"{rows} rows, at most {limits.max_rows}")
    if nested := [n for n, t in schema.items() if t.is_nested() or t in (pl.Binary, pl.Object)]:
        raise Refused("parquet_types", f"列 {'、'.join(nested)} 的类型不是标量", f"columns {', '.join(nested)} are not "
                      "scalars; write text, numbers, dates or booleans")

    def as_text(name: str, kind: pl.DataType) -> pl.Expr:
        column = pl.col(name)
        if kind.base_type() == pl.Datetime:
            if kind.time_zone:
                column = column.dt.convert_time_zone("Asia/Shanghai")
            return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").str.strip_suffix(".000000")
        return column if kind == pl.String else column.cast(pl.String)

    try:
        frame = lazy.select(as_text(n, t).alias(f"c{i}") for i, (n, t) in enumerate(schema.items())).collect()
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise Refused("parquet_damaged", "Parquet 数据页损坏,请重新导出", "a data page is damaged; export it again") from None
    return Part(list(schema), None, extract, rows, frame=frame, line_runs=[(2, rows)] if rows else [])
