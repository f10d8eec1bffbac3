"""The figures of dashboard D02, computed a second time from the generator's own tables.

Put here: what a figure of COST, FUND and EFFI is, in plain Polars sums and Python fractions, written from the
specification and never from the SQL it is compared with. Put elsewhere: the comparison (`test_figures.py`).

A `Truth` is the folder `truth/` that the generator writes beside a landing zone: per extract the last true version of
every row that was handed over, in the contract's columns. Nothing is subtracted from it: faults in money (GT-Q06, GT-Q09,
GT-Q14) are corrected by a second file, the out-of-county file that never came (GT-Q04) is not in the truth either, and of
what nobody corrects GT-Q03 (admission route), GT-Q05 (sex) and GT-Q07 (second health files) enter no figure here. Only GT-Q11
does: the items that `ground_truth.csv` names by institution and item code were sent as vitamins, so they count as no antibiotic.
The pipeline's own quarantine is never asked: a row that it sets aside without a planted reason shows as a difference.

Money is summed as decimals; a ratio is a `Fraction` of two exact sums and becomes a float at the very last.
"""

import calendar
import csv
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl

INST = "institution_code"
PSYCHIATRIC_HOSPITAL = "A411"
LONG_STAY_DEPARTMENTS = ("A15", "A21")       # psychiatry, rehabilitation
DRUG_TYPES = ("09", "10", "11")
FEE_CLASS = {"03": "exam", "04": "lab", "08": "consumable", "09": "drug", "10": "drug", "11": "drug", "14": "other"}
PAYMENTS = ("total_fee", "in_scope_amount", "fund_pay", "pooling_pay", "serious_illness_pay", "medical_aid_pay",
            "account_pay", "cash_pay", "other_pay", "full_selfpay", "deducted_amount")
PRIMARY_LEVELS = ("2", "3")
VILLAGE_LEVEL = "3"


class Unit(NamedTuple):
    """One unit of a roll-up: `code` is the institution's or township's, None for the county."""

    month: date
    level: str
    code: str | None


class Pair(NamedTuple):
    """Numerator and denominator of an indicator; an indicator that is a plain sum has no denominator."""

    numerator: Fraction
    denominator: Fraction | None

    def value(self, factor: int) -> float | None:
        if self.denominator is None:
            return float(self.numerator)
        return float(self.numerator / self.denominator * factor) if self.denominator else None


def year_before(month: date) -> date:
    return month.replace(year=month.year - 1)


def month_before(month: date) -> date:
    return date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)


