"""The gate of an extract: text in, typed rows and findings out.

    gate(strings, contract) -> Gate(good, bad_index, findings, received)

`strings` is an eager frame with every column of the contract as text (String), null where nothing was sent, plus any
columns whose name begins with `_`: these are carried through untouched. `_received_at` (Datetime, when the bureau
received the row's batch, Shanghai wall time) must be among them: no rule asks a clock. Text is what the source
profile has normalised: canonical codes, `YYYY-MM-DD`, `YYYY-MM-DD HH:MM:SS` (or with a T) with or without an offset,
1 and 0 or true and false, decimals with a point. Direct identifiers are still in clear here, and still in `good`.

Give it many rows at once (up to about two million): a call has a fixed cost of tens of milliseconds, a row almost none.

Put here: casting, the Pandera schema, the split. Put elsewhere: which checks there are (`row_checks.py`).
"""

from dataclasses import dataclass
from functools import lru_cache

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrorReason, SchemaErrors

from quality.contract import TIMEZONE, Column, Contract
from quality.row_checks import RowCheck, row_checks
from quality.rules import good

RECEIVED = "_received_at"
MASK = "***"
FOUND_LENGTH = 80                    # characters of a found value that a finding shows
# An identity number (it has a date in it) or a mobile number that stands in some other column. The ASCII word boundary
# also ends at a Chinese character.
HIDDEN_NUMBERS = (r"(?-u:\b)[1-9][0-9]{5}(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx](?-u:\b)"
                  r"|(?-u:\b)1[3-9][0-9]{9}(?-u:\b)")

TRUTH = {"1": True, "true": True, "0": False, "false": False}
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
OFFSET = r"(Z|[+-][0-9]{2}:[0-9]{2})$"

FINDINGS: dict[str, pl.DataType] = {
    "row": pl.UInt32(),              # position in the frame that was given, from 0
    "rule_id": pl.String(),
    "severity": pl.String(),         # error: the row is kept back; warn: it passes and is counted
    "column": pl.String(),           # the first column that the rule is about
    "expected_zh": pl.String(),
    "expected_en": pl.String(),
    "found": pl.String(),            # as it was sent; *** and its length where it identifies a person
}


class ContractError(Exception):
    """The frame as a whole is not what the contract says; no row of it was judged."""


@dataclass(frozen=True)
class Gate:
    """`good`: typed rows in the order given; `bad_index`: positions of the other rows, ascending."""

    good: pl.DataFrame
    bad_index: pl.Series
    findings: pl.DataFrame
    received: int


