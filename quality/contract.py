"""The contract kernel: reads the records of `contracts/` and tells every other layer what an extract is.

Put here: the typed model of a contract, its loader, and the physical types derived from it.
Put elsewhere: what a rule template means (`rules.py`), Pandera (`schema.py`), rendered files (`render/`).
"""

import re
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from quality.rules import template

ROOT = Path(__file__).parent / "contracts"
TIMEZONE = "Asia/Shanghai"

# Every staged row carries these, whatever its extract (law 2, lineage; law 3, as-of).
LINEAGE: dict[str, pl.DataType] = {
    "_batch_id": pl.String(),
    "_file_digest": pl.String(),       # SHA-256 of the file as it was received
    "_sheet": pl.String(),             # worksheet of a workbook, else null
    "_line_no": pl.Int64(),            # physical line of a text file, row of a sheet, row number + 1 of a Parquet file
    "_received_at": pl.Datetime("us"),       # when the bureau received the batch, Asia/Shanghai wall time
    "_source_updated_at": pl.Datetime("us"),
    "_op_type": pl.String(),           # I, U or D
    "_row_hash": pl.UInt64(),          # over the staged business columns
    "_load_id": pl.String(),           # L000001 …: the load that committed the row
}


class Strict(BaseModel):
    """A record that refuses unknown keys, so that a misspelt setting cannot pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class ValueSet(Strict):
    """A code list (`values`: code to (zh, en)), or a code system held by its `pattern` or reference `file`."""

    name: str
    zh: str
    en: str
    standard: str
    status: str = ""
    pattern: str | None = None
    file: str | None = None
    values: dict[str, tuple[str, str]] = {}


_TYPE = re.compile(r"^(string|decimal|text|int|bool|date|datetime)(?:\((\d+)(?:,\s*(\d+))?\))?$")


class Column(Strict):
    """One column of an extract as the institution sends it."""

    name: str
    zh: str
    en: str
    type: str
    unit: str | None = None
    required: bool = False
    values: str | None = None
    pattern: str | None = None
    min: Decimal | None = None
    max: Decimal | None = None
    pii: Literal["none", "quasi_identifier", "sensitive_attribute", "direct_identifier"] = "none"
    pseudonym: str | None = None       # a direct identifier that leaves ingestion only as this keyed hash
    compare_peers: bool = False        # the shares of its codes are held against institutions of the same class
    note: str | None = None
    note_zh: str | None = None
    example: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "Column":
        if not _TYPE.match(self.type):
            raise ValueError(f"column {self.name}: unknown type {self.type!r}")
        if self.pseudonym and self.pii != "direct_identifier":
            raise ValueError(f"column {self.name}: only a direct identifier takes a pseudonym")
        if (self.note is None) != (self.note_zh is None):
            raise ValueError(f"column {self.name}: note and note_zh go together")
        return self

    @property
    def kind(self) -> str:
        """The type without its size: string, text, int, decimal, bool, date or datetime."""
        return _TYPE.match(self.type)[1]

    @property
    def size(self) -> tuple[int, int] | None:
        """(length, 0) of a string, (precision, scale) of a decimal, else None."""
        m = _TYPE.match(self.type)
        return (int(m[2]), int(m[3] or 0)) if m[2] else None

    @property
    def polars_type(self) -> pl.DataType:
        match self.kind:
            case "decimal":
                return pl.Decimal(*self.size)
            case "int":
                return pl.Int64()
            case "bool":
                return pl.Boolean()
            case "date":
                return pl.Date()
            case "datetime":
                return pl.Datetime("us")
        return pl.String()

    @property
    def is_identifier(self) -> bool:
        return self.pii == "direct_identifier"


class Reference(Strict):
    """A foreign key: `column` names `key` of `extract`, inside the same institution unless `county_wide`."""

    column: str
    extract: str
    key: str
    county_wide: bool = False


class Person(Strict):
    """Which columns make `person_key`: the identity document, or inside the institution the local number."""

    id_type: str | None = None
    id_number: str
    fallback: str


class Due(Strict):
    """When a period's file is due: `days` after the period's last day, at `at` (Asia/Shanghai)."""

    days: int
    at: str


class Purpose(Strict):
    """The entry of the register of processing (PS-50): why it is collected, on what ground, for whom, how long."""

    zh: str
    en: str
    basis_zh: str
    basis_en: str
    recipients: tuple[str, ...]
    retention_years: int
    level: Literal[1, 2, 3, 4, 5]      # data level after GB/T 39725


class Rule(Strict):
    """A cross-field rule as a record over one of the templates of `rules.py`.

    `severity` error sends the row to quarantine, warn lets it pass and counts it.
    """

    id: str
    template: str
    with_: dict[str, Any] = Field(alias="with", default={})
    severity: Literal["error", "warn"] = "error"
    zh: str
    en: str
    mend_zh: str
    mend_en: str
    source: str | None = None


class Contract(Strict):
    """One extract: the only place where its columns are declared."""

    name: str
    id: str
    zh: str
    en: str
    grain: str
    grain_zh: str
    owner: str
    primary_key: tuple[str, ...]
    event_date: str | None = None      # the column that dates a row; None for an undated reference list
    kind: Literal["event", "full", "delta"]
    cadence: Literal["daily", "monthly", "quarterly", "yearly"]
    due: Due
    lateness: str
    source: str
    version: str = "1.0"
    sent_by: Literal["institution", "authority"] = "institution"
    purpose: Purpose
    person: Person | None = None
    references: tuple[Reference, ...] = ()
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "Contract":
        names = [c.name for c in self.columns]
        if len(names) != len(set(names)):
            raise ValueError(f"{self.name}: a column is declared twice")
        named = set(self.primary_key) | {r.column for r in self.references}
        named |= {self.event_date} if self.event_date else set()
        if self.person:
            named |= {c for c in (self.person.id_type, self.person.id_number, self.person.fallback) if c}
        for rule in self.rules:
            named |= set(template(rule.template, rule.with_).columns()) - LINEAGE.keys()
        if len({r.id for r in self.rules}) != len(self.rules):
            raise ValueError(f"{self.name}: a rule is declared twice")
        if missing := named - set(names):
            raise ValueError(f"{self.name}: names columns it does not declare: {sorted(missing)}")
        return self

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {c.name: c for c in self.columns}

    @cached_property
    def staged_schema(self) -> dict[str, pl.DataType]:
        """Column to Polars type of a staged row: no direct identifier, pseudonyms instead, lineage last."""
        schema: dict[str, pl.DataType] = {}
        for c in self.columns:
            if not c.is_identifier:
                schema[c.name] = c.polars_type
            elif c.pseudonym:
                schema[c.pseudonym] = pl.String()
        if self.person:
            schema["person_key"] = pl.String()
            # A identity document with valid check digit, B document, C local number only
            schema["person_match"] = pl.String()
        return schema | LINEAGE

    @cached_property
    def staged_key(self) -> tuple[str, ...]:
        """The primary key as it stands in a staged row: identifiers replaced by their pseudonyms."""
        return tuple(self.by_name[k].pseudonym or k for k in self.primary_key)


def _read(path: Path) -> Any:
    with path.open(encoding="utf-8") as f:
        return yaml.safe_load(f)


class Words(Strict):
    """Words of the contracts' own vocabulary that people read, in both languages."""

    units: dict[str, tuple[str, str]]
    recipients: dict[str, str]         # role of the register of processing, to its Chinese name


