"""Persons at the door: keyed pseudonyms instead of identifiers, clear identities only into the vault.

Put here: the keys, the pseudonyms, the masks, the vault. Put elsewhere: encryption of files (`sealed.py`), which column
is an identifier (the contract).

PS-02: person_key is the first 32 hex digits of HMAC-SHA-256 over the normalised `id_type|id_number`; the HMAC key is
the 64 characters of the key file. No unkeyed hash of an identifier is made anywhere (PS-03).
"""

import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import polars_hash  # noqa: F401  registers the chash and nchash namespaces

from quality.contract import Contract

KEY_FILES = ("pseudonym.key", "vault.key")
CITIZEN = "01"                     # VS_ID_TYPE: resident identity card
KEY_LENGTH = 32                    # hex digits of a pseudonym: 128 bits
# Numbers that the county or the nation gives to a person link across institutions; any other number is an
# institution's own and means nothing outside it.
COUNTY_WIDE = {"psn_key": "psn", "phone_group_key": "phone", "resident_key": "resident",
               "master_resident_key": "resident"}
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)      # GB 11643
CHECK = "10X98765432"

# An identity number has a date in it; a mobile number begins 13 to 19. Longer digit runs are serial numbers.
ID_TEXT = r"(?-u:\b)[1-9][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx](?-u:\b)"
MOBILE_TEXT = r"(?-u:\b)1[3-9][0-9]{9}(?-u:\b)"
HIDDEN = "***"


class KeysUnusable(Exception):
    """A key is missing or not kept as PS-04 asks. The message says what to do in Chinese and English, separated by
    ` | `, and never shows a key."""


