"""Institutions of the county, their departments, staff and price lists.

Put here: who gives care, with what beds, people and catalogue, and the reference extracts that say so.
Put elsewhere: what they do (`events.py`, `charges.py`).
"""

import datetime as dt

import numpy as np
import polars as pl

from data_samples.arrays import apportion, dates, day, pick_codes, stream, to_date
from data_samples.parameters import Node
from data_samples.population import Persons, Places

KINDS_WITH_STAYS = ("general", "tcm", "second", "mch", "township", "private", "psychiatric")


class Institutions:
    """One entry per institution: `kind`, `code`, `name`, `label`, `township`, `village`, `beds`, `shape` of departments."""

    def __init__(self, p: Node, seed: int, scale: float) -> None:
        self.p = p
        counts = {k: max(v.least, round(v["count"] * scale)) for k, v in p.institutions.items()}
        self.places = Places(p, seed, counts["township"], counts["village"])
        rng = stream(seed, 3)
        self.kind, self.code, self.name, self.label, self.township, self.village = [], [], [], [], [], []
        self.weight, self.of_kind, self.shape, self.classes = [], {}, [], []
        for kind, v in p.institutions.items():
            first = len(self.kind)
            for i in range(counts[kind]):
                eye = kind == "private" and i + 1 == p.eye_hospital.index
                town = (
                    i
                    if kind == "township"
                    else int(self.places.township_of[i])
                    if kind == "village"
                    else (int(rng.integers(0, counts["township"])) if kind in ("private", "clinic") else 0)
                )
                many = v["count"] > 1
                label = f"{v.label}{i + 1:03d}" if kind == "village" else f"{v.label}{i + 1:02d}" if many else v.label
                base = p.eye_hospital.name if eye else v.name
                self.kind.append(kind)
                self.label.append(label)
                self.name.append(
                    (f"{self.places.township_name[i]}卫生院" if kind == "township" else f"{label}{base}") if many else base
                )
                klass = p.eye_hospital.code if eye else v.code
                self.classes.append(klass)
                self.code.append(f"{self.places.township_code[town]}{klass.ljust(4, '0')}{first + i + 1:09d}")
                self.township.append(town)
                self.village.append(i if kind == "village" else -1)
                self.shape.append("eye" if eye else p.departments.of_kind[kind])
            n = counts[kind]
            size = (
                np.bincount(self.places.township_of, self.places.weight)
                if kind == "township"
                else self.places.weight
                if kind == "village"
                else rng.lognormal(0, 0.35, n)
            )
            self.weight.extend((size / size.sum()).tolist())
            self.of_kind[kind] = np.arange(first, first + n)
        self.weight = np.array(self.weight)
        share = np.array([self.weight[i] for i in range(len(self.kind))])
        self.beds = np.array(
            [
                max(p.least_beds, round(p.institutions[k].beds * scale * share[i])) if p.institutions[k].beds else 0
                for i, k in enumerate(self.kind)
            ]
        )
        self.scale, self.n = scale, len(self.kind)
        self.codes = pl.Series(self.code)
        self._departments()

    def find(self, label: str) -> int:
        """The institution that carries a label of the full county: itself, or where the county is thinned its stand-in."""
        head = label.rstrip("0123456789")
        kind = next(k for k, v in self.p.institutions.items() if v.label == head)
        group = self.of_kind[kind]
        number = int(label[len(head) :] or 1) - 1
        return int(group[number % len(group)])

    def _departments(self) -> None:
        self.outpatient, self.inpatient, self.ward_beds = [], [], []
        cache = {}
        for i, kind in enumerate(self.kind):
            shape = self.p.departments[self.shape[i]]
            wards = len(shape.inpatient) and max(1, min(len(shape.inpatient), int(self.beds[i] // self.p.beds_per_department)))
            key = (self.shape[i], kind)
            if kind in ("township", "private"):  # one ward list for all of a kind keeps the kind vectorised
                mean = self.beds[self.of_kind[kind]].mean()
                wards = len(shape.inpatient) and max(1, min(len(shape.inpatient), int(mean // self.p.beds_per_department)))
            cache.setdefault(key, (shape.outpatient, shape.inpatient[:wards]))
            out, inn = cache[key]
            self.outpatient.append(out)
            self.inpatient.append(inn)
            ratio = 1 / np.arange(2, 2 + len(inn)) ** 0.5 if len(inn) else np.array([])
            self.ward_beds.append(np.maximum(1, apportion(int(self.beds[i]), ratio)) if len(inn) else np.array([], int))

    def open_beds(self, institution: int, patients: np.ndarray) -> None:
        """Opens beds in each ward for so many patients and the usual chance of more, never fewer than it has."""
        needed = np.ceil(patients + self.p.beds.spare * np.sqrt(patients)).astype(int)
        self.ward_beds[institution] = np.maximum(self.ward_beds[institution], needed)

    def department_rows(self) -> pl.DataFrame:
        """The department extract, one row per department of every institution."""
        rows = []
        for i in range(self.n):
            shape = self.shape[i]
            for code, name, std in self.outpatient[i]:
                rows.append((i, code, name, std, "1", None))
            for (code, name, std), beds in zip(self.inpatient[i], self.ward_beds[i], strict=True):
                rows.append((i, code, name, std, "2", int(beds)))
            if shape not in ("clinic", "office"):
                rows.extend((i, code, name, std, "3", None) for code, name, std in self.p.departments.technical)
            if shape != "clinic":
                rows.extend((i, code, name, std, "4", None) for code, name, std in self.p.departments.administrative)
        df = pl.DataFrame(
            rows,
            orient="row",
            schema={
                "inst": pl.Int32,
                "dept_code": pl.String,
                "dept_name": pl.String,
                "std_dept_code": pl.String,
                "dept_type": pl.String,
                "open_beds": pl.Int64,
            },
        )
        return df.with_columns(active_flag=pl.lit(True), institution_code=self.codes.gather(df["inst"]))

    def institution_rows(self) -> pl.DataFrame:
        """The institution extract."""
        p, places, rng = self.p, self.places, stream(0, 4)
        lon, lat = p.county.longitude, p.county.latitude
        x = rng.uniform(*lon, self.n)
        y = rng.uniform(*lat, self.n)
        rows = []
        for i, kind in enumerate(self.kind):
            v = p.institutions[kind]
            parent = self.code[self.of_kind["township"][self.township[i]]] if kind == "village" else None
            lead = {"township": self.code[self.of_kind["general"][0]], "village": self.code[self.of_kind["general"][0]]}.get(kind)
            share = self.weight[i] * len(self.of_kind[kind])
            rows.append(
                {
                    "inst": i,
                    "institution_code": self.code[i],
                    "unified_social_credit_code": None if kind == "village" else credit_code(p.county.division, i + 1),
                    "nhsa_institution_code": None if kind in ("cdc", "supervision") else f"H{p.county.division}{i + 1:05d}",
                    "license_no": f"PDY{p.county.division}{i + 1:06d}",
                    "institution_name": self.name[i],
                    "institution_class": self.classes[i].removesuffix("00") if self.classes[i] == "A500" else self.classes[i],
                    "level_code": v.level,
                    "hospital_grade": v.grade,
                    "economic_type": v.economy,
                    "nonprofit_flag": v.profit,
                    "parent_institution_code": parent,
                    "lead_hospital_code": lead,
                    "township_code": places.township_code[self.township[i]],
                    "village_code": places.village_code[self.village[i]] if self.village[i] >= 0 else None,
                    "approved_beds": int(self.beds[i]),
                    "building_area_m2": f"{v.area_m2 * share:.2f}",
                    "longitude": f"{x[i]:.6f}",
                    "latitude": f"{y[i]:.6f}",
                    "network_access": "3" if kind in ("village", "clinic") else "1",
                    "operating_status": "1",
                    "valid_from": p.institution_valid_from,
                    "valid_to": None,
                }
            )
        return pl.DataFrame(rows, infer_schema_length=None)


def credit_code(division: str, serial: int) -> str:
    """An 18-character credit code of the unassigned division, with its GB 32100 check character."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
    body = f"12{division}{serial:08d}X"
    total = sum(alphabet.index(c) * w for c, w in zip(body, weights, strict=True))
    return body + alphabet[(31 - total % 31) % 31]


class Staff:
    """Health workers, chosen out of the county's adults; doctors first within each institution.

    `doctors[i]` is how many of institution i may see patients, `in_wards[i]` how many of them work in its wards; `ids` their
    staff numbers. `roster` lists positions: per institution the doctors of consulting rooms, then those of wards, then the others.
    """

    def __init__(self, p: Node, seed: int, inst: Institutions, persons: Persons, first: int) -> None:
        rng, q = stream(seed, 5), p.staff
        rows, self.doctors, self.nurses = [], np.zeros(inst.n, int), np.zeros(inst.n, int)
        for i, kind in enumerate(inst.kind):
            v = p.institutions[kind]
            size = inst.weight[i] * inst.scale
            clinic = inst.shape[i] == "clinic"
            floor = p.least_doctors["clinic" if clinic else "hospital"] if v.visits else 1
            categories = []
            for cat, total in (("11", v.doctors), ("12", v.assistants), ("13", v.village_doctors)):
                categories += [cat] * round(total * size)
            while len(categories) < floor:
                categories.append("13" if kind == "village" else "11")
            self.doctors[i] = len(categories)
            self.nurses[i] = max(round(v.nurses * size), p.least_nurses["clinic" if clinic else "hospital"] if v.visits else 0)
            categories += ["21"] * int(self.nurses[i])
            if v.others:
                categories += pick_codes(rng, q.other_categories, max(2, round(v.others * size))).to_list()
            rows.extend((i, j, c) for j, c in enumerate(categories))
        n = len(rows)
        age = (first - persons.birth) / 365.25
        able = np.flatnonzero((age >= q.ages[0]) & (age <= q.ages[1]) & (persons.residency == 1) & (persons.death > 2**29))
        if len(able) < n:
            raise ValueError(f"{n} health workers are needed and only {len(able)} residents are of age: raise the scale")
        self.person = np.sort(rng.permutation(able)[:n])[rng.permutation(n)]
        self.inst = np.array([r[0] for r in rows])
        self.rank = np.array([r[1] for r in rows])
        self.category = pl.Series([r[2] for r in rows], dtype=pl.String)
        self.start = np.searchsorted(self.inst, np.arange(inst.n + 1))
        cat = self.category.to_numpy()
        self.title = pick_codes(rng, q.title_share, n)
        title = self.title.to_numpy().astype(int)
        graduate = np.isin(cat, ["11", "12"])
        title = np.where(graduate, title, np.where(cat == "13", 1, np.minimum(title, 3)))
        title[self.start[:-1][self.doctors > 0]] = 4  # the first doctor leads: every level of antibiotic has a prescriber
        self.antibiotic = np.where(graduate, np.minimum(np.maximum(title, 1), 3), np.where(cat == "13", 1, 0))
        self.title_level = title
        self.ids = pl.Series([f"{'D' if r < self.doctors[i] else 'S'}{r + 1:04d}" for i, r, _ in rows])
        turn = np.floor(np.round((self.rank + [[1], [0]]) * q.ward_share, 9))  # spread over all ranks: the heads stay outside
        own_wards = np.array([len(w) for w in inst.inpatient])
        self.on_ward = (self.rank < self.doctors[self.inst]) & (own_wards[self.inst] > 0) & (turn[0] > turn[1])
        self.in_wards = np.bincount(self.inst[self.on_ward], minlength=inst.n)
        self.roster = np.lexsort((self.rank, self.on_ward, self.rank >= self.doctors[self.inst], self.inst))
        self.rows = self._rows(p, rng, inst, persons, cat, first)

    def _rows(
        self, p: Node, rng: np.random.Generator, inst: Institutions, persons: Persons, cat: np.ndarray, first: int
    ) -> pl.DataFrame:
        n, q = len(self.person), p.staff
        licence = {"11": "1", "12": "2", "13": "3", "21": "4", "31": "5"}
        doctor, serial = np.isin(cat, ["11", "12", "13"]), np.arange(1, n + 1)
        departments = [""] * n
        for place, position in enumerate(self.roster):
            i = self.inst[position]
            turn, rooms = place - self.start[i], self.doctors[i] - self.in_wards[i]
            own = [d[0] for d in inst.outpatient[i]] or [d[0] for d in p.departments.administrative]
            wards = [d[0] for d in inst.inpatient[i]] or own
            if turn < rooms:
                departments[position] = own[turn % len(own)]
            elif turn < self.doctors[i]:
                departments[position] = wards[(turn - rooms) % len(wards)]
            else:
                departments[position] = wards[turn % len(wards)]
        titled = np.isin(cat, ["11", "12", "21", "31", "41", "42", "51", "61"])
        scope = {"11": "内科、外科、妇产科、儿科等", "12": "全科医学", "13": "乡村全科"}
        serials = pl.Series(serial).cast(pl.String).str.zfill(8)
        valid_to = first + rng.integers(400, 1600, n)
        begun = first - rng.integers(60, 7000, n)
        begun = np.maximum(begun, persons.birth[self.person] + 21 * 366)
        return pl.DataFrame(
            {
                "inst": self.inst,
                "institution_code": inst.codes.gather(self.inst),
                "staff_id": self.ids,
                "id_number": persons.id_number.gather(self.person),
                "staff_name": persons.name.gather(self.person),
                "sex_code": pl.Series(persons.sex[self.person]).cast(pl.String),
                "birth_date": dates(persons.birth[self.person]),
                "category_code": self.category,
                "licence_type": pl.Series([licence.get(c) for c in cat], dtype=pl.String),
                "practice_cert_no": pl.select(
                    pl.when(pl.Series(doctor)).then(pl.concat_str([pl.lit("110" + p.county.division), serials]))
                ).to_series(),
                "practice_scope": pl.Series([scope.get(c) for c in cat], dtype=pl.String),
                "practice_valid_to": dates(valid_to, doctor),
                "title_code": pl.Series(
                    [q.title_code[str(t)] if ok else None for t, ok in zip(self.title_level, titled, strict=True)],
                    dtype=pl.String,
                ),
                "title_level": pl.Series(
                    [str(t) if ok else None for t, ok in zip(self.title_level, titled, strict=True)], dtype=pl.String
                ),
                "gp_registered_flag": pl.Series(doctor & (rng.random(n) < q.general_practitioner_share)),
                "antibiotic_authority": pl.Series(self.antibiotic).cast(pl.String),
                "narcotic_authority_flag": pl.Series(np.isin(cat, ["11"]) & (self.title_level >= 2)),
                "nhsa_staff_code": pl.select(
                    pl.when(pl.Series(doctor | (cat == "21"))).then(pl.concat_str([pl.lit("D" + p.county.division), serials]))
                ).to_series(),
                "dept_code": pl.Series(departments),
                "employment_type": pick_codes(rng, q.employment_share, n),
                "multi_site_flag": pl.Series(np.zeros(n, bool)),
                "start_date": dates(begun),
                "end_date": pl.Series([None] * n, dtype=pl.Date),
            }
        )

    def same_person(self, one: int, other: int, filed: bool) -> None:
        """Makes the second position the second workplace of the first one's person, filed as such or not."""
        self.person[other] = self.person[one]
        same = ["id_number", "staff_name", "sex_code", "birth_date"]
        row = (
            self.rows[other].with_columns([self.rows[one][k].alias(k) for k in same]).with_columns(multi_site_flag=pl.lit(filed))
        )
        self.rows = pl.concat([self.rows[:other], row, self.rows[other + 1 :]])

    def choose(
        self, rng: np.random.Generator, institution: np.ndarray, dept: np.ndarray, departments: int, ward: bool
    ) -> np.ndarray:
        """A doctor (position in the staff list) of each consulting room or ward, out of those who work in it.

        Where a room or ward has no doctor, one of another; where no doctor works in wards, one of the consulting rooms.
        """
        rooms = self.doctors[institution] - self.in_wards[institution]
        inside = ward & (self.in_wards[institution] > 0)
        n = np.where(inside, self.in_wards[institution], rooms)
        held = np.where(dept < n, (n - 1 - dept) // departments + 1, 0)
        place = np.where(held > 0, dept + departments * np.floor(rng.random(len(dept)) * held).astype(int), dept % n)
        return self.roster[self.start[institution] + np.where(inside, rooms, 0) + place]

    def nurse(self, rng: np.random.Generator, institution: np.ndarray) -> np.ndarray:
        """A nurse of each institution, or a doctor where there is none."""
        n, d = self.nurses[institution], self.doctors[institution]
        u = rng.random(len(institution))
        return self.start[institution] + np.where(n > 0, d + np.floor(u * n).astype(int), np.floor(u * d).astype(int))


class Catalogue:
    """The items that can be charged, their attributes, and each price level's price by year.

    Prices are whole ten-thousandths of a yuan. `ladder(level, year)` gives, per kind of line, the items from cheap to dear.
    """

    def __init__(self, p: Node, start: dt.date, years: int) -> None:
        q, rows = p.price_list, []
        for name, spec, price, grade, atc, ddd, level, essential, levels in q.western:
            kind = "antibiotic" if level != "0" else "09"
            rows += [
                (
                    name,
                    f"{spec} {s}",
                    price * f,
                    "09",
                    kind,
                    grade,
                    "1",
                    "western",
                    levels,
                    atc,
                    ddd,
                    level,
                    bool(essential),
                    "",
                    False,
                )
                for f, s in zip(q.variants, q.variant_specs, strict=True)
            ]
        for source, kind, group, item_class in ((q.patent, "11", "patent", "1"), (q.slices, "10", "slice", "4")):
            for name, spec, price, grade, levels in source:
                rows += [
                    (
                        name,
                        f"{spec} {s}",
                        price * f,
                        kind,
                        kind,
                        grade,
                        item_class,
                        group,
                        levels,
                        None,
                        None,
                        None,
                        False,
                        "",
                        False,
                    )
                    for f, s in zip(q.variants, q.variant_specs, strict=True)
                ]
        for name, price, kind, grade, group, levels in q.services:
            rows.append((name, None, price, kind, kind, grade, "2", group, levels, None, None, None, False, "", False))
        for name, price, grade, levels, device in q.consumables:
            rows += [
                (name, s, price * f, "08", "08", grade, "3", "consumable", levels, None, None, None, False, device, False)
                for f, s in zip(q.variants, q.variant_specs, strict=True)
            ]
        self.special = {}

        def fixed(key: str, name: str, price: float, kind: str, group: str, levels: str, hourly: bool = False) -> None:
            self.special[key] = len(rows)
            rows.append((name, None, price, kind, "special", "01", "2", group, levels, None, None, None, False, "", hourly))

        for level, (kind, name, price) in q.consult.items():
            fixed(f"consult_{level}", name, price, kind, "service", level[0])
        for what, kind, name in (("bed", "01", "床位费"), ("nursing", "07", "护理费")):
            for owner, price in q[f"{what}_price"].items():
                fixed(f"{what}_{owner}", name, price, kind, "service", f"[{owner}]")
        fixed("round", "住院诊察费", q.round_price, "02", "service", "c t".replace(" ", ""))
        fixed("oxygen", "氧气吸入(小时)", q.oxygen_price, "05", "treatment", "tc", True)
        names = (
            "name",
            "spec",
            "price",
            "type",
            "line",
            "grade",
            "item_class",
            "group",
            "levels",
            "atc",
            "ddd",
            "antibiotic",
            "essential",
            "device",
            "hourly",
        )
        self.frame = pl.DataFrame(rows, orient="row", schema=dict.fromkeys(names), infer_schema_length=None)
        n = len(rows)
        self.n, self.line, self.type = n, self.frame["line"].to_numpy(), self.frame["type"].to_numpy()
        self.local_code = pl.Series([f"{t}{i + 1:05d}" for i, t in enumerate(self.type)])
        self.nhsa_code = pl.Series(
            [_nhsa(c, i + 1, line) for i, (c, line) in enumerate(zip(self.frame["item_class"], self.line, strict=True))]
        )
        self.display = pl.Series([f"{a}({b})" if b else a for a, b in zip(self.frame["name"], self.frame["spec"], strict=True)])
        self.grade = self.frame["grade"].to_numpy()
        self.group = self.frame["group"].to_numpy()
        self.antibiotic = np.array([int(a or 0) for a in self.frame["antibiotic"]])
        base = self.frame["price"].to_numpy().astype(float)
        growth = np.array([p.growth.price.get(t, p.growth.price.other) for t in self.type])
        goods = np.isin(self.type, ["08", "09", "10", "11"])
        self.first_year, self.years = start.year, years
        self.price = {}
        for level, factor in q.price_level.items():
            for y in range(years):
                price = base * np.where(goods, factor.goods, factor.service) * (1 + growth) ** y
                special = self.line == "special"
                price = np.where(special, base * (1 + growth) ** y, price)
                self.price[level, start.year + y] = np.maximum(np.round(price * 100), 1).astype(np.int64) * 100
        self._p = p

    def offered(self, level: str) -> np.ndarray:
        """Positions of the items that institutions of a price level stock, besides the special ones."""
        letter = self._p.price_list.available[level]
        return np.flatnonzero((self.line != "special") & self.frame["levels"].str.contains(letter, literal=True).to_numpy())

    def ladder(self, level: str, year: int) -> dict[str, np.ndarray]:
        """Per kind of line, the items of a price level in order of their price in a year."""
        items, price = self.offered(level), self.price[level, year]
        return {
            line: (own := items[self.line[items] == line])[np.argsort(price[own], kind="stable")]
            for line in sorted(set(self.line[items]))
        }

    def rows(self, inst: Institutions, which: np.ndarray, year: int) -> pl.DataFrame:
        """The catalogue extract of some institutions as it stood in a year: past prices closed, this year's open."""
        frames = []
        for i in which:
            kind = inst.kind[i]
            level = self._p.institutions[kind].price
            items = self.offered(level)
            extra = [self.special[f"consult_{level}"]]
            if kind in KINDS_WITH_STAYS:
                extra += [
                    self.special[f"bed_{kind}"],
                    self.special[f"nursing_{kind}"],
                    self.special["round"],
                    self.special["oxygen"],
                ]
            items = np.r_[items, extra]
            for y in range(self.first_year, year + 1):
                frames.append(
                    self._year(items, level, y, y < year).with_columns(
                        inst=pl.lit(int(i), pl.Int32), institution_code=pl.lit(inst.code[i])
                    )
                )
        return pl.concat(frames)

    def _year(self, items: np.ndarray, level: str, year: int, closed: bool) -> pl.DataFrame:
        f = self.frame[items]
        drug = f["item_class"].is_in(["1", "4"])
        western = f["type"] == "09"
        price = self.price[level, year][items]
        money = lambda units: pl.Series(units).cast(pl.Decimal(38, 0))  # noqa: E731
        scale = pl.lit("0.0001").cast(pl.Decimal(10, 4))
        return pl.DataFrame(
            {
                "local_item_code": self.local_code.gather(items),
                "local_item_name": self.display.gather(items),
                "item_class": f["item_class"],
                "nhsa_code": self.nhsa_code.gather(items),
                "generic_name": pl.select(pl.when(drug).then(f["name"])).to_series(),
                "specification": f["spec"],
                "dosage_form": pl.select(pl.when(drug).then(pl.lit("01"))).to_series(),
                "package_unit": pl.select(pl.when(drug).then(pl.lit("盒")).otherwise(pl.lit("次"))).to_series(),
                "pack_factor": pl.Series(["1.000"] * len(items)),
                "strength_mg": pl.Series([None] * len(items), dtype=pl.String),
                "atc_code": f["atc"],
                "ddd_value": f["ddd"].cast(pl.Float64),
                "antibiotic_level": f["antibiotic"],
                "essential_flag": f["essential"].cast(pl.Boolean),
                "centralised_procurement_flag": pl.Series(western & (f["grade"] == "01")),
                "key_monitored_flag": pl.Series(f["name"].is_in(["一次性吻合器", "依达拉奉注射液", "人血白蛋白"])),
                "negotiated_flag": pl.Series(f["name"].is_in(["培美曲塞注射液"])),
                "narcotic_class": pl.select(pl.when(drug).then(pl.lit("0"))).to_series(),
                "chrgitm_type": f["type"],
                "chrgitm_lv": f["grade"],
                "hourly_flag": f["hourly"].cast(pl.Boolean),
                "unit_price": pl.select(money(price) * scale).to_series(),
                "price_ceiling": pl.select(money(price * 2) * scale).to_series(),
                "purchase_price": pl.select(
                    pl.when(f["item_class"].is_in(["1", "3", "4"])).then(money(price) * scale)
                ).to_series(),
                "valid_from": pl.Series([dt.date(year, 1, 1)] * len(items)),
                "valid_to": pl.Series([dt.date(year, 12, 31) if closed else None] * len(items), dtype=pl.Date),
            }
        )


def _nhsa(item_class: str, serial: int, line: str) -> str:
    if item_class == "1":
        return f"Z{serial:019d}" if line == "11" else f"XA{serial:021d}"
    if item_class == "4":
        return f"T{serial:09d}"
    if item_class == "3":
        return f"C{serial:020d}"
    return f"{serial:015d}"


def year_of(days: np.ndarray | int) -> np.ndarray:
    """The calendar year of day numbers."""
    return to_date(days).astype("datetime64[Y]").astype(int) + 1970


def month_days(start: dt.date, months: int) -> list[tuple[int, int, str]]:
    """(first day, last day, yyyymm) of each month of the period."""
    out = []
    for m in range(months):
        y, mo = divmod(start.month - 1 + m, 12)
        a = dt.date(start.year + y, mo + 1, 1)
        b = dt.date(start.year + (start.month + m) // 12, (start.month + m) % 12 + 1, 1)
        out.append((day(a), day(b) - 1, f"{a:%Y%m}"))
    return out
