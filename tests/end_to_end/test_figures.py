"""Every figure of D02 on the committed sample equals the one computed from the generator's own tables by other code.

Put here: the comparison of the published marts with `figures.py`, and figures worked out by hand from the sample's rows.
Put elsewhere: what a figure is (`figures.py`), and whether planted faults are found (`test_faults.py`).

Sums are compared exactly, ratios and quantiles to one part in a thousand million. A unit without any row of an
indicator must be published without a value: a missing report is not a zero.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import duckdb
import pytest

from tests.end_to_end.conftest import SAMPLE
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


@pytest.fixture(scope="module")
def figures() -> Figures:
    return Figures(Truth.load(SAMPLE / "truth"))


@pytest.fixture(scope="module")
def marts(sample_site):
    """Rows of a published mart as dictionaries, optionally those that meet an SQL condition."""
    with duckdb.connect(str(sample_site.published), read_only=True) as con:
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
def test_indicator_by_month(indicator_id, marts, computed):
    rows = {unit_of(r): r for r in marts("mart_indicator_month", f"indicator_id = '{indicator_id}'")}
    mine = computed(indicator_id)
    assert {u.level for u in rows} == set(LEVELS[indicator_id])
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
    assert any(value is not None for _, value, _ in mine.values()), "the sample shows nothing of it"


def test_every_computed_indicator_is_checked(marts):
    catalogue = {r["indicator_id"]: r["state"] for r in marts("mart_indicator")}
    assert {i for i, state in catalogue.items() if state == "computed"} == set(LEVELS) | OF_DASHBOARD_14
    assert {i for i, state in catalogue.items() if state == "by_group"} - {"DQ-14"} == set(BY_GROUP)
    published = {r["indicator_id"] for r in marts("mart_indicator_month")}
    assert published == set(LEVELS) | OF_DASHBOARD_14


def test_peer_quartiles(marts, figures, computed):
    """Quartiles over the institutions of one level and class whose denominator is large enough."""
    group_of = {(r["month"], r["institution_code"]): r["peer_group"] for r in marts("mart_indicator_month", "level = 'institution'")}
    kinds = defaultdict(set)
    for (_, code), group in group_of.items():
        kinds[group].add((figures.institutions[code]["level_code"], figures.institutions[code]["institution_class"]))
    assert all(len(k) == 1 for k in kinds.values()) and len(kinds) == len(set.union(*kinds.values())), kinds
    expected = defaultdict(list)
    for indicator_id in LEVELS:
        for unit, (_, value, ranked) in computed(indicator_id).items():
            if unit.level == "institution" and value is not None and ranked and (unit.month, unit.code) in group_of:
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
    """Adds each column's figure of the same month last year; null where nothing at all is known of that month."""
    known = {k[0] for k in expected}
    keys = set(expected) | {k for k in found if (year_before(k[0]), *k[1:]) in expected}
    out = {}
    for key in keys:
        before = expected.get((year_before(key[0]), *key[1:]))
        got = expected.get(key)
        if got is None:
            continue
        last = {f"{c}_ly": before[c] if before else (0 if year_before(key[0]) in known else None) for c in columns}
        out[key] = got | last
    return out


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
    with_ly = with_last_year(expected, ["cases", "fee", "drug_fee", "consumable_fee", "visits", "discharges"], found)
    for key, got in with_ly.items():
        before = expected.get((year_before(key[0]), *key[1:]))
        got["avg_fee_ly"] = before["avg_fee"] if before else None
        both = got["avg_fee"] is not None and got["avg_fee_ly"] is not None
        got["avg_fee_change_pct"] = (got["avg_fee"] / got["avg_fee_ly"] - 1) * 100 if both else None
        inpatient = key[3] == "inpatient"
        got |= {"visits_ly": None} if inpatient else {"discharges_ly": None, "consumable_fee_ly": None}
    assert_same(found, with_ly)


def test_fee_structure(marts, figures):
    found = keyed(marts("mart_cost_structure_month"), "month", "level", "institution_code", "basis", "care", "fee_class")
    amounts = {k: {"amount": v} for k, v in figures.structure().items()}
    expected = with_last_year(amounts, ["amount"], found)
    whole = defaultdict(Fraction)
    for key, got in expected.items():
        whole[key[:5]] += got["amount"]
    for key, got in expected.items():
        got["share_pct"] = got["amount"] / whole[key[:5]] * 100 if whole[key[:5]] else None
    assert_same(found, expected)


def test_departments(marts, figures):
    found = keyed(marts("mart_cost_department_month"), "month", "level", "institution_code", "dept_code", "std_dept_code")
    expected = figures.departments()
    middle = {(k[0], k[4]): v["fee_p50"] for k, v in expected.items() if k[1] == "county"}
    for key, got in expected.items():
        got |= {"avg_fee": Fraction(got["total_fee"]) / got["discharges"], "is_small": got["discharges"] < 30,
                "peer_p50": middle[key[0], key[4]]}
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
        ranked = sorted((r for k, r in found.items() if k[:3] == unit), key=lambda r: r["fee_rank"])
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
    for group, items in groups.items():
        for amount, key in sorted(items, key=lambda x: x[0], reverse=True)[:50]:
            if key not in found and amount > min((r["amount"] for k, r in found.items() if k[:4] == group), default=Decimal(0)):
                wrong.append(f"not published: {key} {amount}")
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(sorted(wrong)[:20])
    assert found