@dataclass(frozen=True)
class KeyRing:
    """The two secrets of ingestion. Its text form shows neither."""

    pseudonym: str = field(repr=False)
    vault: bytes = field(repr=False)

    @classmethod
    def load(cls, directory: Path) -> "KeyRing":
        """The keys of a directory. Raises KeysUnusable when one is missing, short, or open to others."""
        if directory.is_dir() and stat.S_IMODE(directory.stat().st_mode) & 0o077:
            raise KeysUnusable(f"密钥目录 {directory} 对他人开放:请 chmod 700 | "
                               f"the key directory {directory} is open to others: chmod 700 it")
        pseudonym, vault = (_read_key(directory / name) for name in KEY_FILES)
        if pseudonym == vault:
            raise KeysUnusable("假名密钥与保险库密钥相同:请分别重新生成 | "
                               "the pseudonym key and the vault key are the same: make them anew, each by itself")
        return cls(pseudonym, bytes.fromhex(vault))

    @staticmethod
    def create_if_absent(directory: Path) -> bool:
        """Make random keys, readable by their owner only; True when they were made now. Nothing is overwritten."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = False
        for name in KEY_FILES:
            try:
                handle = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            with os.fdopen(handle, "w") as f:
                f.write(secrets.token_hex(32) + "\n")
            made = True
        return made


def _read_key(path: Path) -> str:
    try:
        state = path.stat()
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise KeysUnusable(f"缺少密钥 {path}:请由保管人恢复(演示环境可由 make run 生成) | "
                           f"key {path} is missing: let its custodians restore it (`make run` makes one for a "
                           "demonstration)") from None
    except (OSError, UnicodeDecodeError):
        raise KeysUnusable(f"密钥 {path} 无法读取:请检查属主与权限(0600) | "
                           f"key {path} cannot be read: see its owner and mode (0600)") from None
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o077:
        raise KeysUnusable(f"密钥 {path} 对他人可读(权限 {mode:04o}):请 chmod 600;如已被他人读取,请更换 | "
                           f"key {path} is open to others (mode {mode:04o}): chmod 600 it, and if others could have "
                           "read it, replace it")
    if state.st_uid != os.geteuid():
        raise KeysUnusable(f"密钥 {path} 属于其他用户:请以其属主运行 | key {path} belongs to another user: run as its owner")
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise KeysUnusable(f"密钥 {path} 应为 64 位十六进制(256 位),现有 {len(text)} 个字符 | "
                           f"key {path} must be 64 lower-case hex digits (256 bits), it has {len(text)} characters")
    if len(set(text)) < 8:
        raise KeysUnusable(f"密钥 {path} 不是随机生成:请重新生成 | key {path} is not random: make a new one")
    return text


# --- pseudonyms ------------------------------------------------------------------------------------------------------

def keyed(message: pl.Expr, keys: KeyRing) -> pl.Expr:
    """The pseudonym of a text, null for null."""
    return message.chash.hmac_sha256(key=keys.pseudonym).str.slice(0, KEY_LENGTH)


def _check_digit(body: pl.Expr) -> pl.Expr:
    total = pl.sum_horizontal(body.str.slice(i, 1).cast(pl.Int32, strict=False) * w for i, w in enumerate(WEIGHTS))
    return (total % 11).replace_strict(list(range(11)), list(CHECK), default=None, return_dtype=pl.String)


def normalised_number(number: pl.Expr) -> pl.Expr:
    """An identity number as it is hashed: no spaces, capital X; the 15 digits of an old card become its 18."""
    text = number.str.replace_all(r"[\s\-]", "").str.to_uppercase()
    old = pl.concat_str(text.str.slice(0, 6), pl.lit("19"), text.str.slice(6, 9))
    return (pl.when(text == "").then(None)
            .when(text.str.contains(r"^[0-9]{15}$")).then(pl.concat_str(old, _check_digit(old))).otherwise(text))


def valid_number(number: pl.Expr) -> pl.Expr:
    """Whether a normalised number is a GB 11643 number with its right check digit."""
    return (number.str.contains(r"^[0-9]{17}[0-9X]$") & (_check_digit(number) == number.str.slice(17, 1))).fill_null(False)


def _with_person(frame: pl.DataFrame, contract: Contract, keys: KeyRing, sender: pl.Expr) -> pl.DataFrame:
    """Adds person_key and person_match. Identity numbers repeat, so each distinct one is hashed once."""
    person = contract.person
    kind = (pl.col(person.id_type).cast(pl.String).fill_null(CITIZEN) if person.id_type else pl.lit(CITIZEN))
    owner = pl.col("institution_code") if "institution_code" in contract.by_name else sender
    local = pl.col(person.fallback).cast(pl.String).str.strip_chars()
    frame = frame.with_columns(normalised_number(pl.col(person.id_number)).alias("_number"), kind.alias("_kind"),
                               owner.alias("_owner"), local.alias("_local"))
    message = (pl.when(pl.col("_number").is_not_null()).then(pl.concat_str("_kind", pl.lit("|"), "_number"))
               .when(pl.col("_local") != "")
               .then(pl.concat_str(pl.lit("local|"), "_owner", pl.lit("|"), "_local")))
    frame = frame.with_columns(message.alias("_message"))
    distinct = frame.select("_message", "_number", "_kind").unique("_message", maintain_order=True).with_columns(
        keyed(pl.col("_message"), keys).alias("person_key"),
        pl.when(pl.col("_message").is_null()).then(None)
        .when(pl.col("_number").is_null()).then(pl.lit("C"))
        .when((pl.col("_kind") == CITIZEN) & valid_number(pl.col("_number"))).then(pl.lit("A"))
        .otherwise(pl.lit("B")).alias("person_match"))
    frame = frame.join(distinct.drop("_number", "_kind"), on="_message", how="left", nulls_equal=True,
                       maintain_order="left")
    return frame.drop("_number", "_kind", "_owner", "_local", "_message")


def pseudonym_message(contract: Contract, column: str, sender: pl.Expr) -> pl.Expr:
    """What is hashed for an identifier column: its kind, its institution unless the number is county-wide, its value."""
    name = contract.by_name[column].pseudonym
    text = pl.col(column).cast(pl.String).str.strip_chars()
    text = pl.when(text != "").then(text)
    if contract.by_name[column].values == "CS_IDNO":
        return pl.concat_str(pl.lit(f"{CITIZEN}|"), normalised_number(text))      # a person's own person_key
    if name in COUNTY_WIDE:
        if COUNTY_WIDE[name] == "phone":
            text = text.str.replace_all(r"[^0-9]", "").str.replace(r"^86(1[3-9][0-9]{9})$", "$1")
            text = pl.when(text != "").then(text)
        return pl.concat_str(pl.lit(f"{COUNTY_WIDE[name]}|"), text)
    owner = pl.col("institution_code") if "institution_code" in contract.by_name else sender
    return pl.concat_str(pl.lit(f"{name.removesuffix('_key')}|"), owner, pl.lit("|"), text)


def pseudonymise(frame: pl.DataFrame, contract: Contract, keys: KeyRing, sender: str = "_sender") -> pl.DataFrame:
    """The frame with the pseudonyms added that the contract asks for; the identifiers are still in it."""
    if contract.person:
        frame = _with_person(frame, contract, keys, pl.col(sender))
    for column in contract.columns:
        if column.pseudonym:
            frame = frame.with_columns(pseudonym_message(contract, column.name, pl.col(sender)).alias("_message"))
            distinct = frame.select("_message").unique(maintain_order=True).with_columns(
                keyed(pl.col("_message"), keys).alias(column.pseudonym))
            frame = frame.join(distinct, on="_message", how="left", nulls_equal=True, maintain_order="left").drop("_message")
    return frame


# --- masks -----------------------------------------------------------------------------------------------------------

def hide_numbers(text: pl.Expr) -> pl.Expr:
    """A text without identity and mobile numbers."""
    return text.str.replace_all(ID_TEXT, HIDDEN).str.replace_all(MOBILE_TEXT, HIDDEN)


def mask_value(value: str | None) -> str | None:
    """An identifier as a custodian's colleague may see it: that it is there, and how long it is."""
    return None if value is None else f"{HIDDEN}({len(value)})"


