"""The templates of row rules: each says when a row is good, once for Polars and once in SQL.

Put here: a template as a typed record with `polars()` and `sql()`, and the conditions it is made of.
Put elsewhere: which rule an extract has (`contracts/extracts/*.yaml`), its texts and the checks a column brings
by itself (`row_checks.py`), rules across rows or extracts (dbt).

A template is true for a good row. Where a value it needs is null it is unknown, and unknown counts as good: whether
a value must be there is said by `required`, `present` and `exactly_one_of`, never by the way.
"""

from decimal import Decimal
from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

Dialect = Literal["duckdb", "spark"]
Scalar = str | bool | int | Decimal
OPS = {"<": "lt", "<=": "le", "=": "eq", "<>": "ne", ">=": "ge", ">": "gt"}

ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)           # GB 11643
ID_CHECK = "10X98765432"
CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"                          # GB 32100
CREDIT_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
ID_PATTERN = "^[0-9]{17}[0-9X]$"
CREDIT_PATTERN = "^[0-9A-HJ-NPQRTUWXY]{18}$"


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def sql_literal(value: Scalar, dialect: Dialect) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        text = value.replace("'", "''")
        return "'" + (text.replace("\\", "\\\\") if dialect == "spark" else text) + "'"
    return str(value)


def sql_matches(column: str, pattern: str, dialect: Dialect) -> str:
    function = {"duckdb": "regexp_matches", "spark": "regexp_like"}[dialect]
    return f"{function}({column}, {sql_literal(pattern, dialect)})"


