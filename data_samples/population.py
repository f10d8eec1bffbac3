"""The county's villages and persons, who exist before anything happens to them.

Put here: places, persons, their identity, their chances of falling ill, and drawing a person for an event.
Put elsewhere: the events (`events.py`), and the resident and population extracts (`reports.py`).
"""

import numpy as np
import polars as pl

from data_samples.arrays import apportion, numbered, stream, to_date
from data_samples.parameters import Node

ALIVE = np.int32(2**30)  # the death day of a person who does not die within the period
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])  # GB 11643
_CHECK = np.array(list("10X98765432"))


class Places:
    """Townships and villages: `township_of` a village, codes and names, remoteness 0 to 1."""

    def __init__(self, p: Node, seed: int, townships: int, villages: int) -> None:
        rng = stream(seed, 1)
        size = np.exp(rng.normal(np.log(p.population.township_median), p.population.township_sigma, townships))
        size = np.clip(np.sort(size)[::-1], p.population.township_smallest, p.population.township_largest)
        if townships > 1:
            size[0], size[-1] = p.population.township_largest, p.population.township_smallest
        per = apportion(villages - townships, size) + 1
        self.township_of = np.repeat(np.arange(townships), per)
        weight = np.exp(rng.normal(0, p.population.village_sigma, villages))
        lo, hi = p.population.village_smallest, p.population.village_largest
        self.weight = np.clip(weight * size[self.township_of] / per[self.township_of], lo, hi)
        self.remote_township = np.linspace(0, 1, townships) if townships > 1 else np.zeros(1)
        self.remote = np.clip(self.remote_township[self.township_of] + rng.normal(0, 0.1, villages), 0, 1)
        in_township = np.arange(villages) - (np.cumsum(per) - per)[self.township_of]
        div = p.county.division
        self.township_code = [f"{div}{p.county.township_base + t:03d}" for t in range(townships)]
        self.village_code = pl.Series(
            [
                f"{self.township_code[t]}{p.county.village_base + i:03d}"
                for t, i in zip(self.township_of, in_township, strict=True)
            ]
        )
        self.township_name = [f"T{t + 1:02d}镇" for t in range(townships)]
        self.village_name = [f"V{v + 1:03d}村" for v in range(villages)]


