"""Every figure of D02 equals the one computed from the generator's own tables by other code.

Put here: the comparison of the published marts with `figures.py`, and figures worked out by hand from the sample's rows.
Put elsewhere: what a figure is (`figures.py`), and whether planted faults are found (`test_faults.py`).

Both the committed sample and the small county of 24 months are compared: three months have no last year.

Sums are compared exactly, ratios and quantiles to one part in a thousand million. A unit without any row of an
indicator must be published without a value: a missing report is not a zero.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest

from tests.end_to_end.conftest import Site
from tests.end_to_end.figures import (
    GROWTH_OF,
    LEVELS,
    PAYMENTS,
    PERCENT,
    Figures,
    Pair,
    Truth,
    Unit,
    fen,
    month_before,
    quantile,
    year_before,
)

# What may be missing below it, from the indicator catalogue of the specification; 30 where it is not named.
MINIMUM = {"COST-10": 300, "COST-11": 60, "FUND-01": 0}
# Indicators that no single value can show, and the test of the mart that shows them.
BY_GROUP = {"COST-19": "mart_cost_disease_month", "COST-20": "mart_cost_structure_month"}
# Figures of D14; what they measure is the pipeline's own work, which the truth tables do not know.
OF_DASHBOARD_14 = {f"DQ-{n:02d}" for n in range(1, 14)}


# What needs a year of history, which the sample of three months has not.
NEEDS_LAST_YEAR = {"COST-09", "COST-10", "COST-11", "FUND-07"}


@pytest.fixture(scope="module", params=["sample", "county"])
def county(request) -> tuple[str, Site, Figures]:
    """The committed sample, and the 24 months of the small county for the comparisons with last year."""
    site = request.getfixturevalue(f"{request.param}_site")
    return request.param, site, Figures(Truth(site.home / "truth"))


@pytest.fixture(scope="module")
def figures(county) -> Figures:
    return county[2]


@pytest.fixture(scope="module")
def marts(county):
    """Rows of a published mart as dictionaries, optionally those that meet an SQL condition."""
    with duckdb.connect(str(county[1].published), read_only=True) as con:
        def rows(mart: str, where: str = "true") -> list[dict]:
            result = con.execute(f"select * from marts.{mart} where {where}")
            names = [c[0] for c in result.description]
            return [dict(zip(names, r, strict=True)) for r in result.fetchall()]

        yield rows


def same(found, expected) -> bool:
    """Exactly equal sums and texts; floats to 1e-9; a decimal quantile to the fen it is rounded to."""
    if found is None or expected is None:
        return found is expected
    if isinstance(found, float):
        return abs(found - float(expected)) <= 1e-9 * max(1.0, abs(float(expected)))
    if isinstance(expected, Fraction) and expected.denominator not in (1, 2, 4, 5, 10, 20, 25, 50, 100):
        return abs(Fraction(found) - expected) <= Fraction(1, 200)
    return found == (fen(expected) if isinstance(expected, Fraction) else expected)


def assert_same(found: dict[tuple, dict], expected: dict[tuple, dict], columns: Iterable[str] | None = None) -> None:
    """The same keys, and under each the same columns; names the first differences."""
    wrong = [f"published only: {k}" for k in found.keys() - expected.keys()]
    wrong += [f"not published: {k} {expected[k]}" for k in expected.keys() - found.keys()]
    for key in found.keys() & expected.keys():
        for column in columns or expected[key]:
            if not same(found[key][column], expected[key][column]):
                wrong.append(f"{key} {column}: published {found[key][column]}, computed {expected[key][column]}")
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(sorted(wrong)[:20])
    assert found


def keyed(rows: list[dict], *columns: str) -> dict[tuple, dict]:
    out = {tuple(r[c] for c in columns): r for r in rows}
    assert len(out) == len(rows)
    return out


def unit_of(row: dict) -> Unit:
    code = {"institution": "institution_code", "township": "township_code"}.get(row["level"])
    return Unit(row["month"], row["level"], row[code] if code else None)


# --- the indicators ---------------------------------------------------------------------------------------------------


def enough(indicator_id: str, figures: Figures, unit: Unit, pair: Pair) -> bool:
    """Whether the denominator, in a growth the cases of both years, reaches the minimum."""
    least = MINIMUM.get(indicator_id, 30)
    if indicator_id in GROWTH_OF:
        base = figures.ratio(GROWTH_OF[indicator_id], unit.level)
        return min(base[unit].denominator, base[unit._replace(month=year_before(unit.month))].denominator) >= least
    return pair.denominator is None or pair.denominator >= least


@pytest.fixture(scope="module")
def computed(figures):
    """Indicator to its units, with value and whether it is large enough; each computed once."""
    cache = {}

    def of(indicator_id: str) -> dict[Unit, tuple[Pair, float | None, bool]]:
        if indicator_id not in cache:
            factor = 100 if indicator_id in PERCENT else 1
            cache[indicator_id] = {u: (p, p.value(factor), enough(indicator_id, figures, u, p))
                                   for u, p in figures.indicator(indicator_id).items()}
        return cache[indicator_id]

    return of


def relative(now: float, before: float) -> float | None:
    return (now - before) / abs(before) * 100 if before else None


@pytest.mark.parametrize("indicator_id", sorted(LEVELS))
def test_indicator_by_month(indicator_id, county, marts, computed):
    rows = {unit_of(r): r for r in marts("mart_indicator_month", f"indicator_id = '{indicator_id}'")}
    mine = computed(indicator_id)
    late_starter = county[0] == "sample" and indicator_id in NEEDS_LAST_YEAR
    assert {u.level for u in rows} == set(LEVELS[indicator_id]) or (late_starter and not rows)
    wrong = [f"not published: {u} {p}" for u, (p, value, _) in mine.items() if u not in rows and value is not None]
    for unit, row in rows.items():
        pair, value, ranked = mine.get(unit, (Pair(None, None), None, False))
        before, value_before, ranked_before = mine.get(unit._replace(month=year_before(unit.month)), (Pair(None, None), None, False))
        _, value_prev, ranked_prev = mine.get(unit._replace(month=month_before(unit.month)), (None, None, False))
        expected = {"value": value, "numerator_ly": before.numerator, "denominator_ly": before.denominator, "value_ly": value_before,
                    "value_prev": value_prev}
        if value is not None:
            expected |= {"numerator": pair.numerator, "denominator": pair.denominator, "state": "value" if ranked else "small"}
        elif row["state"] not in ("not_reported", "not_evaluable"):
            wrong.append(f"{unit} state: {row['state']} without a value")
        grown = value is not None and value_before is not None and ranked and ranked_before
        expected["change_pct"] = relative(value, value_before) if grown else None
        moved = value is not None and value_prev is not None and ranked and ranked_prev
        expected["change_prev_pct"] = relative(value, value_prev) if moved else None
        wrong += [f"{unit} {c}: published {row[c]}, computed {float(v) if isinstance(v, Fraction) else v}"
                  for c, v in expected.items() if not same(row[c], v)]
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(sorted(wrong)[:20])
    shown = any(value is not None for _, value, _ in mine.values())
    assert shown or late_starter, "nothing is shown of it"


def test_every_computed_indicator_is_checked(marts):
    catalogue = {r["indicator_id"]: r["state"] for r in marts("mart_indicator")}
    assert {i for i, state in catalogue.items() if state == "computed"} == set(LEVELS) | OF_DASHBOARD_14
    assert {i for i, state in catalogue.items() if state == "by_group"} - {"DQ-14"} == set(BY_GROUP)
    with_value = {r["indicator_id"] for r in marts("mart_indicator_month", "value is not null or numerator is not null")}
    assert with_value <= set(LEVELS) | OF_DASHBOARD_14 | {"DQ-14"}


def test_peer_quartiles(marts, figures, computed):
    """Quartiles over the institutions of one level and class whose denominator is large enough and whose data are not red."""
    rows = marts("mart_indicator_month", "level = 'institution'")
    group_of = {(r["month"], r["institution_code"]): r["peer_group"] for r in rows}
    red = {(r["month"], r["institution_code"], r["indicator_id"]) for r in rows if r["completeness_grade"] == "red"}
    kinds = defaultdict(set)
    for (_, code), group in group_of.items():
        kinds[group].add((figures.institutions[code]["level_code"], figures.institutions[code]["institution_class"]))
    assert all(len(k) == 1 for k in kinds.values()) and len(kinds) == len(set.union(*kinds.values())), kinds
    expected = defaultdict(list)
    for indicator_id in LEVELS:
        for unit, (_, value, ranked) in computed(indicator_id).items():
            if unit.level != "institution" or value is None or not ranked or (unit.month, unit.code, indicator_id) in red:
                continue
            if (unit.month, unit.code) in group_of:
                expected[unit.month, group_of[unit.month, unit.code], indicator_id].append(value)
    quartiles = {k: {"n": len(v)} | {f"p{p}": quantile(v, Fraction(p, 100)) for p in (10, 25, 50, 75, 90)} for k, v in expected.items()}
    found = keyed(marts("mart_peer_month", "indicator_id not like 'DQ%'"), "month", "peer_group", "indicator_id")
    assert_same(found, quartiles)
    wrong = []
    for r in marts("mart_indicator_month", "level = 'institution' and indicator_id not like 'DQ%'"):
        of = quartiles.get((r["month"], r["peer_group"], r["indicator_id"]), {})
        wrong += [(r["month"], r["institution_code"], r["indicator_id"], c) for c in ("p25", "p50", "p75")
                  if not same(r[f"peer_{c}"], of and float(of[c]) if of else None)]
    assert not wrong, wrong[:10]


# --- the marts by group -----------------------------------------------------------------------------------------------


def with_last_year(expected: dict[tuple, dict], columns: Iterable[str], found: dict[tuple, dict]) -> dict[tuple, dict]:
    """Adds each column's figure of the same month last year; null where nothing at all is known of that month.

    A key that had rows last year and has none now may be published too; then only last year's columns are compared.
    """
    known = {k[0] for k in expected}
    out = {}
    for key in expected.keys() | {k for k in found if (year_before(k[0]), *k[1:]) in expected}:
        before = expected.get((year_before(key[0]), *key[1:]))
        out[key] = expected.get(key, {}) | {f"{c}_ly": before[c] if before else (0 if year_before(key[0]) in known else None) for c in columns}
    return out


def hide_few(got: dict, cases: int) -> None:
    """Fewer than 5 cases show no mean and no percentile (PS-23)."""
    if cases < 5:
        got |= {c: None for c in got if c == "avg_fee" or c.startswith("fee_p")}


def test_cost_by_payer(marts, figures):
    found = keyed(marts("mart_cost_month"), "month", "level", "institution_code", "level_code", "payer_code", "care")
    expected = with_last_year(figures.cost_month(), ["settlements", *PAYMENTS], found)
    assert_same(found, expected)


def test_average_fee(marts, figures):
    found = keyed(marts("mart_cost_case_fee_month"), "month", "level", "institution_code", "care")
    expected = figures.case_fees()
    peers = defaultdict(list)
    for (month, level, code, care), got in expected.items():
        if level == "institution" and got["cases"] >= 30:
            peers[month, care, found[month, level, code, care]["peer_group"]].append(Fraction(got["fee"]) / got["cases"])
    for (month, level, code, care), got in expected.items():
        average = Fraction(got["fee"]) / got["cases"] if got["cases"] >= 30 else None
        if level == "county":
            of = [v for (m, c, _), values in peers.items() if (m, c) == (month, care) for v in values]
        else:
            of = peers[month, care, found[month, level, code, care]["peer_group"]]
        got |= {"avg_fee": average, "peer_n": len(of)} | {f"peer_p{p}": quantile(of, Fraction(p, 100)) if of else None for p in (25, 50, 75)}
        hide_few(got, got["cases"])
    with_ly = with_last_year(expected, ["cases", "fee", "drug_fee", "consumable_fee", "visits", "discharges"], found)
    for key, got in with_ly.items():
        before = expected.get((year_before(key[0]), *key[1:]))
        got["avg_fee_ly"] = before["avg_fee"] if before else None
        both = got.get("avg_fee") is not None and got["avg_fee_ly"] is not None
        got["avg_fee_change_pct"] = (got["avg_fee"] / got["avg_fee_ly"] - 1) * 100 if both else None
        inpatient = key[3] == "inpatient"
        got |= {"visits_ly": None} if inpatient else {"discharges_ly": None, "consumable_fee_ly": None}
    assert_same(found, with_ly)


def test_fee_structure(marts, figures):
    found = keyed(marts("mart_cost_structure_month"), "month", "level", "institution_code", "basis", "care", "fee_class")
    amounts = {k: {"amount": v} for k, v in figures.structure().items()}
    expected = with_last_year(amounts, ["amount"], found)
    whole = defaultdict(Fraction)
    for key, got in amounts.items():
        whole[key[:5]] += got["amount"]
    for key in amounts:
        expected[key]["share_pct"] = amounts[key]["amount"] / whole[key[:5]] * 100 if whole[key[:5]] else None
    assert_same(found, expected)


def test_departments(marts, figures):
    found = keyed(marts("mart_cost_department_month"), "month", "level", "institution_code", "dept_code", "std_dept_code")
    expected = figures.departments()
    middle = {(k[0], k[4]): v["fee_p50"] for k, v in expected.items() if k[1] == "county"}
    for key, got in expected.items():
        got |= {"avg_fee": Fraction(got["total_fee"]) / got["discharges"], "is_small": got["discharges"] < 30,
                "peer_p50": middle[key[0], key[4]]}
        hide_few(got, got["discharges"])
    assert_same(found, with_last_year(expected, ["discharges", "total_fee"], found))


def test_diseases(marts, figures):
    found = keyed(marts("mart_cost_disease_month"), "month", "level", "institution_code", "disease_code")
    expected = figures.diseases()
    units = defaultdict(list)
    for key, got in expected.items():
        small = got["cases"] < 5
        got |= {"is_small_cell": small, "avg_fee": None if small else Fraction(got["total_fee"]) / got["cases"],
                "avg_los": None if small else Fraction(got["los_days"], got["cases"])}
        units[key[:3]].append(got["total_fee"])
    assert_same(found, with_last_year(expected, ["cases", "total_fee"], found))
    for unit, fees in units.items():
        ranked = sorted((found[k] for k in expected if k[:3] == unit), key=lambda r: r["fee_rank"])
        assert [r["total_fee"] for r in ranked] == sorted(fees, reverse=True), unit


def test_growth_decomposition(marts, figures):
    """The five components add up to the change exactly; volume is the change of cases at last year's average fee."""
    rows = marts("mart_cost_growth_month")
    found = defaultdict(dict)
    for r in rows:
        found[r["month"], r["level"], r["institution_code"], r["care"]][r["component"]] = r
    expected = figures.growth_totals()
    assert {k for k, parts in found.items()} == set(expected)
    for key, parts in found.items():
        want = expected[key]
        assert set(parts) == {"volume", "mix", "price", "drugs", "consumables"}
        for r in parts.values():
            assert {c: r[c] for c in want} == want, key
        assert sum(r["change_amount"] for r in parts.values()) == want["total_change"], key
        volume = Fraction(want["fee_ly"]) / want["cases_ly"] * (want["cases"] - want["cases_ly"])
        assert abs(Fraction(parts["volume"]["change_amount"]) - volume) <= Fraction(1, 200), (key, float(volume))