class Operand(Record):
    """A column, or a constant, or a column with another added or moved by whole days or years."""

    column: str | None = None
    plus: str | None = None
    value: Scalar | None = None
    plus_days: int = 0
    plus_years: int = 0

    @model_validator(mode="before")
    @classmethod
    def _bare_name_is_a_column(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of(self) -> "Operand":
        if (self.column is None) == (self.value is None):
            raise ValueError("an operand is a column or a value")
        return self

    def columns(self) -> tuple[str, ...]:
        return tuple(c for c in (self.column, self.plus) if c)

    def polars(self) -> pl.Expr:
        if self.column is None:
            return pl.lit(self.value)
        expr = pl.col(self.column) + pl.col(self.plus) if self.plus else pl.col(self.column)
        if self.plus_years:
            expr = expr.dt.offset_by(f"{self.plus_years}y")
        return expr.dt.offset_by(f"{self.plus_days}d") if self.plus_days else expr

    def sql(self, dialect: Dialect) -> str:
        text = self.column or sql_literal(self.value, dialect)
        text = f"({text} + {self.plus})" if self.plus else text
        for amount, unit in ((self.plus_years, "YEAR"), (self.plus_days, "DAY")):
            if amount:
                text = f"({text} {'+' if amount > 0 else '-'} INTERVAL {abs(amount)} {unit})"
        return text


class Condition(Record):
    """One statement about a row; exactly one of the tests is given."""

    column: str | None = None
    in_: tuple[Scalar, ...] | None = Field(alias="in", default=None)
    not_in: tuple[Scalar, ...] | None = None
    matches: str | None = None
    present: bool | None = None
    max_length: int | None = None
    left: Operand | None = None
    op: Literal["<", "<=", "=", "<>", ">=", ">"] | None = None
    right: Operand | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "Condition":
        tests = [t for t in ("in_", "not_in", "matches", "present", "max_length") if getattr(self, t) is not None]
        compares = (self.left, self.op, self.right).count(None)
        if (compares == 3) == (self.column is None) or compares in (1, 2) or len(tests) != (compares == 3):
            raise ValueError("a condition is one test of a column, or left, op and right")
        return self

    def columns(self) -> tuple[str, ...]:
        return (self.column,) if self.column else self.left.columns() + self.right.columns()

    def polars(self) -> pl.Expr:
        if self.column is None:
            return getattr(self.left.polars(), OPS[self.op])(self.right.polars())
        c = pl.col(self.column)
        if self.in_ is not None:
            return c.is_in(pl.Series(list(self.in_)).implode())
        if self.not_in is not None:
            return ~c.is_in(pl.Series(list(self.not_in)).implode())
        if self.matches is not None:
            return c.str.contains(self.matches)
        if self.max_length is not None:
            return c.str.len_chars() <= self.max_length
        return c.is_not_null() if self.present else c.is_null()

    def sql(self, dialect: Dialect) -> str:
        if self.column is None:
            return f"{self.left.sql(dialect)} {self.op} {self.right.sql(dialect)}"
        c = self.column
        if self.in_ is not None:
            return f"{c} IN ({', '.join(sql_literal(v, dialect) for v in self.in_)})"
        if self.not_in is not None:
            return f"{c} NOT IN ({', '.join(sql_literal(v, dialect) for v in self.not_in)})"
        if self.matches is not None:
            return sql_matches(c, self.matches, dialect)
        if self.max_length is not None:
            return f"length({c}) <= {self.max_length}"
        return f"{c} IS {'NOT ' if self.present else ''}NULL"


class Template(Record):
    """What every template gives: the columns it reads, and its statement in both languages."""

    identity: ClassVar[bool] = False      # reads a clear identifier: can only run before pseudonymisation

    def columns(self) -> tuple[str, ...]:
        raise NotImplementedError

    def polars(self) -> pl.Expr:
        raise NotImplementedError

    def sql(self, dialect: Dialect) -> str:
        raise NotImplementedError


class Holds(Template):
    """A single condition: `test`."""

    test: Condition

    def columns(self) -> tuple[str, ...]:
        return self.test.columns()

    def polars(self) -> pl.Expr:
        return self.test.polars()

    def sql(self, dialect: Dialect) -> str:
        return self.test.sql(dialect)


class Compare(Template):
    """`left` `op` `right`."""

    left: Operand
    op: Literal["<", "<=", "=", "<>", ">=", ">"]
    right: Operand

    def _condition(self) -> Condition:
        return Condition(left=self.left, op=self.op, right=self.right)

    def columns(self) -> tuple[str, ...]:
        return self._condition().columns()

    def polars(self) -> pl.Expr:
        return self._condition().polars()

    def sql(self, dialect: Dialect) -> str:
        return self._condition().sql(dialect)


class Implies(Template):
    """Where every condition of `if` holds, every condition of `then` must."""

    if_: tuple[Condition, ...] = Field(alias="if")
    then: tuple[Condition, ...]

    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for part in self.then + self.if_ for c in part.columns()))

    def polars(self) -> pl.Expr:
        given = pl.all_horizontal([c.polars().fill_null(False) for c in self.if_])
        return ~given | pl.all_horizontal([c.polars().fill_null(True) for c in self.then])

    def sql(self, dialect: Dialect) -> str:
        given = " AND ".join(f"COALESCE({c.sql(dialect)}, FALSE)" for c in self.if_)
        then = " AND ".join(f"COALESCE({c.sql(dialect)}, TRUE)" for c in self.then)
        return f"NOT ({given}) OR ({then})"


class SumEquals(Template):
    """The sum of `terms`, less the `minus`, is `equals` within `tolerance`."""

    terms: tuple[str, ...]
    minus: tuple[str, ...] = ()
    equals: str
    tolerance: Decimal = Decimal(0)

    def columns(self) -> tuple[str, ...]:
        return (self.equals, *self.terms, *self.minus)

    def polars(self) -> pl.Expr:
        total = sum((pl.col(c) for c in self.terms[1:]), pl.col(self.terms[0]))
        for c in self.minus:
            total = total - pl.col(c)
        return (total - pl.col(self.equals)).abs() <= pl.lit(self.tolerance)

    def sql(self, dialect: Dialect) -> str:
        total = " + ".join(self.terms) + "".join(f" - {c}" for c in self.minus)
        return f"ABS({total} - {self.equals}) <= {self.tolerance}"


class ProductEquals(Template):
    """The product of two `factors` is `equals` within `tolerance`."""

    factors: tuple[str, str]
    equals: str
    tolerance: Decimal = Decimal(0)

    def columns(self) -> tuple[str, ...]:
        return (self.equals, *self.factors)

    def polars(self) -> pl.Expr:
        a, b = (pl.col(c) for c in self.factors)
        return (a * b - pl.col(self.equals)).abs() <= pl.lit(self.tolerance)

    def sql(self, dialect: Dialect) -> str:
        return f"ABS({self.factors[0]} * {self.factors[1]} - {self.equals}) <= {self.tolerance}"


