"""Writes rows in the dialect of a source profile: the profile read backwards.

Put here: headers, codes, units, formats and the file formats. Put elsewhere: which rows go into which batch (`outbox.py`).
The profiles are read as plain data; nothing of the ingestion's code is used, so that a mistake there is not repeated here.
"""

import datetime as dt
import gzip
import io
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import polars as pl
import yaml

from quality.contract import Contract

PROFILES = Path(__file__).parents[1] / "ingestion" / "profiles"
ENVELOPE = ("op_type", "source_updated_at")
_ZIP_DATE = (2024, 1, 1, 0, 0, 0)


class Dialect:
    """A source profile that writes. `extracts` are those its system can send."""

    def __init__(self, name: str, contracts: dict[str, Contract]) -> None:
        with (PROFILES / f"{name}.yaml").open(encoding="utf-8") as f:
            self.body: dict[str, Any] = yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.name, self.contracts = name, contracts
        self.extracts = [e for e in self.body["extracts"] if e in contracts]
        self.format = self.body["format"]
        self.null = self.body.get("null_values", [""])[0]

    def conform(self, extract: str, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows with what this system does not send taken out, and what it always means put in."""
        spec, contract = self.body["extracts"][extract], self.contracts[extract]
        constants = spec.get("constants", {})
        changes = [pl.lit(None, contract.by_name[c].polars_type).alias(c) for c in spec.get("absent", []) if c not in constants]
        for column, value in constants.items():
            kind = contract.by_name[column].kind
            changes.append(
                pl.lit(str(value).lower() in ("true", "1") if kind == "bool" else value)
                .cast(contract.by_name[column].polars_type)
                .alias(column)
            )
        return frame.with_columns(changes) if changes else frame

    def headers(self, extract: str, period_from: dt.date) -> dict[str, str]:
        """Our column to their header, as it is in force for a period."""
        spec, contract = self.body["extracts"][extract], self.contracts[extract]
        if not spec.get("headers"):
            return {c: c for c in [*contract.by_name, *ENVELOPE]}
        newest = max((h for h in spec["headers"] if h["from"] <= period_from), key=lambda h: h["from"])
        return {column: header for header, column in newest["map"].items()}

    def file_name(self, extract: str, period: str) -> str:
        return self.body["extracts"][extract]["file"].replace("*", period)

    def localise(self, extract: str, frame: pl.DataFrame, period_from: dt.date) -> pl.DataFrame:
        """The rows under the vendor's headers, with its codes and units; types as its file format keeps them."""
        spec, contract = self.body["extracts"][extract], self.contracts[extract]
        codes, units = spec.get("codes", {}), spec.get("units", {})
        headers = self.headers(extract, period_from)
        truth = {v: k for k, v in self.body.get("booleans", {}).items()}
        out = []
        for column, header in headers.items():
            kind = (
                "datetime"
                if column == "source_updated_at"
                else "string"
                if column == "op_type"
                else contract.by_name[column].kind
            )
            e = pl.col(column)
            if column in codes:
                inverse: dict[str, str] = {}
                for local, ours in codes[column].items():
                    inverse.setdefault(str(ours), str(local))
                unknown = set(frame[column].drop_nulls().unique().to_list()) - inverse.keys()
                if unknown:
                    raise ValueError(f"{self.name}.yaml: {extract}.{column} has no local code for {sorted(unknown)}")
                e = e.replace_strict(inverse, return_dtype=pl.String)
            if column in units:
                factor = Decimal(str(units[column]["factor"]))
                times = (1 / factor).normalize()
                e = (e.cast(pl.Decimal(20, 4)) * pl.lit(times, pl.Decimal(20, 4))).cast(pl.Decimal(20, 2))
                if self.format != "parquet":
                    e = e.cast(pl.String).str.strip_suffix(".00")
            if self.format != "parquet":
                if kind == "bool":
                    e = pl.when(e).then(pl.lit(truth[True])).when(~e).then(pl.lit(truth[False]))
                elif kind == "date":
                    e = e.dt.strftime(self.body["date_format"])
                elif kind == "datetime" and self.format == "xlsx":
                    e = e.dt.strftime(self.body["datetime_format"])
            out.append(e.alias(header))
        return frame.select(out)

    def encode(self, frame: pl.DataFrame) -> bytes:
        """The bytes of one data file; workbooks are made by `workbook`."""
        if self.format == "parquet":
            buffer = io.BytesIO()
            frame.write_parquet(buffer, compression="zstd", statistics=True)
            return buffer.getvalue()
        text = frame.write_csv(
            separator=self.body["delimiter"],
            null_value=self.null,
            datetime_format=self.body["datetime_format"],
            quote_char=self.body["quote"],
            quote_style="necessary",
        )
        data = text.encode(self.body["encoding"])
        if self.body.get("compression") == "gzip":
            buffer = io.BytesIO()
            with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=5, filename="") as f:
                f.write(data)
            data = buffer.getvalue()
        return data

    def sheet(self, extract: str) -> str:
        return self.body["extracts"][extract]["sheet"]