def test_case_list(marts, figures):
    """The discharges of the last 12 months, each once, with the money of its stay."""
    listed = marts("mart_cost_case")
    columns = ("month", "institution_code", "dept_code", "disease_code", "los_days", "total_fee", "drug_fee", "consumable_fee",
               "exam_lab_fee", "fund_pay", "cash_pay")
    all_cases = figures.cases().rename({"discharge_dept": "dept_code"}).rows(named=True)
    last = max(r["month"] for r in all_cases)
    mine = [r for r in all_cases if r["month"] > year_before(last)]

    def multiset(rows: list[dict]) -> list[tuple]:
        return sorted(tuple(r[c] for c in columns) for r in rows)

    assert multiset(listed) == multiset(mine)
    by_disease = defaultdict(list)
    for r in mine:
        by_disease[r["disease_code"]].append(r["total_fee"])
    for r in listed:
        middle = quantile(by_disease[r["disease_code"]], Fraction(1, 2))
        assert same(r["disease_median_fee"], middle), r["disease_code"]
        assert r["level"] == "institution"


def test_drugs_and_consumables(marts, figures):
    found = keyed(marts("mart_cost_item_month"), "month", "level", "institution_code", "item_class", "item_code")
    all_items = figures.items()
    wrong = []
    for key, r in found.items():
        mine = all_items.get(key)
        before = all_items.get((year_before(key[0]), *key[1:]))
        if mine is None:
            wrong.append(f"published only: {key}")
            continue
        wrong += [f"{key} {c}: published {r[c]}, computed {mine[c]}" for c in ("amount", "lines") if r[c] != mine[c]]
        if not same(r["quantity"], mine["quantity"]):
            wrong.append(f"{key} quantity: published {r['quantity']}, computed {mine['quantity']}")
        if (r["amount_ly"] or 0) != (before["amount"] if before else 0):
            wrong.append(f"{key} amount_ly: published {r['amount_ly']}, computed {before and before['amount']}")
    groups = defaultdict(list)
    for key, mine in all_items.items():
        groups[key[:4]].append((mine["amount"], key))
    for items in groups.values():
        ranked = sorted((amount for amount, _ in items), reverse=True)
        least = ranked[min(len(ranked), 50) - 1]
        wrong += [f"not published: {key} {amount}" for amount, key in items if key not in found and amount > least]
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(sorted(wrong)[:20])
    assert found


