"""From a sender's headers, codes, dates and units to the contract's, as text.

Put here: what a profile says, applied to columns. Put elsewhere: judging the values (quality), opening files (readers).
A value that the profile cannot translate stays as it was sent, so that the gate names it in its findings.
"""

import datetime as dt
import difflib
from collections.abc import Callable

import polars as pl

from ingestion.profile import ENVELOPE, ExtractProfile, Profile
from ingestion.refusal import Refused
from quality.contract import Contract

ISO_DATE, ISO_TIME = "%Y-%m-%d", "%Y-%m-%d %H:%M:%S"


def _nearest(name: str, among: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, among, 1, 0.4)), None)


def _mistaken_encoding(header: list[str], encoding: str, known: dict[str, str]) -> str | None:
    """The encoding in which the headers would be the expected ones."""
    for other in ("utf-8", "gb18030"):
        try:
            if sum(h.encode(encoding.replace("-sig", "")).decode(other) in known for h in header) > len(header) / 2:
                return other
        except UnicodeError:
            continue
    return None


def columns_of(header: list[str], profile: Profile, contract: Contract, period_from: dt.date) -> tuple[str, ...]:
    """Our column for each of the sender's. Raises Refused naming every header that is unmapped, missing or twice."""
    extract = profile.extracts[contract.name]
    try:
        known = extract.header_map(contract, period_from)
    except LookupError as error:
        raise Refused("no_header_map", f"{contract.zh}:对接配置中没有适用于 {period_from} 的表头", str(error)) from None
    header = [h.strip().strip("\ufeff\u3000").strip() for h in header]
    if twice := sorted({h for h in header if header.count(h) > 1}):
        raise Refused("header_twice", f"{contract.zh}:表头重复:{'、'.join(twice)}",
                      f"{contract.name}: headers given twice: {', '.join(twice)}")
    unmapped = [h for h in header if h not in known]
    missing = [h for h, ours in known.items() if h not in header and ours not in ENVELOPE]
    if not unmapped and not missing:
        return tuple(known[h] for h in header)
    if other := _mistaken_encoding(unmapped, profile.encoding, known):
        raise Refused("wrong_encoding", f"文件看来是 {other} 编码,约定为 {profile.encoding},请按约定编码保存",
                      f"the file seems to be {other}, agreed is {profile.encoding}; save it in the agreed encoding")
    zh, en = [], []
    for h in unmapped[:10]:
        near = _nearest(h, missing) or _nearest(h, list(known))
        shown = h[:40]
        zh.append(f"表头“{shown}”不在对接配置中" + (f"(最接近:“{near}”)" if near else ""))
        en.append(f"header {shown!r} is not mapped" + (f" (nearest expected: {near!r})" if near else ""))
    for h in missing[:20]:
        zh.append(f"缺少表头“{h}”({contract.by_name[known[h]].zh})")
        en.append(f"header {h!r} is missing ({known[h]})")
    raise Refused("headers", f"{contract.zh}:{';'.join(zh)}。请按约定导出,或由卫健局更新对接配置 {profile.name}",
                  f"{contract.name}: {'; '.join(en)}. Export as agreed, or let the bureau change profile {profile.name}")


def _translated(text: pl.Expr, column: str, kind: str, profile: Profile, extract: ExtractProfile) -> pl.Expr:
    if codes := extract.codes.get(column):
        return text.replace(codes)
    if kind == "bool":
        return text.replace({k: str(v).lower() for k, v in profile.booleans.items()})
    if kind == "date" and profile.format != "csv":           # a typed day comes with its midnight
        text = text.str.replace(r"[ T]00:00:00(\.0+)?$", "")
    if kind == "date" and profile.date_format != ISO_DATE:
        return pl.coalesce(text.str.to_date(profile.date_format, strict=False).dt.strftime(ISO_DATE), text)
    if kind == "datetime" and profile.datetime_format != ISO_TIME:
        read = text.str.to_datetime(profile.datetime_format, strict=False, time_unit="us")
        return pl.coalesce(read.dt.strftime(ISO_TIME), text)
    if unit := extract.units.get(column):
        factor = unit.factor.normalize()
        number = pl.when(text.str.contains(r"^-?[0-9]{1,20}(\.[0-9]{1,6})?$")).then(text)
        product = number.cast(pl.Decimal(38, 6), strict=False) * pl.lit(factor)
        written = product.cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
        return pl.coalesce(pl.when(written == "").then(pl.lit("0")).otherwise(written), text)
    return text


def normalise(frame: pl.LazyFrame, columns: tuple[str, ...], profile: Profile, contract: Contract) -> pl.LazyFrame:
    """Every column of the contract as text in canonical form, and `_op_type`, `_source_updated_at` as text.

    `frame` holds the sender's columns as c0, c1 … in the order of `columns`; its columns named `_…` are carried along.
    """
    extract = profile.extracts[contract.name]
    position = {name: f"c{i}" for i, name in enumerate(columns)}
    nulls = [n for n in profile.null_values if n]

    def sent(name: str) -> pl.Expr:
        text = pl.col(position[name]).str.strip_chars(" \t\r\n\u00a0\u3000")
        return pl.when((text != "") & ~text.is_in(nulls) if nulls else text != "").then(text)

    out = []
    for c in contract.columns:
        if c.name in extract.constants:
            value = pl.lit(extract.constants[c.name])
        elif c.name in position:
            value = _translated(sent(c.name), c.name, c.kind, profile, extract)
            if c.values == "CS_IDNO":
                value = value.str.to_uppercase()
        else:
            value = pl.lit(None, pl.String)
        out.append(value.alias(c.name))
    op = _translated(sent("op_type"), "op_type", "string", profile, extract) if "op_type" in position else pl.lit("I")
    out.append(op.fill_null("I").alias("_op_type"))
    updated = (_translated(sent("source_updated_at"), "source_updated_at", "datetime", profile, extract)
               if "source_updated_at" in position else pl.lit(None, pl.String))
    out.append(updated.alias("_source_updated_at"))
    return frame.select(pl.col(r"^_.*$"), *out)


def header_finder(batches: pl.DataFrame, contracts: dict[str, Contract],
                  profiles: dict[str, Profile]) -> Callable[[str, str, str], str | None]:
    """Tells the header that stands over a column in a batch's own file: (batch id, extract, column) -> header.

    `batches` is the ledger's table. None where the sender has no such column, or is not known.
    """
    known = {b: (profile, day) for b, profile, day in batches.select("batch_id", "profile", "period_from").iter_rows()}
    maps: dict[tuple[str, str], dict[str, str]] = {}

    def header_of(batch_id: str, extract: str, column: str) -> str | None:
        if (batch_id, extract) not in maps:
            name, day = known.get(batch_id, (None, None))
            own = profiles[name].extracts.get(extract) if name in profiles else None
            try:
                found = own.header_map(contracts[extract], day) if own and extract in contracts else {}
            except LookupError:
                found = {}
            maps[batch_id, extract] = {ours: theirs for theirs, ours in found.items()}
        return maps[batch_id, extract].get(column)

    return header_of