@lru_cache
def load_words(root: Path = ROOT) -> Words:
    """Raises ValueError naming the file when it is malformed."""
    path = root / "words.yaml"
    try:
        return Words(**_read(path))
    except Exception as error:
        raise ValueError(f"{path.name}: {error}") from error


@lru_cache
def load_value_sets(root: Path = ROOT) -> dict[str, ValueSet]:
    """Every value set by name. Raises ValueError naming the file when a record is malformed."""
    path = root / "value_sets.yaml"
    try:
        return {name: ValueSet(name=name, **body) for name, body in _read(path).items()}
    except Exception as error:
        raise ValueError(f"{path.name}: {error}") from error


@lru_cache
def load_contracts(root: Path = ROOT) -> dict[str, Contract]:
    """Every contract by extract name, cross-checked: value sets, units, recipients and references resolve.

    Raises ValueError naming the file, and the key that is unknown or missing.
    """
    sets, words, contracts = load_value_sets(root), load_words(root), {}
    for path in sorted((root / "extracts").glob("*.yaml")):
        try:
            contract = Contract(**_read(path))
        except Exception as error:
            raise ValueError(f"{path.name}: {error}") from error
        if contract.name != path.stem:
            raise ValueError(f"{path.name}: declares the extract {contract.name!r}")
        if unknown := {c.values for c in contract.columns if c.values} - sets.keys():
            raise ValueError(f"{path.name}: unknown value sets {sorted(unknown)}")
        if unknown := {c.unit for c in contract.columns if c.unit} - words.units.keys():
            raise ValueError(f"{path.name}: units that words.yaml does not name: {sorted(unknown)}")
        if unknown := set(contract.purpose.recipients) - words.recipients.keys():
            raise ValueError(f"{path.name}: recipients that words.yaml does not name: {sorted(unknown)}")
        contracts[contract.name] = contract
    for contract in contracts.values():
        for r in contract.references:
            if r.extract not in contracts or r.key not in contracts[r.extract].by_name:
                raise ValueError(f"{contract.name}.yaml: reference to unknown {r.extract}.{r.key}")
    return contracts