def test_case_lines(marts):
    """The lines listed of a case add up to its fee, and a case says whether its lines are listed."""
    cases = {r["case_key"]: r for r in marts("mart_cost_case")}
    lines = defaultdict(Decimal)
    for r in marts("mart_cost_case_line"):
        lines[r["case_key"]] += r["amount"]
    assert {k for k, r in cases.items() if r["has_lines"]} == set(lines)
    assert {k: cases[k]["total_fee"] for k in lines} == lines


def test_alerts(marts, computed):
    """Average fees 15 % over the month before, growth over 10 %, consumables over 20 yuan: each with its value, none left out."""
    expected = set()
    for indicator_id, alert, limit in (("COST-01", "average_fee_jump", 15), ("COST-03", "average_fee_jump", 15),
                                       ("COST-09", "over_target", 10), ("COST-07", "over_target", 20)):
        units = computed(indicator_id)
        for unit, (_, value, ranked) in units.items():
            if alert == "average_fee_jump":
                _, before, before_ranked = units.get(unit._replace(month=month_before(unit.month)), (None, None, False))
                value = relative(value, before) if value is not None and before is not None and ranked and before_ranked else None
            if value is not None and ranked and value > limit and unit.level != "township":
                expected.add((unit.month, unit.level, unit.code, alert, round(value, 6)))
    found = {(r["month"], r["level"], r["institution_code"], r["alert_id"], round(r["value"], 6))
             for r in marts("mart_cost_alert_month", "alert_id in ('average_fee_jump', 'over_target')")}
    assert found == expected


