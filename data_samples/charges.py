"""What is charged for a visit or a stay, line by line.

Put here: choosing items and quantities so that the lines add up to a plausible bill. Put elsewhere: who pays (`money.py`),
and the rows as an institution sends them (`records.py`).
"""

import numpy as np

from data_samples.arrays import SECONDS_A_DAY, Columns, spread
from data_samples.events import Illnesses, Mix
from data_samples.institutions import Catalogue, year_of
from data_samples.parameters import Node

MILLI = 1000  # quantities are whole thousandths


def _money_shares(q: Node, groups: dict[str, float]) -> dict[str, float]:
    return {t: part * share for name, share in groups.items() for t, part in q[name].items() if t != "consult"}


def _amount(quantity: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Whole fen of thousandths times ten-thousandths of a yuan, half up."""
    return (quantity * price + 50_000) // 100_000


class Till:
    """Chooses items and quantities at one price level."""

    def __init__(self, p: Node, catalogue: Catalogue, level: str) -> None:
        self.p, self.catalogue, self.level = p, catalogue, level
        self._ladders = {}
        self.visit_mix: tuple[list[str], np.ndarray, np.ndarray] | None = None

    def choose(
        self, rng: np.random.Generator, kinds: np.ndarray, names: list[str], target: np.ndarray, years: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Item, quantity (thousandths) and price (ten-thousandths) for lines that aim at `target` fen."""
        item = np.zeros(len(kinds), np.int64)
        quantity, price = np.full(len(kinds), MILLI), np.zeros(len(kinds), np.int64)
        u = rng.random(len(kinds))
        for year in np.unique(years):
            y = int(min(max(year, self.catalogue.first_year), self.catalogue.first_year + self.catalogue.years - 1))
            if y not in self._ladders:
                self._ladders[y] = self.catalogue.ladder(self.level, y)
            all_prices = self.catalogue.price[self.level, y]
            for k, name in enumerate(names):
                rows = np.flatnonzero((kinds == k) & (years == year))
                if not len(rows):
                    continue
                items = self._ladders[y][name]
                prices = all_prices[items] // 100
                aim = target[rows]
                high = np.maximum(np.searchsorted(prices, aim, side="right"), 1)
                low = np.maximum(np.searchsorted(prices, aim / 4), high - self.p.price_list.window)
                low = np.minimum(low, high - 1)
                chosen = low + np.floor(u[rows] * (high - low)).astype(int)
                item[rows] = items[chosen]
                quantity[rows] = np.maximum(np.rint(aim / prices[chosen]), 1).astype(np.int64) * MILLI
                price[rows] = all_prices[item[rows]]
        return item, quantity, price


def visit_lines(
    p: Node,
    rng: np.random.Generator,
    till: Till,
    visits: Columns,
    ill: Illnesses,
    mix: Mix,
    growth: np.ndarray,
    material_factor: np.ndarray,
) -> Columns:
    """The lines of visits in their order: parent, item, quantity, price, amount, second; the first is the consultation."""
    prof, q, level = p.outpatient[till.level], p.price_list, till.level
    n = len(visits)
    charged = rng.random(n) >= prof.uncharged
    sigma = np.sqrt(2 * np.log(prof.mean / prof.median))
    paid_share = 1 - prof.uncharged
    target = prof.median * 100 / paid_share * np.exp(sigma * rng.standard_normal(n)) * growth * ill.fee[visits.diag] / mix.fee
    more = rng.poisson(max(prof.lines / paid_share - 2, 0.05), n)
    count = np.where(charged, 2 + more, 0)
    parent, place = spread(count)
    consult = till.catalogue.special[f"consult_{level}"]
    year = year_of(visits.day)
    consult_price = np.array([till.catalogue.price[level, int(y)][consult] for y in np.unique(year)])[
        np.searchsorted(np.unique(year), year)
    ]
    if till.visit_mix is None:
        till.visit_mix = _visit_mix(p, prof, consult_price.mean() / 1e4)
    names, chance, mean_weight = till.visit_mix
    kinds = np.searchsorted(np.cumsum(chance), rng.random(len(parent))).clip(max=len(names) - 1)
    antibiotic = rng.random(n) < prof.antibiotic * ill.antibiotic[visits.diag] / mix.antibiotic
    names = [*names, "antibiotic"]
    kinds = np.where((place == 1) & antibiotic[parent], len(names) - 1, kinds)
    weight = np.r_[mean_weight, mean_weight[0]][kinds] * np.exp(q.weight_sigma * rng.standard_normal(len(parent)))
    weight = np.where(place == 0, 0.0, weight)
    total = np.bincount(parent, weight, n)
    left = np.maximum(target - consult_price / 100, target * 0.1)
    aim = left[parent] * weight / np.where(total[parent] > 0, total[parent], 1)
    aim = np.where(kinds == names.index("08"), aim * material_factor[parent], aim)
    item, quantity, price = till.choose(rng, np.where(place == 0, -1, kinds), names, aim, year[parent])
    first = place == 0
    item[first], price[first] = consult, consult_price[parent[first]]
    second = visits.day[parent].astype(np.int64) * SECONDS_A_DAY + visits.second[parent] + 120 * place
    second = np.minimum(second, (visits.day[parent].astype(np.int64) + 1) * SECONDS_A_DAY - 1)
    return Columns(parent=parent, item=item, quantity=quantity, price=price, amount=_amount(quantity, price), second=second)


def _visit_mix(p: Node, prof: Node, consult_price: float) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Kinds of line of a visit, the chance of each and its relative amount, so that the shares of money come out as declared.

    A visit has so few lines that the shares of lines and of money cannot both be chosen: the shares of lines are fitted,
    on a fixed sample of visits.
    """
    q, rng = p.price_list, np.random.default_rng(0)
    consult = consult_price / prof.mean
    rest = max(1 - prof.drug - prof.exam - consult, 0.02)
    plain = {k: v for k, v in q.outpatient_money.rest.items() if k != "consult"}
    money = _money_shares(q.outpatient_money, {"drug": prof.drug, "exam": prof.exam})
    money |= {t: s * rest / sum(plain.values()) for t, s in plain.items()}
    names = list(money)
    want = np.array(list(money.values()))
    want = want / want.sum()
    chance = np.array([q.outpatient_lines[t] for t in names]) * want
    chance /= chance.sum()
    weight = want / chance
    n = 6000
    count = 1 + rng.poisson(max(prof.lines / (1 - prof.uncharged) - 2, 0.05), n)
    parent, _ = spread(count)
    sigma = np.sqrt(2 * np.log(prof.mean / prof.median))
    left = np.maximum(np.exp(sigma * rng.standard_normal(n)) * prof.median - consult_price, prof.median * 0.1)
    u, noise = rng.random(len(parent)), np.exp(q.weight_sigma * rng.standard_normal(len(parent)))
    for _ in range(25):
        kinds = np.searchsorted(np.cumsum(chance), u).clip(max=len(names) - 1)
        w = weight[kinds] * noise
        amount = left[parent] * w / np.bincount(parent, w, n)[parent]
        got = np.bincount(kinds, amount, len(names)) / amount.sum()
        chance = chance * (want / np.maximum(got, 1e-6)).clip(0.3, 3) ** 0.7
        chance /= chance.sum()
    return names, chance, weight


def stay_lines(
    p: Node,
    rng: np.random.Generator,
    till: Till,
    kind: str,
    stays: Columns,
    ill: Illnesses,
    mix: Mix,
    growth: np.ndarray,
    material_factor: np.ndarray,
) -> Columns:
    """The lines of stays in order of stay and time; daily bed, nursing and round first of all, then oxygen, then the rest."""
    q, items, cat = p.inpatient, p.price_list, till.catalogue
    n = len(stays)
    days = np.maximum(stays.out - stays.admit, 1)
    z = q.fee_los_correlation * stays.z + np.sqrt(1 - q.fee_los_correlation**2) * rng.standard_normal(n)
    target = q.mean_fee[kind] * 100 * np.exp(q.sigma * z - q.sigma**2 / 2) * growth * ill.fee[stays.diag] / mix.fee
    parts = []
    parent, place = spread(days)
    daily = [cat.special[f"bed_{kind}"], cat.special[f"nursing_{kind}"], cat.special["round"]]
    for i, item in enumerate(daily):
        parts.append(
            Columns(
                parent=parent,
                item=np.full(len(parent), item),
                quantity=np.full(len(parent), MILLI),
                day=stays.admit[parent] + place,
                hour=np.full(len(parent), 9.0 + i / 10),
            )
        )
    needs = np.isin(ill.three[stays.diag], q.oxygen_codes)
    breath = needs[parent] & (rng.random(len(parent)) < q.oxygen_share)
    low, high = q.oxygen_hours
    parts.append(
        Columns(
            parent=parent[breath],
            item=np.full(breath.sum(), cat.special["oxygen"]),
            quantity=rng.integers(low, high, breath.sum(), endpoint=True) * MILLI,
            day=(stays.admit[parent] + place)[breath],
            hour=np.full(breath.sum(), 21.0),
        )
    )
    fixed = Columns.join(parts)
    fixed.set(price=_price_on(cat, till.level, fixed.item, fixed.day))
    fixed.set(amount=_amount(fixed.quantity, fixed.price))
    spent = np.bincount(fixed.parent, fixed.amount, n)
    service = max(q.service - spent.sum() / max(target.sum(), 1), 0.04)
    split = items.inpatient_money
    money = _money_shares(split, {"drug": q.drug, "exam": q.exam, "consumable": q.consumable, "other": q.other})
    serve = sum(split.service.values())
    money |= {t: s / serve * service for t, s in split.service.items()}
    names = list(money)
    chance = np.array([items.inpatient_lines[t] for t in names])
    chance = chance / chance.sum()
    mean_weight = np.array([money[t] for t in names]) / chance
    count = np.maximum(rng.poisson(q.lines_per_bed_day[kind] * days) - 3 * days, 2)
    parent, _ = spread(count)
    kinds = np.searchsorted(np.cumsum(chance), rng.random(len(parent))).clip(max=len(names) - 1)
    infected = np.isin(ill.chapter[stays.diag], q.antibiotic_chapters)
    antibiotic = infected[parent] & (kinds == names.index("09")) & (rng.random(len(parent)) < q.antibiotic_share)
    names = [*names, "antibiotic"]
    weight = np.r_[mean_weight, mean_weight[names.index("09")]][kinds] * np.exp(
        items.weight_sigma * rng.standard_normal(len(parent))
    )
    kinds = np.where(antibiotic, len(names) - 1, kinds)
    if hasattr(stays, "panel"):  # a planted check-up: examinations and laboratory, nothing else
        panel = np.where(rng.random(len(parent)) < 0.2, names.index("03"), names.index("04"))
        kinds = np.where(stays.panel[parent] > 0, panel, kinds)
    left = np.maximum(target - spent, target * 0.15)
    aim = left[parent] * weight / np.bincount(parent, weight, n)[parent]
    aim = np.where(kinds == names.index("08"), aim * material_factor[parent], aim)
    on = stays.admit[parent] + np.floor(rng.random(len(parent)) * days[parent]).astype(int)
    item, quantity, price = till.choose(rng, kinds, names, aim, year_of(on))
    rest = Columns(
        parent=parent,
        item=item,
        quantity=quantity,
        day=on,
        hour=8 + rng.random(len(parent)) * 12,
        price=price,
        amount=_amount(quantity, price),
    )
    lines = Columns.join([fixed, rest])
    second = lines.day.astype(np.int64) * SECONDS_A_DAY + (lines.hour * 60).astype(np.int64) * 60
    second = np.clip(second, stays.admitted[lines.parent], stays.discharged[lines.parent])
    lines.set(second=second)
    return lines.take(np.lexsort((lines.second, lines.parent)))


def _price_on(cat: Catalogue, level: str, item: np.ndarray, days: np.ndarray) -> np.ndarray:
    years = year_of(days).clip(cat.first_year, cat.first_year + cat.years - 1)
    price = np.zeros(len(item), np.int64)
    for y in np.unique(years):
        mine = years == y
        price[mine] = cat.price[level, int(y)][item[mine]]
    return price


def reprice(lines: Columns) -> None:
    """Recomputes the amounts after quantities or prices were changed."""
    lines.set(amount=_amount(lines.quantity, lines.price))