def is_free_text(contract: Contract, column: str) -> bool:
    """Whether people write sentences in the column: a text of 30 characters or more without code list, and no number
    that rows are joined by."""
    c = contract.by_name[column]
    if c.is_identifier or c.values or column in contract.primary_key or c.kind not in ("string", "text"):
        return False
    joined = ("_id", "_code", "_no", "_of", "_ref", "_codes")
    return not column.endswith(joined) and (c.kind == "text" or c.size is None or c.size[0] >= 30)


# --- vault -----------------------------------------------------------------------------------------------------------

VAULT_SCHEMA = {"pseudonym": pl.String, "kind": pl.String, "clear": pl.String}


def vault_rows(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Distinct (pseudonym, kind, clear) of a pseudonymised frame: each identifier under its own pseudonym, and one
    that has none (a name, an address) under the person's, or under the row's first pseudonym."""
    own = [c.pseudonym for c in contract.columns if c.pseudonym]
    holder = "person_key" if contract.person else own[0] if own else None
    parts = []
    for c in contract.columns:
        if not c.is_identifier:
            continue
        under = c.pseudonym or holder
        if under is None:
            continue
        clear = pl.col(c.name).cast(pl.String)
        parts.append(frame.lazy().select(pl.col(under).alias("pseudonym"), pl.lit(c.name).alias("kind"),
                                         clear.alias("clear"))
                     .filter(pl.col("clear").is_not_null() & pl.col("pseudonym").is_not_null()).unique())
    if not parts:
        return pl.DataFrame(schema=VAULT_SCHEMA)
    return pl.concat(parts).collect()


def vault_marks(rows: pl.DataFrame, keys: KeyRing) -> pl.Series:
    """A keyed mark per row, by which a later load knows what the vault already holds without opening it."""
    message = pl.concat_str(pl.lit("vault"), "pseudonym", "kind", "clear", separator="|")
    return rows.select(message.chash.hmac_sha256(key=keys.pseudonym).str.slice(0, KEY_LENGTH).alias("mark")).to_series()