# --- worked out by hand from the rows of the sample -----------------------------------------------------------------------

CLINIC, GENERAL, TCM = "990326001D110000000014", "990326001A100000000001", "990326001A210000000002"
TOWNSHIP, PSYCHIATRIC, MCH = "990326001C220000000007", "990326001A411000000013", "990326001G100000000004"
JUNE, JULY, AUGUST = date(2025, 6, 1), date(2025, 7, 1), date(2025, 8, 1)

BY_HAND = [
    # five visits: 53.36 + 46.38 + 37.04 + 29.24 + 28.86 = 194.88; / 5
    ("COST-01", JULY, CLINIC, "194.88", 5, 38.976),
    # their drugs: 0.61 + 40.38 + 18.29 + 23.24 + 22.86 = 105.38; / 5
    ("COST-02", JULY, CLINIC, "105.38", 5, 21.076),
    # two discharges: 10537.29 + 6616.06 = 17153.35; / 2
    ("COST-03", JUNE, GENERAL, "17153.35", 2, 8576.675),
    # one discharge: western 390.63 + patent 272.12 + slices 59.40 = 722.15
    ("COST-04", JULY, TCM, "722.15", 1, 722.15),
    # 2165.85 + 628.74 + 1335.48 = 4130.07 over 7 + 2 + 3 = 12 days
    ("COST-05", JULY, TOWNSHIP, "4130.07", 12, 344.1725),
    # report: I13 93.25 of I10 236.25
    ("COST-06", JUNE, PSYCHIATRIC, "93.25", "236.25", 39.4709),
    # report: E30 96.00 over I10 1618.02 - I13 527.02 - I14 0 = 1091.00
    ("COST-07", AUGUST, MCH, "96.00", "1091.00", 8.7993),
    # report: I16 144.00 + I17 39.00 = 183.00 of I10 352.10
    ("COST-08", JULY, MCH, "183.00", "352.10", 51.9739),
    # one settlement: cash 371.99 of 418.36
    ("COST-12", JULY, PSYCHIATRIC, "371.99", "418.36", 88.9162),
    # report: I18 56.00 of I10 188.51
    ("COST-13", JUNE, MCH, "56.00", "188.51", 29.7066),
    # 14 occupied bed-days of 30 days x 3 open beds
    ("EFFI-01", JUNE, TOWNSHIP, 14, 90, 15.5556),
    # 3 discharges over 93 bed-days / 31 days = 3 beds
    ("EFFI-02", JULY, TOWNSHIP, 3, 3, 1.0),
    # 7 + 2 + 3 days of three discharges
    ("EFFI-03", JULY, TOWNSHIP, 12, 3, 4.0),
    # 93 open - 5 occupied bed-days over 3 discharges
    ("EFFI-04", JULY, TOWNSHIP, 88, 3, 29.3333),
    # three discharges; of two ward doctors one is at two hospitals: 1/2 + 1
    ("EFFI-05", JULY, TOWNSHIP, 3, "1.5", 2.0),
    # three emergencies of 3, 5 and 5 minutes
    ("EFFI-11", JULY, GENERAL, 13, 3, 4.3333),
    # four settlements: 7.83 + 9.34 + 15.74 + 9.06
    ("FUND-01", JULY, MCH, "41.97", None, 41.97),
    # of two settlements one is insured: 8.42 of 73.95
    ("FUND-04", JUNE, MCH, "8.42", "73.95", 11.3861),
    # outside: 20.22 + 22.03 + 18.44 + 1124.85 = 1185.54. inside: general 26059.15, second 235.87, private 100.30, TCM 1132.15,
    # psychiatric 46.37, township 4550.79, clinic 0, villages 124.08 + 261.49 + 256.53 + 248.20 = 890.30, MCH 41.97: 33056.90
    ("FUND-05", JULY, None, "33056.90", "34242.44", 96.5378),
    ("FUND-12", JULY, None, "1185.54", "34242.44", 3.4622),
    # township 4550.79 + villages 890.30 = 5441.09
    ("FUND-06", JULY, None, "5441.09", "33056.90", 16.4598),
    # three cases: 1788.36 + 437.27 + 1050.84 = 3276.47 less 2331.05 + 680.33 + 1404.48 = 4415.86
    ("FUND-08", JULY, TOWNSHIP, "-1139.39", 3, -379.7967),
    # eight cases, a twentieth rounded up is one: 12675.99 of 29212.75
    ("FUND-09", JULY, None, "12675.99", "29212.75", 43.392),
    # of five settlements one on the 29th, 30th or 31st
    ("FUND-10", AUGUST, MCH, 1, 5, 20.0),
    # 7.10 deducted of 1161.25 + 1753.65 = 2914.90
    ("FUND-11", JUNE, TOWNSHIP, "7.10", "2914.90", 0.2436),
]


@pytest.mark.parametrize(("indicator_id", "month", "code", "numerator", "denominator", "value"), BY_HAND, ids=[h[0] for h in BY_HAND])
def test_by_hand(sample_site, indicator_id, month, code, numerator, denominator, value):
    with duckdb.connect(str(sample_site.published), read_only=True) as con:
        row = con.execute("select numerator, denominator, round(value, 4) from marts.mart_indicator_month where indicator_id = ? and month = ? "
                          "and level = ? and institution_code is not distinct from ?",
                          [indicator_id, month, "institution" if code else "county", code]).fetchall()
    assert row == [(Decimal(numerator), None if denominator is None else Decimal(denominator), value)]
