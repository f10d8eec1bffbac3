"""Who pays a bill, and what an institution's monthly accounts show.

Put here: splitting a bill between fund, account and person, and the sums of the financial report, in whole fen.
Put elsewhere: the lines of the bill (`charges.py`), the rows as they are sent (`records.py`).
"""

import numpy as np
import polars as pl

from data_samples.arrays import Columns, decimals
from data_samples.institutions import Catalogue
from data_samples.parameters import Node

INCOME_OF_TYPE = {"09": "I13", "11": "I13", "10": "I14", "08": "I15", "03": "I16", "04": "I17"}
INCOME = ("I11", "I12", "I13", "I14", "I15", "I16", "I17", "I19")


def split_lines(p: Node, cat: Catalogue, lines: Columns) -> None:
    """Adds to each line the part the patient bears wholly, bears first, and the part in the scheme's scope."""
    grade = cat.grade[lines.item]
    full = np.where(grade == "03", lines.amount, 0)
    ratio = round(p.insurance.preselfpay_ratio * 10000)
    first = np.where(grade == "02", (lines.amount * ratio + 5000) // 10000, 0)
    lines.set(
        full=full,
        first=first,
        scope=lines.amount - full - first,
        ratio=np.where(grade == "03", 10000, np.where(grade == "02", ratio, 0)),
    )


def settle(
    p: Node,
    rng: np.random.Generator,
    where: Node,
    lines: Columns,
    n: int,
    insurance: np.ndarray,
    poor: np.ndarray,
    inpatient: bool,
) -> Columns:
    """The payment of n bills: insured scheme used, and every part in fen; total = fund + account + cash + other."""
    q = p.insurance
    total, full, first = (np.bincount(lines.parent, a, n).astype(np.int64) for a in (lines.amount, lines.full, lines.first))
    scope = total - full - first
    used = (insurance > 0) & (rng.random(n) < (q.used_share.inpatient if inpatient else q.used_share.outpatient))
    rate = np.where(insurance == 310, where.employee, where.resident)
    if inpatient:
        deductible = np.minimum(where.deductible * 100, scope)
        pooling = np.rint((scope - deductible) * rate).astype(np.int64)
    else:
        deductible = np.zeros(n, np.int64)
        pooling = np.minimum(np.rint(scope * rate).astype(np.int64), where.cap * 100)
    pooling = np.where(used, pooling, 0)
    burden = scope - pooling
    serious = np.where(
        used & inpatient, np.rint(np.maximum(burden - q.serious_illness["from"] * 100, 0) * q.serious_illness.rate), 0
    ).astype(np.int64)
    aid = np.where(used & poor & inpatient, np.rint((burden - serious) * q.medical_aid_rate), 0).astype(np.int64)
    fund = pooling + serious + aid
    own = total - fund
    account = np.where(used & (insurance == 310), np.rint(np.minimum(own, scope) * q.account_share), 0).astype(np.int64)
    account = np.minimum(account, own)
    other = np.where(rng.random(n) < q.other_pay_share, np.rint((own - account) * q.other_pay_rate), 0).astype(np.int64)
    return Columns(
        total=total,
        full=full,
        first=first,
        scope=scope,
        used=used,
        deductible=np.where(used, deductible, 0),
        pooling=pooling,
        serious=serious,
        aid=aid,
        fund=fund,
        account=account,
        other=other,
        cash=own - account - other,
    )


class Accounts:
    """Each institution's medical income by month and line, in fen, as its settlements post to it."""

    def __init__(self, institutions: int, first_month: int, months: int) -> None:
        self.first_month, self.months = first_month, months
        self.income = np.zeros((institutions, months, len(INCOME)), np.int64)

    def post(self, inst: np.ndarray, month: np.ndarray, inpatient: bool, total: np.ndarray) -> None:
        """Adds settled totals to the outpatient or inpatient line; a negative total takes a cancelled bill out again."""
        ok = (month >= self.first_month) & (month < self.first_month + self.months)
        np.add.at(
            self.income[:, :, INCOME.index("I12" if inpatient else "I11")], (inst[ok], month[ok] - self.first_month), total[ok]
        )

    def post_lines(self, inst: np.ndarray, month: np.ndarray, types: np.ndarray, amount: np.ndarray) -> None:
        """Adds charge lines to the income line of their type; what has no own line is service."""
        for line in INCOME[2:]:
            own = [t for t, code in INCOME_OF_TYPE.items() if code == line] if line != "I19" else ["14"]
            mine = np.isin(types, own) & (month >= self.first_month) & (month < self.first_month + self.months)
            np.add.at(self.income[:, :, INCOME.index(line)], (inst[mine], month[mine] - self.first_month), amount[mine])

    def report(
        self,
        p: Node,
        kinds: list[str],
        codes: list[str],
        names: dict[str, tuple[str, str]],
        which: np.ndarray,
        m: int,
        scale: float,
    ) -> pl.DataFrame:
        """The financial report of some institutions for month m of the period (0 first).

        The year to date begins with the period where that begins within the year.
        """

        def year_to_date(i: int, upto: int, line: str) -> int:
            since = max(upto - (self.first_month + upto) % 12, 0)
            return sum(self._month(p, kinds[i], i, k, scale)[line] for k in range(since, upto + 1))

        rows, month = [], self.first_month + m
        label = f"{1970 + month // 12}-{month % 12 + 1:02d}"
        for i in which:
            now = self._month(p, kinds[i], i, m, scale)
            last = self._month(p, kinds[i], i, m - 12, scale) if m >= 12 else None
            for line, amount in now.items():
                rows.append(
                    (
                        int(i),
                        codes[i],
                        label,
                        line,
                        names[line][0],
                        amount,
                        year_to_date(i, m, line),
                        last[line] if last else None,
                        year_to_date(i, m - 12, line) if last else None,
                        round(amount * 12 * p.finance.budget_growth),
                    )
                )
        cols = (
            "inst",
            "institution_code",
            "stat_month",
            "line_code",
            "line_name",
            "month_amount",
            "ytd_amount",
            "last_year_month",
            "last_year_ytd",
            "budget_amount",
        )
        df = pl.DataFrame(rows, orient="row", schema=cols, infer_schema_length=None)
        amounts = {}
        for c in cols[5:]:
            values, valid = df[c].fill_null(0).cast(pl.Int64).to_numpy(), df[c].is_not_null().to_numpy()
            amounts[c] = decimals(values, 16, 2, valid)
        return df.with_columns(**amounts, restated_flag=pl.lit(False), inst=pl.col("inst").cast(pl.Int32))

    def _month(self, p: Node, kind: str, i: int, m: int, scale: float) -> dict[str, int]:
        own = dict(zip(INCOME, (int(x) for x in self.income[i, m]), strict=True))
        medical = own["I11"] + own["I12"]
        goods = sum(own[c] for c in ("I13", "I14", "I15", "I16", "I17"))
        f = p.finance
        level = "psychiatric" if kind == "psychiatric" else p.institutions[kind].price
        subsidy = round(medical * f.subsidy.get(level, 0))
        if kind in ("cdc", "supervision"):
            subsidy = round(f.subsidy.office_base * 100 * scale)
        other = round(medical * f.other_income)
        drugs, material = own["I13"] + own["I14"], own["I15"]
        expense = {
            "E10": round((medical + subsidy) * f.expense.E10),
            "E20": round(drugs * f.expense.E20),
            "E30": round(material * f.expense.E30),
            "E40": round((medical + subsidy) * f.expense.E40),
            "E50": round((medical + subsidy) * f.expense.E50),
            "E60": round((medical + subsidy) * f.expense.E60),
        }
        return {
            "I00": medical + subsidy + other,
            "I10": medical,
            "I11": own["I11"],
            "I12": own["I12"],
            "I13": own["I13"],
            "I14": own["I14"],
            "I15": own["I15"],
            "I16": own["I16"],
            "I17": own["I17"],
            "I18": medical - goods,
            "I19": own["I19"],
            "I30": subsidy,
            "I40": other,
            "E00": sum(expense.values()),
            **expense,
        }
