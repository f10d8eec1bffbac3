"""Back from a row to the line that the institution sent.

Put here: finding and showing one line of an archived file. Put elsewhere: who may ask, and the record of asking.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ingestion import ledger, sealed
from ingestion.identity import KeyRing, hide_numbers, mask_value
from ingestion.normalise import columns_of
from ingestion.profile import Profile, load_checked
from ingestion.readers import Limits, open_file, parse
from quality.contract import Contract, load_contracts


@dataclass(frozen=True)
class Line:
    """One line as it was sent: our column, and the value with identifiers masked."""

    batch_id: str
    sender: str
    extract: str
    file_name: str
    sheet: str | None
    line_no: int
    fields: dict[str, str | None]


def trace(home: Path, keys: KeyRing, digest: str, line_no: int, extract: str | None = None, *,
          contracts: dict[str, Contract] | None = None, profiles: dict[str, Profile] | None = None) -> Line:
    """The line of an archived file, by the file's digest. A workbook needs `extract` to tell its sheets apart.

    Raises LookupError when the archive has no such file, or the file no such line; a line that is no record has no
    fields that could be told apart, and is not shown.
    """
    contracts = contracts or load_contracts()
    profiles = profiles or load_checked(contracts)
    files = ledger.table(home, "files", ledger.FILES).filter(
        (pl.col("file_digest") == digest) & (pl.col("status") == "accepted"))
    if extract:
        files = files.filter(pl.col("extract") == extract)
    if files.height == 0:
        raise LookupError(f"no accepted file with digest {digest}" + (f" and extract {extract}" if extract else ""))
    file = files.row(0, named=True)
    batch = ledger.table(home, "batches", ledger.BATCHES).filter(
        (pl.col("batch_id") == file["batch_id"]) & (pl.col("load_id") == file["load_id"])).row(0, named=True)
    profile, contract = profiles[batch["profile"]], contracts[file["extract"]]
    memory = os.memfd_create("received")                     # a clear copy on the disk would outlive a crash
    with os.fdopen(memory, "wb") as f:
        f.write(sealed.read_archived(home, digest, keys.vault))
        f.flush()
        opened = open_file(Path(f"/proc/self/fd/{memory}"), file["extract"], profile, Limits())
    part = next(p for p in opened.parts if p.extract == file["extract"])
    at = (part.line_numbers() == line_no).nonzero()[0]
    if not len(at):
        raise LookupError(f"line {line_no} of {file['file_name']} is no record")
    columns = columns_of(part.header, profile, contract, batch["period_from"])
    values = parse([part], profile)[0].row(int(at[0]))
    fields = {}
    for name, value in zip(columns, values, strict=True):
        if name in contract.by_name and contract.by_name[name].is_identifier:
            fields[name] = mask_value(value)
        else:
            fields[name] = pl.select(hide_numbers(pl.lit(value, pl.String))).item()
    return Line(file["batch_id"], file["sender"], file["extract"], file["file_name"], file["sheet"], line_no, fields)
