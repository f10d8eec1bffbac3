"""What a batch as a whole says about its sender: counts at the gate, judged against thresholds, in four states.

    tally(strings, verdict, contract, by="_batch")          counts of each batch, after the gate of one extract
    code_counts(verdict.good, contract, by="_batch")        how often each code was sent
    batch_checks(batches, tallies, codes, earlier, refusal_share=0.3, refusal_rows=20) -> the rows of checks.parquet

Every count is a sum, so tallies of several chunks are simply added (`group_by(by, "extract").sum()`).

Put here: counting and judging batches. Put elsewhere: the records of the checks (`contracts/batch_checks.yaml`),
rules of single rows (`row_checks.py`), checks across batches and months (dbt).
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Literal

import polars as pl
import yaml

from quality.contract import ROOT, Contract, Due, Strict, load_contracts, load_value_sets
from quality.row_checks import RowCheck, row_checks
from quality.rules import IdCheckDigit, good
from quality.schema import Gate

State = Literal["passed", "failed", "not_applicable", "error"]

CHECKS: dict[str, pl.DataType] = {
    "load_id": pl.String(), "batch_id": pl.String(), "sender": pl.String(), "institution_code": pl.String(),
    "extract": pl.String(), "check_id": pl.String(), "state": pl.String(), "numerator": pl.Float64(),
    "denominator": pl.Float64(), "threshold": pl.Float64(), "blocking": pl.Boolean(), "reason_zh": pl.String(),
    "reason_en": pl.String(), "period_from": pl.Date(), "period_to": pl.Date(),
}
# one row per batch and extract, as `batch_checks` wants it
BATCHES: dict[str, pl.DataType] = {
    "load_id": pl.String(), "batch_id": pl.String(), "sender": pl.String(), "institution_code": pl.String(),
    "extract": pl.String(), "period_from": pl.Date(), "period_to": pl.Date(), "received_at": pl.Datetime("us"),
    "status": pl.String(),             # accepted, refused, duplicate
    "resent": pl.Boolean(),            # the sender had sent this extract of this period before
    "rows_received": pl.Int64(), "rows_quarantined": pl.Int64(), "rows_duplicate": pl.Int64(),
    "rows_declared": pl.Int64(),       # of the manifest, null without one
    "rows_conflict": pl.Int64(),       # set aside because their key was repeated with other content
}
COUNTS = ("rows_judged", "cells_required", "cells_filled", "values_checked", "values_inside", "rows_keeping_rules",
          "rows_in_order", "rows_identified")
CODES: dict[str, pl.DataType] = {"extract": pl.String(), "column": pl.String(), "code": pl.String(), "n": pl.Int64()}
MOST_CODES = 40                # longer code lists spread too thinly for their shares to be compared
LEAST_CERTAINTY = 0.3          # a sampling error above this would let any distribution pass
CLASS_OF_INSTITUTION = (9, 4)  # the characters of an institution code that hold its WS 218 class


class BatchCheck(Strict):
    """A check of a batch as a record over one of five templates."""

    id: str
    template: Literal["equal", "at_least", "at_most", "on_time", "distance"]
    zh: str
    en: str
    numerator: str | None = None
    denominator: str | None = None
    counts_zh: str
    counts_en: str
    threshold: Decimal | None
    least: int = 0                     # a smaller denominator is counted, not judged: one row would decide
    blocking: bool = False
    why_zh: str
    why_en: str


@lru_cache
def load_batch_checks(root: Path = ROOT) -> dict[str, BatchCheck]:
    """Every check of a batch by id. Raises ValueError naming the file when a record is malformed."""
    path = root / "batch_checks.yaml"
    try:
        with path.open(encoding="utf-8") as f:
            checks = [BatchCheck(**record) for record in yaml.safe_load(f)]
    except Exception as error:
        raise ValueError(f"{path.name}: {error}") from error
    return {check.id: check for check in checks}


@dataclass(frozen=True)
class _Sorts:
    """The rule ids of an extract by what they say."""

    values: list[str]
    rules: list[str]
    order: list[str]


def _sorts(contract: Contract) -> _Sorts:
    checks = row_checks(contract)

    def coded(check: RowCheck) -> bool:
        return check.kind in ("values", "pattern") and contract.by_name[check.columns[0]].values is not None

    return _Sorts([c.id for c in checks if coded(c)], [c.id for c in checks if c.kind == "rule"],
                  [c.id for c in checks if c.event_order])


def tally(strings: pl.DataFrame, verdict: Gate, contract: Contract, *, by: str) -> pl.DataFrame:
    """One row per value of `by` with `extract` and the COUNTS of its rows; what cannot be counted is null.

    `strings` is the frame that was given to the gate and `verdict` what came of it.
    """
    sorts = _sorts(contract)
    required = [c.name for c in contract.columns if c.required]
    coded = [c.name for c in contract.columns if c.values]

    def filled(names: list[str]) -> pl.Expr:
        return sum((pl.col(n).is_not_null() & (pl.col(n) != "") for n in names), pl.lit(0, pl.Int64))

    identified = pl.lit(None, pl.Int64)
    if contract.person:
        number, kind = contract.person.id_number, contract.person.id_type
        checked = pl.col(number).is_not_null() & good(IdCheckDigit(id_number=number))
        identified = (checked & (pl.col(kind) == "01") if kind else checked).sum().cast(pl.Int64)
    counts = strings.group_by(by, maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("rows_judged"), filled(required).sum().alias("cells_filled"),
        filled(coded).sum().alias("values_checked"), identified.alias("rows_identified"))
    found = verdict.findings.select("row", "rule_id").with_columns(strings[by].gather(verdict.findings["row"]).alias(by))

    def among(ids: list[str]) -> pl.Expr:
        return pl.col("rule_id").is_in(pl.Series(ids, dtype=pl.String).implode())

    broken = found.group_by(by).agg(
        among(sorts.values).sum().cast(pl.Int64).alias("_outside"),
        pl.col("row").filter(among(sorts.rules)).n_unique().cast(pl.Int64).alias("_breaking"),
        pl.col("row").filter(among(sorts.order)).n_unique().cast(pl.Int64).alias("_disordered"))
    counts = counts.join(broken, on=by, how="left", maintain_order="left").with_columns(
        pl.col("_outside", "_breaking", "_disordered").fill_null(0))
    rows = pl.col("rows_judged")
    nothing = pl.lit(None, pl.Int64)
    return counts.select(
        by, pl.lit(contract.name).alias("extract"), "rows_judged",
        (rows * len(required)).alias("cells_required"), "cells_filled",
        "values_checked", (pl.col("values_checked") - pl.col("_outside")).alias("values_inside"),
        (rows - pl.col("_breaking") if sorts.rules else nothing).alias("rows_keeping_rules"),
        (rows - pl.col("_disordered") if sorts.order else nothing).alias("rows_in_order"), "rows_identified")


def code_counts(good_rows: pl.DataFrame, contract: Contract, *, by: str) -> pl.DataFrame:
    """`by` and the CODES of every column with a short code list; an empty value counts as the code ''."""
    sets = load_value_sets()
    columns = [c.name for c in contract.columns
               if c.values and not c.is_identifier and 1 < len(sets[c.values].values) <= MOST_CODES]
    parts = [good_rows.group_by(by, pl.col(name).fill_null("").alias("code")).agg(pl.len().cast(pl.Int64).alias("n"))
             .select(by, pl.lit(contract.name).alias("extract"), pl.lit(name).alias("column"), "code", "n")
             for name in columns]
    empty = pl.DataFrame(schema={by: good_rows.schema.get(by, pl.String())} | CODES)
    return pl.concat(parts).sort(by, "column", "code") if parts else empty


def due_at(due: Due, period_to: pl.Expr) -> pl.Expr:
    """The moment (Asia/Shanghai) until which the file of a period is on time."""
    hours, minutes = (int(part) for part in due.at.split(":"))
    return period_to.cast(pl.Datetime("us")).dt.offset_by(f"{due.days}d").dt.offset_by(f"{hours * 60 + minutes}m")


def _percent(value: Decimal) -> str:
    return f"{(value * 100).normalize():f}%"


def _judged(check: BatchCheck, rows: pl.DataFrame, threshold: pl.Expr, state: pl.Expr, reason_zh: pl.Expr,
            reason_en: pl.Expr, check_id: pl.Expr | None = None) -> pl.DataFrame:
    """Rows with `numerator` and `denominator` become rows of checks.parquet."""
    return rows.select(
        "load_id", "batch_id", "sender", "institution_code", "extract",
        (pl.lit(check.id) if check_id is None else check_id).alias("check_id"), state.alias("state"),
        pl.col("numerator").cast(pl.Float64), pl.col("denominator").cast(pl.Float64),
        threshold.cast(pl.Float64).alias("threshold"), pl.lit(check.blocking).alias("blocking"),
        reason_zh.alias("reason_zh"), reason_en.alias("reason_en"), "period_from", "period_to")


def _ratio(check: BatchCheck, rows: pl.DataFrame, threshold: Decimal) -> pl.DataFrame:
    """equal, at_least and at_most: a count over another, against the threshold."""
    n, d = pl.col("numerator"), pl.col("denominator")
    holds = {"equal": n == d, "at_least": n >= d * float(threshold), "at_most": n <= d * float(threshold)}
    wanted = {"equal": ("须相等", "must be equal"),
              "at_least": (f"要求不低于 {_percent(threshold)}", f"at least {_percent(threshold)} is asked"),
              "at_most": (f"要求不高于 {_percent(threshold)}", f"at most {_percent(threshold)} is allowed")}[check.template]
    missing = (pl.col("_status") == "accepted") & pl.col("_unread") & n.is_null()
    # announced rows may be none: that is a number to be equal to, not a missing base
    empty = n.is_null() | d.is_null() | ((d == 0) if check.template != "equal" else False)
    few = d < check.least
    state = (pl.when(missing).then(pl.lit("error")).when(empty | few).then(pl.lit("not_applicable"))
             .when(holds[check.template]).then(pl.lit("passed")).otherwise(pl.lit("failed")))

    def reason(counts: str, asked: str, too_few: str, nothing: str, failed: str) -> pl.Expr:
        told = pl.format("{}: {} / {}; {}", pl.lit(counts), n, d,
                         pl.when(few).then(pl.lit(too_few)).otherwise(pl.lit(asked)))
        return pl.when(missing).then(pl.lit(failed)).when(empty).then(pl.lit(nothing)).otherwise(told)

    return _judged(check, rows, pl.lit(float(threshold)), state,
                   reason(check.counts_zh, wanted[0], f"不足 {check.least},只计数,按月评判", "没有可检查的内容", "未能计算"),
                   reason(check.counts_en, wanted[1], f"fewer than {check.least}: counted, judged by the month",
                          "nothing to check", "could not be computed"))


def _on_time(check: BatchCheck, batches: pl.DataFrame) -> pl.DataFrame:
    contracts, parts = load_contracts(), []
    for (extract,), rows in batches.group_by("extract", maintain_order=True):
        due = due_at(contracts[extract].due, pl.col("period_to"))
        told = [t.dt.strftime("%Y-%m-%d %H:%M") for t in (pl.col("received_at"), due)]
        first = ~pl.col("resent")
        on_time = pl.col("received_at") <= due
        rows = rows.with_columns(pl.when(first).then(on_time.cast(pl.Int64)).alias("numerator"),
                                 pl.when(first).then(1).alias("denominator"))
        state = (pl.when(~first).then(pl.lit("not_applicable")).when(on_time).then(pl.lit("passed"))
                 .otherwise(pl.lit("failed")))
        zh = pl.when(first).then(pl.format("{} 收到,应于 {} 前收到", *told)).otherwise(pl.lit("补报批次,以首次上报为准"))
        en = (pl.when(first).then(pl.format("received {}, due {}", *told))
              .otherwise(pl.lit("sent again: the first delivery counts")))
        parts.append(_judged(check, rows, pl.lit(1.0), state, zh, en))
    return pl.concat(parts)


def _distance(check: BatchCheck, current: pl.DataFrame, base: pl.DataFrame, last: pl.DataFrame) -> pl.DataFrame:
    """How far the shares of codes are apart (total variation), against a limit that grows where rows are few.

    `current` and `base` hold _who, extract, column, code, n; `last` the batch that stands for each sender.
    """
    key = ["_who", "extract", "column"]
    total = pl.col("n").sum().over(key)
    now = current.with_columns((pl.col("n") / total).alias("_p"), total.alias("denominator"))
    then = base.with_columns((pl.col("n") / total).alias("_q"), total.alias("_m"))
    size = now.select(*key, "denominator").unique().join(then.select(*key, "_m").unique(), on=key)
    both = now.select(*key, "code", "_p").join(then.select(*key, "code", "_q"), on=[*key, "code"], how="full",
                                               coalesce=True)
    moved = both.group_by(key).agg(
        ((pl.col("_p").fill_null(0) - pl.col("_q").fill_null(0)).abs().sum() / 2).alias("_moved"),
        pl.len().alias("_codes"))
    # half the sum of the standard errors of k shares is at most this (Cauchy-Schwarz)
    error = ((pl.col("_codes") - 1) * (1 / pl.col("denominator") + 1 / pl.col("_m"))).sqrt() / 2
    rows = size.join(moved, on=key).with_columns(error.alias("_error")).join(last, on=["_who", "extract"])
    rows = rows.with_columns((pl.col("_moved") * pl.col("denominator")).round(2).alias("numerator")).sort(key)
    limit = float(check.threshold) + pl.col("_error")
    few = pl.col("_error") > LEAST_CERTAINTY
    state = (pl.when(few).then(pl.lit("not_applicable")).when(pl.col("_moved") <= limit).then(pl.lit("passed"))
             .otherwise(pl.lit("failed")))
    shares = [(pl.col("_moved") * 100).round(1), (limit * 100).round(1), pl.col("denominator"), pl.col("_m")]
    zh = (pl.when(few).then(pl.lit("行数太少,不作比较"))
          .otherwise(pl.format("{} 分布相差 {}%,允许 {}%(本次 {} 行,对照 {} 行)", pl.col("column"), *shares)))
    en = (pl.when(few).then(pl.lit("too few rows to compare"))
          .otherwise(pl.format("the shares of {} differ by {}%, {}% is allowed ({} rows now, {} compared with)",
                               pl.col("column"), *shares)))
    return _judged(check, rows, limit, state, zh, en, pl.format("{}.{}", pl.lit(check.id), pl.col("column")))


def _drift(batches: pl.DataFrame, codes: pl.DataFrame, earlier: pl.DataFrame | None) -> list[pl.DataFrame]:
    checks, contracts = load_batch_checks(), load_contracts()
    place = batches.select("batch_id", "sender").unique()
    key = ["sender", "extract", "column", "code"]
    now = codes.join(place, on="batch_id").group_by(key).agg(pl.col("n").sum())
    past = (earlier.group_by(key).agg(pl.col("n").sum()) if earlier is not None
            else pl.DataFrame(schema={"sender": pl.String} | CODES))
    last = batches.sort("period_to", "batch_id").group_by("sender", "extract").last().rename({"sender": "_who"})
    last = last.with_columns(pl.col("_who").alias("sender")).select(
        "_who", "extract", "load_id", "batch_id", "sender", "institution_code", "period_from", "period_to")
    out = [_distance(checks["drift"], now.rename({"sender": "_who"}), past.rename({"sender": "_who"}), last)]
    compared = [(c.name, k.name) for c in contracts.values() for k in c.columns if k.compare_peers]
    if compared:
        wanted = pl.DataFrame(compared, schema=["extract", "column"], orient="row")
        everyone = pl.concat([now, past.select(now.columns)]).group_by(key).agg(pl.col("n").sum())
        everyone = everyone.join(wanted, on=["extract", "column"]).with_columns(
            pl.col("sender").str.slice(*CLASS_OF_INSTITUTION).alias("_class"))
        group = ["_class", "extract", "column", "code"]
        kind = everyone.group_by(group).agg(pl.col("n").sum().alias("_all"))
        mine = now.join(wanted, on=["extract", "column"]).with_columns(
            pl.col("sender").str.slice(*CLASS_OF_INSTITUTION).alias("_class"))
        # the peers of a sender are its class less itself
        senders = mine.select("sender", "_class", "extract", "column").unique()
        peers = (senders.join(kind, on=["_class", "extract", "column"])
                 .join(everyone.select(*key, pl.col("n").alias("_own")), on=key, how="left")
                 .with_columns((pl.col("_all") - pl.col("_own").fill_null(0)).alias("n")).filter(pl.col("n") > 0))
        out.append(_distance(checks["peers"], mine.select(*key, "n").rename({"sender": "_who"}),
                             peers.select(*key, "n").rename({"sender": "_who"}), last))
    return out


def batch_checks(batches: pl.DataFrame, tallies: pl.DataFrame, codes: pl.DataFrame | None = None,
                 earlier: pl.DataFrame | None = None, *, refusal_share: float, refusal_rows: int) -> pl.DataFrame:
    """Every check of every batch, in the schema CHECKS: state, numerator, denominator, threshold, reason.

    `batches` has the columns of BATCHES, one row per batch and extract; `tallies` `batch_id`, `extract` and the COUNTS;
    `codes` `batch_id` and the CODES of this load, `earlier` `sender` and the CODES of all loads before it. A batch
    whose rows were judged but not counted has the state error. `refusal_share` of bad rows refuses a batch whole, but
    never because of fewer than `refusal_rows`.
    """
    batches = batches.filter(pl.col("extract").is_not_null())
    if batches.height == 0:
        return pl.DataFrame(schema=CHECKS)
    counted = batches.join(tallies.select("batch_id", "extract", *COUNTS), on=["batch_id", "extract"], how="left",
                           maintain_order="left").with_columns(
        pl.col("status").alias("_status"),
        (pl.col("rows_judged").is_null() & (pl.col("rows_received") > pl.col("rows_duplicate"))).alias("_unread"))
    contracts, parts = load_contracts(), []
    has = {"rows_keeping_rules": {n for n, c in contracts.items() if c.rules},
           "rows_identified": {n for n, c in contracts.items() if c.person},
           "rows_in_order": {n for n, c in contracts.items() if _sorts(c).order}}
    for check in load_batch_checks().values():
        if check.template == "on_time":
            parts.append(_on_time(check, batches))
        elif check.template != "distance":
            rows = counted
            if check.numerator in has:
                rows = rows.filter(pl.col("extract").is_in(sorted(has[check.numerator])))
            rows = rows.with_columns(pl.col(check.numerator).alias("numerator"),
                                     pl.col(check.denominator).alias("denominator"))
            if check.id == "quarantined_share":
                # below the number of rows that can refuse a batch there is no share to speak of
                few = (pl.col("numerator") < refusal_rows) & (pl.col("_status") == "accepted")
                rows = rows.with_columns(pl.when(few & (pl.col("numerator") > refusal_share * pl.col("denominator")))
                                         .then(None).otherwise(pl.col("denominator")).alias("denominator"))
            threshold = Decimal(str(refusal_share)) if check.threshold is None else check.threshold
            parts.append(_ratio(check, rows, threshold))
    if codes is not None and codes.height:
        parts += _drift(batches, codes, earlier)
    return pl.concat(parts).select(pl.col(n).cast(t) for n, t in CHECKS.items()).sort(
        "load_id", "batch_id", "extract", "check_id")


def check_label(check_id: str) -> tuple[str, str]:
    """(zh, en) of a check as it is shown; drift and peers name their column after a dot."""
    check, _, column = check_id.partition(".")
    record = load_batch_checks()[check]
    return (f"{record.zh}:{column}", f"{record.en}: {column}") if column else (record.zh, record.en)