class ExactlyOneOf(Template):
    """Exactly one of `of` is filled."""

    of: tuple[str, ...]

    def columns(self) -> tuple[str, ...]:
        return self.of

    def polars(self) -> pl.Expr:
        return pl.sum_horizontal([pl.col(c).is_not_null().cast(pl.Int8) for c in self.of]) == 1

    def sql(self, dialect: Dialect) -> str:
        return " + ".join(f"CASE WHEN {c} IS NOT NULL THEN 1 ELSE 0 END" for c in self.of) + " = 1"


class DaysEqual(Template):
    """`equals` is the number of calendar days from `start` to `end`, but at least `minimum`."""

    start: str
    end: str
    equals: str
    minimum: int = 0

    def columns(self) -> tuple[str, ...]:
        return (self.equals, self.start, self.end)

    def polars(self) -> pl.Expr:
        days = (pl.col(self.end).cast(pl.Date) - pl.col(self.start).cast(pl.Date)).dt.total_days()
        return days.clip(lower_bound=self.minimum) == pl.col(self.equals)

    def sql(self, dialect: Dialect) -> str:
        start, end = f"CAST({self.start} AS DATE)", f"CAST({self.end} AS DATE)"
        days = f"datediff('day', {start}, {end})" if dialect == "duckdb" else f"datediff({end}, {start})"
        # not GREATEST: it takes no notice of nulls, and unknown dates would count as the minimum
        return f"CASE WHEN {days} < {self.minimum} THEN {self.minimum} ELSE {days} END = {self.equals}"


class Identity(Template):
    """Base of the templates over a Chinese identity number: they apply where `id_type`, if there is one, says 01."""

    identity: ClassVar[bool] = True
    id_number: str
    id_type: str | None = None

    def _applies(self) -> pl.Expr:
        return pl.lit(True) if self.id_type is None else (pl.col(self.id_type) == "01").fill_null(False)

    def _sql(self, statement: str, dialect: Dialect) -> str:
        """The statement, guarded: only a number of the right shape reaches it."""
        shape = sql_matches(self.id_number, ID_PATTERN, dialect)
        other = f"WHEN {self.id_type} IS DISTINCT FROM '01' THEN TRUE " if self.id_type else ""
        wrong = "FALSE" if isinstance(self, IdCheckDigit) else "TRUE"
        return (f"CASE WHEN {self.id_number} IS NULL THEN TRUE {other}"
                f"WHEN NOT {shape} THEN {wrong} ELSE {statement} END")