def _parsed(column: Column) -> pl.Expr:
    text = pl.col(column.name)
    match column.kind:
        case "int":
            return pl.when(text.str.contains(r"^-?[0-9]{1,18}$")).then(text).cast(pl.Int64, strict=False)
        case "decimal":
            p, s = column.size
            whole = f"^-?0*[0-9]{{1,{p - s}}}" if p > s else "^-?0+"
            shape = rf"{whole}(\.[0-9]{{0,{s}}}0*)?$"
            return pl.when(text.str.contains(shape)).then(text).cast(column.polars_type, strict=False)
        case "bool":
            return text.replace_strict(TRUTH, default=None, return_dtype=pl.Boolean)
        case "date":
            return pl.when(text.str.contains(DATE)).then(text).str.to_date("%Y-%m-%d", strict=False)
        case "datetime":
            # almost every value is local or +08:00, whose wall time is simply the text before the offset
            local = text.str.strip_suffix("+08:00")
            return (pl.when(local.str.contains(TIME + "$")).then(local.str.replace(" ", "T", literal=True))
                    .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us"))
    return text


def _parsed_offset(name: str) -> pl.Expr:
    text = pl.col(name)
    return (pl.when(text.str.contains(TIME + OFFSET)).then(text.str.replace(" ", "T", literal=True))
            .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", strict=False, time_unit="us", time_zone="UTC")
            .dt.convert_time_zone(TIMEZONE).dt.replace_time_zone(None))


def cast(strings: pl.DataFrame, contract: Contract) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(typed frame, flags): a value that is not written as its type says is null in the first, true in the second.

    The flags have one Boolean column for each column that is not text. Money never passes through a float.
    Raises ContractError when a column of the contract is missing, or is not text.
    """
    if missing := [c.name for c in contract.columns if c.name not in strings.columns]:
        raise ContractError(f"{contract.name}: columns missing from the frame: {', '.join(missing)}")
    if typed := [c.name for c in contract.columns if strings.schema[c.name] != pl.String]:
        raise ContractError(f"{contract.name}: columns that should still be text: {', '.join(typed)}")
    names = [c.name for c in contract.columns]
    strings = strings.rechunk() if strings.n_chunks() > 1 else strings   # thousands of small chunks cost 15 times
    carried = [name for name in strings.columns if name.startswith("_")]
    strings = strings.with_columns(pl.when(pl.col(names) != "").then(pl.col(names)).name.keep())
    frame = strings.select([_parsed(c).alias(c.name) for c in contract.columns] + carried)
    times = [c.name for c in contract.columns if c.kind == "datetime"]
    unread = [n for n in times if frame[n].null_count() > strings[n].null_count()]
    if unread:
        offsets = strings.select(_parsed_offset(n).alias(n) for n in unread)
        frame = frame.with_columns(frame[n].fill_null(offsets[n]) for n in unread)
    flags = pl.DataFrame([(frame[c.name].is_null() & strings[c.name].is_not_null()).alias(c.name)
                          for c in contract.columns if c.kind not in ("string", "text")])
    return frame, flags


def _pandera_check(check: RowCheck) -> pa.Check:
    statement = good(check.statement)

    def evaluate(data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(statement.alias(check.id))

    # failure cases turn rows into text one by one: a hundred are enough, the flags of all rows stay in check_output
    return pa.Check(evaluate, name=check.id, error=check.id, n_failure_cases=100)


@lru_cache
def pandera_schema(contract: Contract) -> pa.DataFrameSchema:
    """The contract as a Pandera schema over typed rows, identifiers still in clear; each check is named by its rule id.

    Values that were not written as their type says are nulls here: `cast` has flagged them.
    """
    checks: dict[str | None, list[RowCheck]] = {}
    required = set()
    for check in row_checks(contract):
        if check.kind == "required":
            required.add(check.columns[0])
        elif check.statement is not None:
            checks.setdefault(check.columns[0] if check.kind != "rule" else None, []).append(check)
    return pa.DataFrameSchema(
        {c.name: pa.Column(c.polars_type, nullable=c.name not in required,
                           checks=[_pandera_check(k) for k in checks.get(c.name, [])])
         for c in contract.columns},
        checks=[_pandera_check(k) for k in checks.get(None, [])],
        strict=False, coerce=False, name=contract.name)


def _broken(frame: pl.DataFrame, contract: Contract) -> dict[str, pl.Series]:
    """Rule id to a Boolean series, true where a row breaks the rule; only rules that some row breaks.

    Raises ContractError for what no row is to blame for: a wrong type, a check that could not be evaluated.
    """
    try:
        pandera_schema(contract).validate(frame, lazy=True)
    except SchemaErrors as failures:
        broken = {}
        for error in failures.schema_errors:
            output = error.check_output
            rule = (f"{contract.name}.{error.schema.name}.required"
                    if error.reason_code is SchemaErrorReason.SERIES_CONTAINS_NULLS else
                    getattr(error.check, "error", None) or str(error.check))
            if output is None or output.height != frame.height:
                # the message of the library may carry values: only the rule and the reason are told
                raise ContractError(f"{contract.name}: rule {rule} could not be evaluated "
                                    f"({error.reason_code.name})") from None
            broken[rule] = ~output.to_series().fill_null(True)
        return broken
    return {}


def masked(value: pl.Expr) -> pl.Expr:
    """What may be told of an identifying value: that it was there, and how long it was."""
    return pl.when(value.is_not_null()).then(pl.format("{}({})", pl.lit(MASK), value.str.len_chars()))


def _found(check: RowCheck, contract: Contract) -> pl.Expr:
    def shown(name: str) -> pl.Expr:
        if name == RECEIVED:
            return pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S")
        column = contract.by_name[name]
        if check.kind == "length":
            return pl.col(name).str.len_chars().cast(pl.String)
        if column.is_identifier:
            return masked(pl.col(name))
        return pl.col(name).str.replace_all(HIDDEN_NUMBERS, MASK).str.slice(0, FOUND_LENGTH)

    if len(check.columns) == 1:
        return shown(check.columns[0])
    return pl.concat_str([pl.format(name + "={}", shown(name).fill_null("")) for name in check.columns], separator="; ")


def _finding(check: RowCheck, flags: pl.Series, strings: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    rows = flags.arg_true()
    found = strings.select(list(dict.fromkeys(check.columns)))[rows].select(_found(check, contract).alias("found"))
    return found.select(
        rows.cast(pl.UInt32).alias("row"), pl.lit(check.id).alias("rule_id"),
        pl.lit(check.severity).alias("severity"), pl.lit(check.columns[0]).alias("column"),
        pl.lit(check.expected.zh).alias("expected_zh"), pl.lit(check.expected.en).alias("expected_en"),
        pl.col("found").cast(pl.String))


def gate(strings: pl.DataFrame, contract: Contract) -> Gate:
    """Judge every row: the typed good ones, the positions of the others, and each reason with what was found.

    A row breaking only rules of severity warn is good and still has its finding. A value that could not be read as
    its type has that finding alone, not also one for being missing. Raises ContractError when the frame itself does
    not fit the contract; its message names columns and rules, never values.
    """
    if RECEIVED not in strings.columns:
        raise ContractError(f"{contract.name}: the frame lacks {RECEIVED}")
    if strings.height == 0:
        frame, _ = cast(strings, contract)
        return Gate(frame, pl.Series("row", [], pl.UInt32), pl.DataFrame(schema=FINDINGS), 0)
    frame, unread = cast(strings, contract)
    broken = _broken(frame, contract)
    for name in unread.columns:
        if not unread[name].any():
            continue
        broken[f"{contract.name}.{name}.type"] = unread[name]
        if (missing := broken.pop(f"{contract.name}.{name}.required", None)) is not None:
            missing = missing & ~unread[name]
            if missing.any():
                broken[f"{contract.name}.{name}.required"] = missing
    parts, bad = [], pl.repeat(False, strings.height, eager=True)
    for check in row_checks(contract):
        if (flags := broken.pop(check.id, None)) is not None:
            parts.append(_finding(check, flags, strings, contract))
            bad = bad | flags if check.severity == "error" else bad
    if broken:
        raise ContractError(f"{contract.name}: failures under unknown rule ids: {', '.join(sorted(broken))}")
    findings = pl.concat(parts).sort("row", maintain_order=True) if parts else pl.DataFrame(schema=FINDINGS)
    good_rows, bad_index = frame.filter(~bad), bad.arg_true().cast(pl.UInt32).alias("row")
    if good_rows.height + bad_index.len() != strings.height:
        raise ContractError(f"{contract.name}: the gate lost rows")
    return Gate(good_rows, bad_index, findings, strings.height)