def workbook(sheets: dict[str, pl.DataFrame]) -> bytes:
    """An XLSX workbook with one sheet per frame: numbers as numbers, everything else as text.

    Written as XML text because a year of village workbooks holds hundreds of millions of cells, and a cell-by-cell
    writer takes about five microseconds for each.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as z:

        def put(name: str, text: str) -> None:
            info = zipfile.ZipInfo(name, _ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, text.encode())

        head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
        package = "http://schemas.openxmlformats.org/package/2006"
        kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
        count = range(1, len(sheets) + 1)
        put(
            "[Content_Types].xml",
            f'{head}<Types xmlns="{package}/content-types"><Default Extension="rels" '
            f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
            + "".join(f'<Override PartName="/xl/worksheets/sheet{i}.xml" ContentType="{kind}.worksheet+xml"/>' for i in count)
            + "</Types>",
        )
        put(
            "_rels/.rels",
            f'{head}<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" Type="{rel}/officeDocument" '
            f'Target="xl/workbook.xml"/></Relationships>',
        )
        put(
            "xl/workbook.xml",
            f'{head}<workbook xmlns="{main}" xmlns:r="{rel}"><sheets>'
            + "".join(
                f'<sheet name="{escape(name)}" sheetId="{i}" r:id="rId{i}"/>' for i, name in zip(count, sheets, strict=True)
            )
            + "</sheets></workbook>",
        )
        put(
            "xl/_rels/workbook.xml.rels",
            f'{head}<Relationships xmlns="{package}/relationships">'
            + "".join(f'<Relationship Id="rId{i}" Type="{rel}/worksheet" Target="worksheets/sheet{i}.xml"/>' for i in count)
            + "</Relationships>",
        )
        for i, frame in zip(count, sheets.values(), strict=True):
            put(
                f"xl/worksheets/sheet{i}.xml",
                f'{head}<worksheet xmlns="{main}"><sheetData>{_rows(frame)}</sheetData></worksheet>',
            )
    return buffer.getvalue()


def _text_cell(value: str) -> str:
    return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def _rows(frame: pl.DataFrame) -> str:
    header = "<row>" + "".join(_text_cell(c) for c in frame.columns) + "</row>"
    if not frame.height:
        return header
    cells = []
    for name, dtype in frame.schema.items():
        e = pl.col(name)
        if dtype.is_numeric():
            cell = pl.concat_str([pl.lit("<c><v>"), e.cast(pl.String), pl.lit("</v></c>")])
        else:
            text = e.cast(pl.String).str.replace_all("&", "&amp;", literal=True).str.replace_all("<", "&lt;", literal=True)
            cell = pl.concat_str([pl.lit('<c t="inlineStr"><is><t>'), text, pl.lit("</t></is></c>")])
        cells.append(cell.fill_null("<c/>"))
    body = frame.select(pl.concat_str([pl.lit("<row>"), *cells, pl.lit("</row>")]).str.join("")).item()
    return header + body