class IdCheckDigit(Identity):
    """`id_number` has the shape and the check digit of GB 11643."""

    def columns(self) -> tuple[str, ...]:
        return (self.id_number, *([self.id_type] if self.id_type else []))

    def polars(self) -> pl.Expr:
        c = pl.col(self.id_number)
        # the 17 digits as one integer: division is several times cheaper than 17 substrings
        body = c.str.slice(0, 17).cast(pl.Int64, strict=False)
        total = sum((body // 10 ** (16 - i) % 10 * w for i, w in enumerate(ID_WEIGHTS)), pl.lit(0, pl.Int64))
        last = pl.when(c.str.ends_with("X")).then(10).otherwise(c.str.slice(17, 1).cast(pl.Int64, strict=False))
        good = c.str.contains(ID_PATTERN) & ((total + last) % 11 == 1).fill_null(False)
        return ~self._applies() | c.is_null() | good

    def sql(self, dialect: Dialect) -> str:
        n = self.id_number
        digits = " + ".join(f"CAST(substr({n}, {i + 1}, 1) AS INT) * {w}" for i, w in enumerate(ID_WEIGHTS))
        return self._sql(f"substr('{ID_CHECK}', ({digits}) % 11 + 1, 1) = substr({n}, 18, 1)", dialect)


class IdBirthDate(Identity):
    """The birth date inside `id_number` is `birth_date`."""

    birth_date: str

    def columns(self) -> tuple[str, ...]:
        return (self.birth_date, self.id_number, *([self.id_type] if self.id_type else []))

    def polars(self) -> pl.Expr:
        c = pl.col(self.id_number)
        same = c.str.slice(6, 8) == pl.col(self.birth_date).dt.strftime("%Y%m%d")
        return ~self._applies() | ~c.str.contains(ID_PATTERN) | same

    def sql(self, dialect: Dialect) -> str:
        n, birth = self.id_number, f"CAST({self.birth_date} AS VARCHAR(10))"
        return self._sql(f"substr({n}, 7, 8) = replace({birth}, '-', '')", dialect)


class IdSex(Identity):
    """The sex inside `id_number` (odd: male) is `sex_code`; an unstated sex (0, 9) is not contradicted."""

    sex_code: str

    def columns(self) -> tuple[str, ...]:
        return (self.sex_code, self.id_number, *([self.id_type] if self.id_type else []))

    def polars(self) -> pl.Expr:
        c, sex = pl.col(self.id_number), pl.col(self.sex_code)
        odd = c.str.slice(16, 1).is_in(["1", "3", "5", "7", "9"])
        return ~self._applies() | ~c.str.contains(ID_PATTERN) | ~sex.is_in(["1", "2"]) | (odd == (sex == "1"))

    def sql(self, dialect: Dialect) -> str:
        odd = f"substr({self.id_number}, 17, 1) IN ('1', '3', '5', '7', '9')"
        return self._sql(f"{self.sex_code} NOT IN ('1', '2') OR ({odd}) = ({self.sex_code} = '1')", dialect)


class CreditCheckDigit(Template):
    """`column` has the shape and the check character of GB 32100."""

    column: str

    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def polars(self) -> pl.Expr:
        c = pl.col(self.column)
        value = {ch: i for i, ch in enumerate(CREDIT_ALPHABET)}
        at = [c.str.slice(i, 1).replace_strict(value, default=None, return_dtype=pl.Int64) for i in range(18)]
        total = sum((at[i] * w for i, w in enumerate(CREDIT_WEIGHTS)), pl.lit(0, pl.Int64))
        return c.is_null() | (c.str.contains(CREDIT_PATTERN) & ((total + at[17]) % 31 == 0)).fill_null(False)

    def sql(self, dialect: Dialect) -> str:
        at = [f"(instr('{CREDIT_ALPHABET}', substr({self.column}, {i + 1}, 1)) - 1)" for i in range(18)]
        total = " + ".join(f"{a} * {w}" for a, w in zip(at, (*CREDIT_WEIGHTS, 1), strict=True))
        return (f"CASE WHEN {self.column} IS NULL THEN TRUE WHEN NOT "
                f"{sql_matches(self.column, CREDIT_PATTERN, dialect)} THEN FALSE ELSE ({total}) % 31 = 0 END")


TEMPLATES: dict[str, type[Template]] = {
    "holds": Holds,
    "compare": Compare,
    "implies": Implies,
    "sum_equals": SumEquals,
    "product_equals": ProductEquals,
    "exactly_one_of": ExactlyOneOf,
    "days_equal": DaysEqual,
    "id_check_digit": IdCheckDigit,
    "id_birth_date": IdBirthDate,
    "id_sex": IdSex,
    "credit_check_digit": CreditCheckDigit,
}


def template(name: str, parameters: dict[str, Any]) -> Template:
    """The template `name` with its parameters. Raises ValueError for an unknown name or parameter."""
    if name not in TEMPLATES:
        raise ValueError(f"unknown template {name!r}; known: {', '.join(TEMPLATES)}")
    return TEMPLATES[name](**parameters)


def good(rule: Template) -> pl.Expr:
    """True where the row keeps the rule; a value that is missing breaks no rule."""
    return rule.polars().fill_null(True)


def good_sql(rule: Template, dialect: Dialect = "duckdb") -> str:
    """The same statement as portable SQL over the typed columns."""
    return f"COALESCE({rule.sql(dialect)}, TRUE)"