class Persons:
    """All persons of the period, sorted by village: attributes as arrays, identity as text columns.

    `village_start[v]:village_start[v + 1]` are the persons of village v. Persons born within the period are included
    with their birth day; nobody has an event before birth or after `death`.
    """

    def __init__(self, p: Node, seed: int, scale: float, places: Places, first: int, last: int) -> None:
        rng, q = stream(seed, 2), p.population
        years = (last - first + 1) / 365.25
        present = q.registered - q.away
        counts = [
            round(present * scale),
            round(q.away * scale),
            round(q.incoming * scale),
            round((present + q.incoming) * scale * q.birth_rate * years),
        ]
        n = sum(counts)
        kind = np.repeat([1, 2, 3, 4], counts)
        village = np.searchsorted(np.cumsum(places.weight) / places.weight.sum(), rng.random(n)).clip(max=len(places.weight) - 1)
        order = np.lexsort((np.arange(n), village))
        self.village, kind = village[order].astype(np.int32), kind[order]
        self.village_start = np.searchsorted(self.village, np.arange(len(places.weight) + 1))
        self.residency = np.where(kind == 4, 1, kind).astype(np.int8)
        self.born_in_period = kind == 4
        self.sex = np.where(rng.random(n) < q.male_share, 1, 2).astype(np.int8)

        start = np.array([*q.age_start, q.oldest])
        group = np.empty(n, int)
        for away in (True, False):
            mine = (self.residency == 2) == away
            share = np.array(q.away_share if away else q.age_share, float)
            group[mine] = np.searchsorted(np.cumsum(share) / share.sum(), rng.random(mine.sum())).clip(max=len(share) - 1)
        width = (start[1:] - start[:-1])[group]
        age = start[group] + np.where(group == len(start) - 2, rng.beta(1, 3, n), rng.random(n)) * width
        self.birth = np.where(
            self.born_in_period, first + rng.integers(0, last - first + 1, n), first - 1 - (age * 365.25).astype(int)
        ).astype(np.int32)

        hazard = np.array(q.death_hazard)[group]
        hazard = np.where(self.born_in_period, q.death_hazard[0] * 0.5, hazard) * (self.residency != 2)
        chance = hazard * (q.death_rate * present * scale * years / hazard.sum())
        dies = rng.random(n) < chance
        self.death = np.where(dies, first + rng.integers(0, last - first + 1, n), ALIVE).astype(np.int32)
        self.death = np.where(dies & (self.death < self.birth), self.birth + 1, self.death).astype(np.int32)
        lag = rng.integers(*q.death_report_lag_days, n, endpoint=True)
        self.death_reported = (self.death + lag).astype(np.int32)

        u = rng.random(n)
        adult = age >= 20
        employee = adult & (u < q.employee_scheme_share / 0.75)
        self.insurance = np.where(u > 1 - q.uninsured_share, 0, np.where(employee, 310, 390)).astype(np.int16)
        self.poor = rng.random(n) < q.poverty_share
        self.minority = np.where(rng.random(n) < q.minority_share, rng.integers(1, 1 + len(q.minority_codes), n), 0)
        self.frailty = rng.lognormal(0, p.utilisation.individual_sigma, n)
        self.signed = rng.random(n) < p.outpatient.contract_share
        self.phone_owner = np.arange(n)  # persons who share a household's telephone name its owner
        self._draws(p, places, first)
        self._identity(p, rng)

    def _draws(self, p: Node, places: Places, first: int) -> None:
        u, bands = p.utilisation, np.array(p.bands)
        band = np.searchsorted(bands, np.maximum(first - self.birth, 0) / 365.25, side="right") - 1
        base = np.where(self.residency == 2, u.away, 1.0) * self.frailty
        reach = 1 - u.remote_effect * places.remote[self.village]
        self._cum = {}
        for what in ("visit", "stay"):
            by_sex = np.where(self.sex == 1, np.array(u[f"{what}_male"])[band], np.array(u[f"{what}_female"])[band])
            self._cum[what, "local"] = np.cumsum(base * by_sex)
            self._cum[what, "county"] = np.cumsum(base * by_sex * reach)
            woman = (self.sex == 2) & (band == 3)
            child = band <= 1
            self._cum[what, "mch"] = np.cumsum(base * reach * np.where(woman, 1.0, np.where(child, 0.5, 0.0)))
            frail = self.frailty > np.quantile(self.frailty, 0.97)
            self._cum[what, "psychiatric"] = np.cumsum(base * reach * np.where(frail & (band >= 3), 1.0, 0.0005))

    def draw(
        self,
        rng: np.random.Generator,
        what: str,
        pool: str,
        low: np.ndarray | int = 0,
        high: np.ndarray | int | None = None,
        n: int | None = None,
    ) -> np.ndarray:
        """Persons for n events of kind `what`, out of positions low to high, by their chances of falling ill."""
        cum = self._cum[what, pool]
        high = len(cum) if high is None else high
        n = len(low) if n is None else n
        floor = np.where(np.asarray(low) > 0, cum[np.maximum(np.asarray(low) - 1, 0)], 0.0)
        top = cum[np.asarray(high) - 1]
        return np.searchsorted(cum, floor + rng.random(n) * (top - floor), side="right").clip(max=len(cum) - 1)

    def age_days(self, person: np.ndarray, on: np.ndarray) -> np.ndarray:
        return on - self.birth[person]

    def _identity(self, p: Node, rng: np.random.Generator) -> None:
        n, names = len(self.sex), p.names
        order = np.lexsort((np.arange(n), self.sex, self.birth))
        b, s = self.birth[order], self.sex[order]
        new = np.r_[True, (b[1:] != b[:-1]) | (s[1:] != s[:-1])]
        rank = np.arange(n) - np.maximum.accumulate(np.where(new, np.arange(n), 0))
        if rank.max() > 498:
            raise ValueError(
                f"parameters.yaml: {rank.max() + 1} persons of one sex were born on one day; an identity number has room for 499"
            )
        serial = np.empty(n, int)
        serial[order] = 2 * rank + np.where(s == 1, 1, 2)  # odd for men
        date = to_date(self.birth)
        year = date.astype("datetime64[Y]").astype(int) + 1970
        month = date.astype("datetime64[M]").astype(int) % 12 + 1
        dom = (date - date.astype("datetime64[M]").astype("datetime64[D]")).astype(int) + 1
        body = int(p.county.division) * 10**11 + (year * 10000 + month * 100 + dom) * 1000 + serial
        check = np.zeros(n, int)
        for i, w in enumerate(_WEIGHTS):
            check += (body // 10 ** (16 - i)) % 10 * w
        self.id_number = pl.select(
            pl.concat_str([pl.Series(body).cast(pl.String), pl.Series(_CHECK.tolist()).gather(check % 11)])
        ).to_series()
        sur, given = pl.Series(names.surnames), pl.Series(names.given)
        second = nullable_given(given, rng.integers(0, len(given), n), rng.random(n) < names.one_syllable_share)
        self.name = pl.select(
            pl.concat_str([sur.gather(rng.integers(0, len(sur), n)), given.gather(rng.integers(0, len(given), n)), second])
        ).to_series()
        local = (np.arange(n) * p.population.serial_multiplier) % p.population.serial_modulus
        self.phone = numbered(names.phone_prefix, local, 9)
        self.resident_id = numbered(p.county.division + "R", np.arange(1, n + 1), 9)
        self.psn_no = numbered(p.county.division + "0000", local, 12)

    def local_number(self, p: Node, person: np.ndarray, institution: np.ndarray) -> np.ndarray:
        """The number under which an institution knows a person: one to one, different everywhere."""
        return (person * p.population.serial_multiplier + (institution + 1) * 7919) % p.population.serial_modulus


def nullable_given(given: pl.Series, index: np.ndarray, absent: np.ndarray) -> pl.Series:
    """The second syllable of a given name, empty where it is absent."""
    return pl.select(pl.when(pl.Series(absent)).then(pl.lit("")).otherwise(given.gather(index))).to_series()
