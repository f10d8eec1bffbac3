"""Source profiles: how one vendor's extracts become the contract's, as data.

Put here: the typed model of a profile, its loader, and the check that it covers the contracts.
Put elsewhere: applying a profile to rows (`normalise.py`), opening files (`readers.py`).
"""

import datetime as dt
import fnmatch
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from quality.contract import Contract

ROOT = Path(__file__).parent / "profiles"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)   # ten times faster where libyaml is there
ENVELOPE = ("op_type", "source_updated_at")  # every extract may carry them, none must


class Strict(BaseModel):
    """A record that refuses unknown keys, so that a misspelt setting cannot pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HeaderMap(Strict):
    """The vendor's header to our column, from a day on."""

    from_: dt.date = Field(alias="from")
    map: dict[str, str]


class Unit(Strict):
    """A number's unit at the vendor: ours = theirs * factor."""

    factor: Decimal
    zh: str
    en: str


class ExtractProfile(Strict):
    """How the vendor sends one extract."""

    file: str
    sheet: str | None = None
    headers: tuple[HeaderMap, ...] = ()    # none: the headers are the contract's column names
    codes: dict[str, dict[str, str]] = {}
    units: dict[str, Unit] = {}
    constants: dict[str, str] = {}
    absent: tuple[str, ...] = ()

    def header_map(self, contract: Contract, period_from: dt.date) -> dict[str, str]:
        """Their header -> our column for a period: the newest entry that is not after its first day.

        Raises LookupError when the profile knows no headers for that day.
        """
        if not self.headers:
            return {name: name for name in (*contract.by_name, *ENVELOPE)
                    if name not in self.absent and name not in self.constants}
        held = [h for h in self.headers if h.from_ <= period_from]
        if not held:
            raise LookupError(f"{contract.name}: no header map holds on {period_from}, "
                              f"the first begins {min(h.from_ for h in self.headers)}")
        return max(held, key=lambda h: h.from_).map


class Profile(Strict):
    """One vendor system's dialect."""

    name: str
    zh: str
    en: str
    format: Literal["csv", "xlsx", "parquet"]
    encoding: str = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    compression: Literal["none", "gzip"] = "none"
    quote: str = Field(default='"', min_length=1, max_length=1)
    null_values: tuple[str, ...] = ("",)
    date_format: str = "%Y-%m-%d"
    datetime_format: str = "%Y-%m-%d %H:%M:%S"
    booleans: dict[str, bool] = {}
    ignored_sheets: tuple[str, ...] = ()   # of a workbook: instructions to the person who fills it in
    extracts: dict[str, ExtractProfile]

    @model_validator(mode="after")
    def _check(self) -> "Profile":
        try:
            "".encode(self.encoding)
        except LookupError as error:
            raise ValueError(f"unknown encoding {self.encoding!r}") from error
        for name, extract in self.extracts.items():
            if (extract.sheet is not None) != (self.format == "xlsx"):
                raise ValueError(f"{name}: a sheet belongs to an xlsx profile, and to each of its extracts")
        sheets = [e.sheet for e in self.extracts.values() if e.sheet]
        if len(sheets) != len(set(sheets)):
            raise ValueError("two extracts share a sheet")
        return self

    def extract_of(self, file_name: str) -> str | None:
        """The extract whose file pattern fits a name, None when none does."""
        return next((n for n, e in self.extracts.items() if fnmatch.fnmatchcase(file_name, e.file)), None)

    def extract_of_sheet(self, sheet: str) -> str | None:
        """The extract that a worksheet holds, None when none does."""
        return next((n for n, e in self.extracts.items() if e.sheet == sheet), None)


def check(profile: Profile, contracts: dict[str, Contract]) -> list[str]:
    """What is wrong with a profile against the contracts, one sentence each; empty when it covers them."""
    wrong: list[str] = []
    for name, extract in profile.extracts.items():
        if name not in contracts:
            wrong.append(f"{name}: no such contract; known are {', '.join(sorted(contracts))}")
            continue
        columns = contracts[name].by_name
        given = set(extract.constants) | set(extract.absent)
        for column in (set(extract.codes) | set(extract.units) | given) - columns.keys() - {"op_type"}:
            wrong.append(f"{name}.{column}: the contract has no such column")
        for column in extract.absent:
            if column in columns and columns[column].required:
                wrong.append(f"{name}.{column}: required by the contract, cannot be absent; give a constant")
        if both := set(extract.constants) & set(extract.absent):
            wrong.append(f"{name}: {sorted(both)} both constant and absent")
        for entry in extract.headers:
            where = f"{name} from {entry.from_}"
            mapped = list(entry.map.values())
            if unknown := set(mapped) - columns.keys() - set(ENVELOPE):
                wrong.append(f"{where}: maps to unknown columns {sorted(unknown)}")
            if twice := {m for m in mapped if mapped.count(m) > 1}:
                wrong.append(f"{where}: columns mapped twice {sorted(twice)}")
            if missing := columns.keys() - set(mapped) - given:
                wrong.append(f"{where}: columns neither mapped, constant nor absent {sorted(missing)}")
            if extra := set(mapped) & given:
                wrong.append(f"{where}: columns mapped and also constant or absent {sorted(extra)}")
        for column, unit in extract.units.items():
            if column in columns and columns[column].kind not in ("decimal", "int"):
                wrong.append(f"{name}.{column}: a unit needs a number, the contract says {columns[column].type}")
            if unit.factor == 0:
                wrong.append(f"{name}.{column}: a factor of 0 loses the number")
    return wrong


def read_profile(path: Path) -> Profile:
    """One profile from its file. Raises ValueError naming the file and what is wrong."""
    try:
        with path.open(encoding="utf-8") as f:
            profile = Profile(**yaml.load(f, Loader=LOADER))
    except Exception as error:
        raise ValueError(f"{path.name}: {error}") from error
    if profile.name != path.stem:
        raise ValueError(f"{path.name}: declares the profile {profile.name!r}; name it {path.stem!r}")
    return profile


@lru_cache
def load_profiles(root: Path = ROOT) -> dict[str, Profile]:
    """Every profile by name, unchecked against the contracts (see `check`)."""
    return {p.stem: read_profile(p) for p in sorted(root.glob("*.yaml"))}


def load_checked(contracts: dict[str, Contract], root: Path = ROOT) -> dict[str, Profile]:
    """Every profile by name. Raises ValueError listing each column that a profile leaves open."""
    profiles = load_profiles(root)
    wrong = [f"{name}.yaml: {text}" for name, p in profiles.items() for text in check(p, contracts)]
    if wrong:
        raise ValueError("source profiles do not cover the contracts:\n  " + "\n  ".join(wrong))
    return profiles