def fen(x: Fraction) -> Decimal:
    """A fraction rounded half up to two places, as a money column shows it."""
    return (Decimal(x.numerator) / Decimal(x.denominator)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def quantile(values: Iterable, p: Fraction) -> Fraction:
    """The p-quantile between order statistics, interpolated linearly (the usual type 7)."""
    ordered = sorted(Fraction(v) for v in values)
    place = p * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def month_of(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Date).dt.truncate("1mo").alias("month")


@dataclass(frozen=True)
class Truth:
    """The generator's own tables of one county: its folder `truth/`."""

    folder: Path

    def table(self, extract: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "tables" / f"{extract}.parquet")

    def sent_as_vitamins(self) -> pl.DataFrame:
        """Institution and local code of the antibiotics whose catalogue entry is planted wrong (GT-Q11)."""
        with (self.folder / "ground_truth.csv").open(encoding="utf-8", newline="") as f:
            pairs = [(r["institution_code"], item) for r in csv.DictReader(f) if r["gt_id"] == "GT-Q11" for item in r["record_ids"].split(";")]
        return pl.DataFrame(pairs, schema={INST: pl.String, "local_item_code": pl.String}, orient="row")


class Figures:
    """Every figure of D02 of one `Truth`, each computed once."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth

    # --- the rows that count -------------------------------------------------------------------------------------

    @cached_property
    def institutions(self) -> dict[str, dict]:
        """Institution code to its latest row."""
        rows = self.truth.table("institution").sort("valid_from")
        return {r[INST]: r for r in rows.iter_rows(named=True)}

    @cached_property
    def visits(self) -> pl.DataFrame:
        """One row per visit: encounters of one registration are one visit, health examinations are none."""
        return (
            self.truth.table("outpatient_encounter").filter(pl.col("visit_type") != "4")
            .with_columns(visit=pl.coalesce(pl.concat_str(pl.lit("r"), "registration_id"), pl.concat_str(pl.lit("e"), "encounter_id")))
            .group_by(INST, "visit")
            .agg(pl.col("visit_start").min(), fee=pl.col("total_fee").sum(), drug_fee=pl.col("drug_fee").sum())
            .with_columns(month_of("visit_start"))
        )

    @cached_property
    def discharges(self) -> pl.DataFrame:
        """One row per front page, in the month of discharge, with what the department and the disease group are."""
        departments = self.truth.table("department").select(INST, pl.col("dept_code").alias("discharge_dept"), "std_dept_code")
        return (
            self.truth.table("case_front_page")
            .with_columns(month_of("discharged_at"), disease_code=pl.col("main_diag_code").str.slice(0, 3), fee=pl.col("total_fee"),
                          drug_fee=pl.col("fee_western_drug") + pl.col("fee_tcm_patent") + pl.col("fee_tcm_slice"),
                          consumable_fee=pl.col("fee_consumable"))
            .join(departments, on=[INST, "discharge_dept"], how="left")
            .with_columns(long_stay=self._class_of(pl.col(INST)).eq(PSYCHIATRIC_HOSPITAL)
                          | pl.col("std_dept_code").str.slice(0, 3).is_in(LONG_STAY_DEPARTMENTS).fill_null(False))
        )

    @cached_property
    def settlements(self) -> pl.DataFrame:
        """Valid settlements and refunds; `counts` is 1 where the row is a settlement and 0 where it is a refund."""
        return (
            self.truth.table("settlement").filter("valid_flag")
            .with_columns(month_of("setl_time"), payer_code=pl.col("insurance_type").fill_null("000"),
                          care=pl.when(pl.col("stay_id").is_not_null()).then(pl.lit("inpatient")).otherwise(pl.lit("outpatient")),
                          counts=pl.col("refund_of").is_null().cast(pl.Int64))
            .with_columns(pl.col(PAYMENTS).fill_null(0))
        )

    @cached_property
    def charges(self) -> pl.DataFrame:
        """Charge lines with their fee class and the antibiotic level that the catalogue gave their item on the day.

        Lines older than the first visit told of belong to stays that began before reporting did: to no month.
        """
        lines = self.truth.table("charge_line").with_columns(month_of("occurred_at")).filter(pl.col("month") >= self.months[0]).with_columns(
            day=pl.col("occurred_at").cast(pl.Date),
            care=pl.when(pl.col("stay_id").is_not_null()).then(pl.lit("inpatient")).otherwise(pl.lit("outpatient")),
            fee_class=pl.col("chrgitm_type").replace_strict(FEE_CLASS, default="service"),
        )
        items = self.truth.table("catalog_mapping").select(
            INST, "local_item_code", "antibiotic_level", item_nhsa="nhsa_code", day=pl.col("valid_from"), until=pl.col("valid_to"),
        )
        vitamins = self.truth.sent_as_vitamins().with_columns(vitamin=True)
        return (
            lines.sort("day").join_asof(items.sort("day"), on="day", by=[INST, "local_item_code"], strategy="backward",
                                        check_sortedness=False)
            .join(vitamins, on=[INST, "local_item_code"], how="left")
            .with_columns(antibiotic=(pl.col("antibiotic_level").is_in(["1", "2", "3"]) & pl.col("vitamin").is_null()
                                      & (pl.col("until").is_null() | (pl.col("day") <= pl.col("until")))).fill_null(False))
        )

    def _class_of(self, column: pl.Expr) -> pl.Expr:
        return column.replace_strict({k: v["institution_class"] for k, v in self.institutions.items()}, default=None)

    # --- measures: additive sums by institution and month --------------------------------------------------------

    @cached_property
    def measures(self) -> dict[str, dict[tuple[str, date], Fraction]]:
        """Measure to its sum per institution and month."""
        out = defaultdict(dict)
        for frame, columns in self._measure_frames():
            for row in frame.iter_rows(named=True):
                for name in columns:
                    if row[name] is not None:
                        out[name][row[INST], row["month"]] = Fraction(row[name])
        out["ward_doctors"] = self._ward_doctors()
        return out

    def _measure_frames(self) -> Iterable[tuple[pl.DataFrame, list[str]]]:
        by = [INST, "month"]

        def summed(frame: pl.DataFrame, **what: pl.Expr) -> tuple[pl.DataFrame, list[str]]:
            return frame.group_by(by).agg(**what), list(what)

        n, total = pl.len().cast(pl.Int64), lambda c: pl.col(c).sum()
        yield summed(self.visits, visits=n, visit_fee=total("fee"), visit_drug_fee=total("drug_fee"))
        emergency = self.truth.table("outpatient_encounter").filter((pl.col("visit_type") == "2") & pl.col("visit_end").is_not_null())
        yield summed(emergency.with_columns(month_of("visit_start"), s=(pl.col("visit_end") - pl.col("visit_start")).dt.total_seconds()),
                     emergency_visits=n, emergency_seconds=total("s"))
        yield summed(self.discharges, discharges=n, discharge_fee=total("fee"), discharge_drug_fee=total("drug_fee"), los_days=total("los_days"))
        yield summed(self.discharges.filter(~pl.col("long_stay")), general_discharges=n, general_los_days=total("los_days"))
        last3 = pl.col("setl_time").dt.day() > pl.col("setl_time").dt.month_end().dt.day() - 3
        insured = pl.col("payer_code") != "000"
        cased = pl.col("drg_dip_standard").is_not_null()
        yield summed(self.settlements, settlements=total("counts"), settled_fee=total("total_fee"), settled_fund_pay=total("fund_pay"),
                     settled_pooling_pay=total("pooling_pay"), settled_in_scope=total("in_scope_amount"), settled_cash_pay=total("cash_pay"),
                     settled_deducted=total("deducted_amount"), last3_settlements=(pl.col("counts") * last3.cast(pl.Int64)).sum(),
                     insured_fee=pl.col("total_fee").filter(insured).sum(), insured_fund_pay=pl.col("fund_pay").filter(insured).sum(),
                     drg_cases=pl.col("counts").filter(cased).sum(), drg_fund_pay=pl.col("fund_pay").filter(cased).sum(),
                     drg_standard=pl.col("drg_dip_standard").filter(cased & (pl.col("counts") == 1)).sum())
        drug = pl.col("chrgitm_type").is_in(DRUG_TYPES)
        beyond = pl.when(pl.col("chrgitm_lv") == "03").then(pl.col("amount")).otherwise(pl.col("full_selfpay_amount").fill_null(0))
        yield summed(self.charges, drug_amount=pl.col("amount").filter(drug).sum(),
                     antibiotic_amount=pl.col("amount").filter(drug & pl.col("antibiotic")).sum(),
                     charged_amount=total("amount"), beyond_catalogue_amount=beyond.sum())
        yield summed(self.truth.table("bed_daily").with_columns(month_of("stat_date")), occupied_bed_days=total("occupied_bed_days"),
                     open_bed_days=total("actual_open_beds"), bed_discharges=total("discharges"))
        yield summed(self.truth.table("inpatient_stay").filter(pl.col("discharged_at").is_not_null()).with_columns(month_of("discharged_at")),
                     stay_discharges=n)
        yield self._finance(), ["medical_income", "drug_income", "slice_income", "consumable_income", "exam_income", "lab_income",
                                "service_income", "other_medical_income", "consumable_expense"]

    def _finance(self) -> pl.DataFrame:
        """The financial report on one row per institution and month."""
        names = {"I10": "medical_income", "I13": "drug_income", "I14": "slice_income", "I15": "consumable_income", "I16": "exam_income",
                 "I17": "lab_income", "I18": "service_income", "I19": "other_medical_income", "E30": "consumable_expense"}
        rows = self.truth.table("finance_monthly").filter(pl.col("line_code").is_in(list(names)))
        month = pl.col("stat_month").str.strptime(pl.Date, "%Y-%m").alias("month")
        return rows.with_columns(month, name=pl.col("line_code").replace_strict(names)).group_by(INST, "month").agg(
            **{n: pl.col("month_amount").filter(pl.col("name") == n).first() for n in names.values()})

    def _ward_doctors(self) -> dict[tuple[str, date], Fraction]:
        """Doctors of inpatient departments by days in post; one who is at several sites that day is shared evenly."""
        wards = set(self.truth.table("department").filter(pl.col("dept_type") == "2").select(INST, "dept_code").iter_rows())
        posts = defaultdict(list)
        for r in self.truth.table("staff").iter_rows(named=True):
            posts[r["id_number"]].append(r)
        out = defaultdict(Fraction)
        for month in self.months:
            days = calendar.monthrange(month.year, month.month)[1]
            for rows in posts.values():
                for day in range(1, days + 1):
                    on = month.replace(day=day)
                    at = [r for r in rows if r["start_date"] <= on and (r["end_date"] is None or on <= r["end_date"])]
                    for r in at:
                        if r["category_code"] in ("11", "12") and (r[INST], r["dept_code"]) in wards:
                            out[r[INST], month] += Fraction(1, len(at) * days)
        return out

    @cached_property
    def months(self) -> list[date]:
        """The months of which anything is told, in order."""
        first = self.truth.table("outpatient_encounter").select(month_of("visit_start"))["month"]
        return sorted(first.unique())

    # --- indicators ----------------------------------------------------------------------------------------------

    def rolled(self, measure: str, level: str, keep: Callable[[dict], bool] = lambda institution: True) -> dict[Unit, Fraction]:
        """A measure summed to a level over the institutions that `keep` holds."""
        out = defaultdict(Fraction)
        for (code, month), value in self.measures[measure].items():
            institution = self.institutions[code]
            if keep(institution):
                unit = {"institution": code, "township": institution["township_code"], "county": None}[level]
                out[Unit(month, level, unit)] += value
        return dict(out)

    def indicator(self, indicator_id: str) -> dict[Unit, Pair]:
        """Numerator and denominator of an indicator at every unit of its levels that has any of its rows."""
        out = {}
        for level in LEVELS[indicator_id]:
            out |= self._at(indicator_id, level)
        return out

    def _at(self, indicator_id: str, level: str) -> dict[Unit, Pair]:
        match indicator_id:
            case "COST-09":
                return self._income_growth(level)
            case "COST-10" | "COST-11" | "FUND-07":
                return growth_of(self.ratio(GROWTH_OF[indicator_id], level))
            case "FUND-05" | "FUND-12":
                return self._outside(indicator_id, level)
            case "FUND-09":
                return self._top_cases()
            case "EFFI-02":
                return {u: Pair(v, self.open_beds(u)) for u, v in self.rolled("bed_discharges", level).items()}
            case "EFFI-11":
                seconds, visits = self.rolled("emergency_seconds", level), self.rolled("emergency_visits", level)
                return {u: Pair(seconds[u] / 60, n) for u, n in visits.items()}
        return self.ratio(indicator_id, level)

    def ratio(self, indicator_id: str, level: str) -> dict[Unit, Pair]:
        """An indicator that is signed sums of measures, divided."""
        over, under, keep = RATIO[indicator_id]
        if indicator_id == "EFFI-03" and level == "county":
            over, under = ("general_los_days",), ("general_discharges",)
        top, bottom = self._signed(over, level, keep), self._signed(under, level, keep) if under else None
        if indicator_id == "FUND-06":
            top = {u: Fraction(0) for u in bottom} | self._signed(over, level, lambda i: i["level_code"] in PRIMARY_LEVELS)
        if bottom is None:
            return {u: Pair(v, None) for u, v in top.items()}
        if indicator_id == "EFFI-05":
            # the roster of doctors says nothing of discharges: where none was reported there is no value, not a zero
            return {u: Pair(top[u], v) for u, v in bottom.items() if u in top}
        return {u: Pair(top.get(u, Fraction(0)), v) for u, v in bottom.items()}

    def _signed(self, measures: tuple[str, ...], level: str, keep: Callable[[dict], bool]) -> dict[Unit, Fraction]:
        out = defaultdict(Fraction)
        for name in measures:
            for unit, value in self.rolled(name.lstrip("-"), level, keep).items():
                out[unit] += -value if name.startswith("-") else value
        return dict(out)

    def open_beds(self, unit: Unit) -> Fraction:
        """Open bed-days over the days of the calendar month."""
        days = calendar.monthrange(unit.month.year, unit.month.month)[1]
        return self.rolled("open_bed_days", unit.level)[unit] / days

    def _income_growth(self, level: str) -> dict[Unit, Pair]:
        """Medical income against the same month of last year, over the institutions that have both."""
        income, out = self.measures["medical_income"], {}
        for (code, month), now in income.items():
            before = income.get((code, year_before(month)))
            if before is None:
                continue
            unit = Unit(month, level, code if level == "institution" else None)
            so_far = out.get(unit, Pair(Fraction(0), Fraction(0)))
            out[unit] = Pair(so_far.numerator + now - before, so_far.denominator + before)
        return out

    @cached_property
    def outside_fund(self) -> dict[date, Fraction]:
        """Fund payment outside the county by month of discharge or visit; months without the file are not in it."""
        rows = self.truth.table("out_of_county_settlement").with_columns(month_of("end_date")).group_by("month").agg(pl.col("fund_pay").sum())
        return {m: Fraction(v) for m, v in rows.iter_rows()}

    def _outside(self, indicator_id: str, level: str) -> dict[Unit, Pair]:
        inside = self.rolled("settled_fund_pay", level)
        return {
            u: Pair(v if indicator_id == "FUND-05" else self.outside_fund[u.month], v + self.outside_fund[u.month])
            for u, v in inside.items() if u.month in self.outside_fund
        }

    def _top_cases(self) -> dict[Unit, Pair]:
        """Fund payment of the dearest twentieth of the inpatient cases (rounded up to whole cases), and of all."""
        cases = (self.settlements.filter(pl.col("care") == "inpatient").group_by("month", INST, "stay_id")
                 .agg(pl.col("fund_pay").sum()))
        out = {}
        for month in cases["month"].unique():
            paid = sorted((Fraction(v) for v in cases.filter(pl.col("month") == month)["fund_pay"]), reverse=True)
            out[Unit(month, "county", None)] = Pair(sum(paid[:-(-len(paid) // 20)], Fraction(0)), sum(paid, Fraction(0)))
        return out


    # --- the other marts of D02: key -> column -> figure -------------------------------------------------------------

    def cost_month(self) -> dict[tuple, dict[str, Decimal | int]]:
        """(month, level, institution, level_code, payer, care) to settlements and the parts of their payment."""
        rows = self.settlements.with_columns(level_code=self._level_of(pl.col(INST)))
        what = [pl.col("counts").sum().alias("settlements"), *(pl.col(c).sum() for c in PAYMENTS)]
        keys = ["level_code", "payer_code", "care"]
        return self._both_levels(rows, keys, what)

    def case_fees(self) -> dict[tuple, dict[str, Decimal | int | Fraction | None]]:
        """(month, level, institution, care) to cases, fees and the quantiles of the fee of a case."""
        out = {}
        visits = self.visits.with_columns(care=pl.lit("outpatient"), consumable_fee=pl.lit(None, pl.Decimal(12, 2)))
        stays = self.discharges.with_columns(care=pl.lit("inpatient"))
        for rows in (visits, stays):
            parts = self._both_levels(rows, ["care"], [pl.len().cast(pl.Int64).alias("cases"), pl.col("fee").sum(), pl.col("drug_fee").sum(),
                                                       pl.col("consumable_fee").sum(), pl.col("fee").alias("fees")])
            for key, got in parts.items():
                fees = got.pop("fees")
                inpatient = key[-1] == "inpatient"
                out[key] = got | {f"fee_p{p}": quantile(fees, Fraction(p, 100)) for p in (25, 50, 75, 90)} | {
                    "consumable_fee": got["consumable_fee"] if inpatient else None,
                    "visits": None if inpatient else got["cases"], "discharges": got["cases"] if inpatient else None}
        return out

    def structure(self) -> dict[tuple, Fraction]:
        """(month, level, institution, basis, care, fee class) to amount: the report's income lines, and the charge lines."""
        out = defaultdict(Fraction)
        lines = {"drug": ("drug_income", "slice_income"), "consumable": ("consumable_income",), "exam": ("exam_income",),
                 "lab": ("lab_income",), "other": ("other_medical_income",), "service": ("service_income", "-other_medical_income")}
        for level in ("institution", "county"):
            for fee_class, measures in lines.items():
                for unit, value in self._signed(measures, level, everyone).items():
                    out[unit.month, level, unit.code, "finance", "all", fee_class] = value
        charged = self._both_levels(self.charges, ["care", "fee_class"], [pl.col("amount").sum()])
        for (month, level, code, care, fee_class), got in charged.items():
            out[month, level, code, "charges", care, fee_class] = Fraction(got["amount"])
        return dict(out)

    def departments(self) -> dict[tuple, dict[str, Decimal | int | Fraction]]:
        """(month, level, institution, department, standard department) to discharges; no department at county level."""
        what = [pl.len().cast(pl.Int64).alias("discharges"), pl.col("fee").sum().alias("total_fee"), pl.col("drug_fee").sum(),
                pl.col("consumable_fee").sum(), pl.col("los_days").sum(), pl.col("fee").alias("fees")]
        own = self.discharges.group_by("month", INST, "discharge_dept", "std_dept_code").agg(what)
        county = self.discharges.group_by("month", "std_dept_code").agg(what)
        out = {}
        for frame, level in ((own, "institution"), (county, "county")):
            for r in frame.iter_rows(named=True):
                key = (r.pop("month"), level, r.pop(INST, None), r.pop("discharge_dept", None), r.pop("std_dept_code"))
                fees = r.pop("fees")
                out[key] = r | {f"fee_p{p}": quantile(fees, Fraction(p, 100)) for p in (10, 25, 50, 75, 90)}
        return out

    def diseases(self) -> dict[tuple, dict[str, Decimal | int]]:
        """(month, level, institution, disease group) to cases, fees and what the fund paid for these stays."""
        paid = (self.settlements.filter(pl.col("stay_id").is_not_null()).group_by(INST, "stay_id")
                .agg(pl.col("fund_pay").sum(), pl.col("cash_pay").sum()))
        rows = self.discharges.join(paid, on=[INST, "stay_id"], how="left").with_columns(pl.col("fund_pay").fill_null(0))
        return self._both_levels(rows, ["disease_code"], [
            pl.len().cast(pl.Int64).alias("cases"), pl.col("fee").sum().alias("total_fee"), pl.col("fund_pay").sum(),
            pl.col("drug_fee").sum(), pl.col("consumable_fee").sum(), pl.col("los_days").sum()])

    def cases(self) -> pl.DataFrame:
        """One row per discharge with the money of its stay, as the case list shows it."""
        paid = (self.settlements.filter(pl.col("stay_id").is_not_null()).group_by(INST, "stay_id")
                .agg(pl.col("fund_pay").sum(), pl.col("cash_pay").sum()))
        return self.discharges.join(paid, on=[INST, "stay_id"], how="left").with_columns(
            exam_lab_fee=pl.col("fee_lab") + pl.col("fee_imaging"))

    def items(self) -> dict[tuple, dict[str, Decimal | int]]:
        """(month, level, institution, item class, item) to amount, quantity and lines of every drug and consumable.

        TCM slices are a class of their own (VS_ITEM_CLASS) and no drug here.
        """
        rows = self.charges.filter(pl.col("chrgitm_type").is_in(["08", "09", "11"])).with_columns(
            item_class=pl.col("fee_class"), item_code=pl.coalesce("nhsa_code", "item_nhsa", "local_item_code"))
        return self._both_levels(rows, ["item_class", "item_code"],
                                 [pl.col("amount").sum(), pl.col("quantity").sum(), pl.len().cast(pl.Int64).alias("lines")])

    def growth_totals(self) -> dict[tuple, dict[str, Decimal | int]]:
        """(month, level, institution, care) to fees and cases now and a year ago, where both years are known."""
        now = self.case_fees()
        out = {}
        for key, got in now.items():
            before = now.get((year_before(key[0]), *key[1:]))
            if before:
                out[key] = {"fee": got["fee"], "cases": got["cases"], "fee_ly": before["fee"], "cases_ly": before["cases"],
                            "total_change": got["fee"] - before["fee"]}
        return out

    def _level_of(self, column: pl.Expr) -> pl.Expr:
        return column.replace_strict({k: v["level_code"] for k, v in self.institutions.items()}, default=None)

    def _both_levels(self, rows: pl.DataFrame, keys: list[str], what: list[pl.Expr]) -> dict[tuple, dict]:
        """Aggregates per institution and over the county, keyed by (month, level, institution, *keys)."""
        out = {}
        for level, by in (("institution", ["month", INST, *keys]), ("county", ["month", *keys])):
            for r in rows.group_by(by).agg(what).iter_rows(named=True):
                out[r.pop("month"), level, r.pop(INST, None), *(r.pop(k) for k in keys)] = r
        return out

def growth_of(now: dict[Unit, Pair]) -> dict[Unit, Pair]:
    """The change of a ratio against the same month of last year, over last year's ratio, where both exist."""
    out = {}
    for unit, pair in now.items():
        before = now.get(unit._replace(month=year_before(unit.month)))
        if before and before.denominator and before.numerator and pair.denominator:
            last = before.numerator / before.denominator
            out[unit] = Pair(pair.numerator / pair.denominator - last, last)
    return out


def everyone(institution: dict) -> bool:
    return True


def not_village(institution: dict) -> bool:
    return institution["level_code"] != VILLAGE_LEVEL


# indicator -> measures summed above the line (a leading minus is subtracted), below it, and whose rows count
RATIO: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[dict], bool]]] = {
    "COST-01": (("visit_fee",), ("visits",), everyone),
    "COST-02": (("visit_drug_fee",), ("visits",), everyone),
    "COST-03": (("discharge_fee",), ("discharges",), everyone),
    "COST-04": (("discharge_drug_fee",), ("discharges",), everyone),
    "COST-05": (("discharge_fee",), ("los_days",), everyone),
    "COST-06": (("drug_income",), ("medical_income",), not_village),
    "COST-07": (("consumable_expense",), ("medical_income", "-drug_income", "-slice_income"), everyone),
    "COST-08": (("exam_income", "lab_income"), ("medical_income",), everyone),
    "COST-12": (("settled_cash_pay",), ("settled_fee",), everyone),
    "COST-13": (("service_income",), ("medical_income",), everyone),
    "COST-15": (("antibiotic_amount",), ("drug_amount",), everyone),
    "COST-17": (("beyond_catalogue_amount",), ("charged_amount",), everyone),
    "FUND-01": (("settled_fund_pay",), (), everyone),
    "FUND-03": (("settled_pooling_pay",), ("settled_in_scope",), everyone),
    "FUND-04": (("insured_fund_pay",), ("insured_fee",), everyone),
    "FUND-06": (("settled_fund_pay",), ("settled_fund_pay",), everyone),
    "FUND-07": (("settled_fund_pay",), ("settlements",), everyone),
    "FUND-08": (("drg_fund_pay", "-drg_standard"), ("drg_cases",), everyone),
    "FUND-10": (("last3_settlements",), ("settlements",), everyone),
    "FUND-11": (("settled_deducted",), ("settled_fund_pay",), everyone),
    "EFFI-01": (("occupied_bed_days",), ("open_bed_days",), everyone),
    "EFFI-03": (("los_days",), ("discharges",), everyone),
    "EFFI-04": (("open_bed_days", "-occupied_bed_days"), ("bed_discharges",), everyone),
    "EFFI-05": (("stay_discharges",), ("ward_doctors",), everyone),
}
GROWTH_OF = {"COST-10": "COST-01", "COST-11": "COST-03", "FUND-07": "FUND-07"}
LEVELS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("COST-01", "COST-02", "COST-12"), ("institution", "township", "county")),
    **dict.fromkeys(("COST-03", "COST-04", "COST-06", "COST-07", "COST-08", "COST-09", "COST-10", "COST-11", "COST-13", "COST-15",
                     "COST-17", "FUND-01", "FUND-04", "FUND-07", "EFFI-01", "EFFI-03"), ("institution", "county")),
    **dict.fromkeys(("COST-05", "FUND-08", "FUND-10", "FUND-11", "EFFI-02", "EFFI-04", "EFFI-05", "EFFI-11"), ("institution",)),
    **dict.fromkeys(("FUND-03", "FUND-05", "FUND-09", "FUND-12"), ("county",)),
    "FUND-06": ("township", "county"),
}
PERCENT = {"COST-06", "COST-07", "COST-08", "COST-09", "COST-10", "COST-11", "COST-12", "COST-13", "COST-15", "COST-17", "FUND-03",
           "FUND-04", "FUND-05", "FUND-06", "FUND-07", "FUND-09", "FUND-10", "FUND-11", "FUND-12", "EFFI-01"}
