"""Every check a row of an extract must pass: those its columns bring by themselves, and the rules of its contract.

Put here: the derivation of checks from a contract and their texts in both languages.
Put elsewhere: what a template means (`rules.py`), running the checks (`schema.py`).
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from quality.contract import Column, Contract, ValueSet, load_value_sets
from quality.labels import unit_label
from quality.rules import Condition, Holds, Template, template

Kind = Literal["type", "required", "length", "values", "pattern", "min", "max", "rule"]
SHOWN_CODES = 8                      # more codes than these are named by their value set only


@dataclass(frozen=True)
class Text:
    zh: str
    en: str


@dataclass(frozen=True)
class RowCheck:
    """One check: `statement` is None where casting itself decides (`type`)."""

    id: str
    kind: Kind
    severity: Literal["error", "warn"]
    columns: tuple[str, ...]
    statement: Template | None
    expected: Text
    mend: Text
    event_order: bool = False


FORMATS = {
    "date": Text("日期,写作 YYYY-MM-DD", "a date written YYYY-MM-DD"),
    "datetime": Text("日期时间,写作 YYYY-MM-DD HH:MM:SS", "a time written YYYY-MM-DD HH:MM:SS"),
    "bool": Text("1(是)或 0(否)", "1 (yes) or 0 (no)"),
    "int": Text("整数,不带单位和千分位", "a whole number without unit or separators"),
    "text": Text("文本", "text"),
}


def format_text(column: Column) -> Text:
    """How a value of the column is written in the canonical form."""
    if column.kind == "decimal":
        p, s = column.size
        return Text(f"数字,整数部分至多 {p - s} 位,小数至多 {s} 位,不带单位和千分位",
                    f"a number of at most {p - s} digits and {s} decimals, without unit or separators")
    if column.kind == "string" and column.size:
        return Text(f"文本,至多 {column.size[0]} 个字符", f"text of at most {column.size[0]} characters")
    return FORMATS["text" if column.kind == "string" else column.kind]


def _codes(values: ValueSet) -> Text:
    codes = list(values.values)
    if len(codes) > SHOWN_CODES:
        return Text(f"值域 {values.name} {values.zh} 中的代码", f"a code of {values.name} ({values.en})")
    zh = "、".join(f"{c} {values.values[c][0]}" for c in codes)
    en = ", ".join(f"{c} {values.values[c][1]}" for c in codes)
    return Text(f"值域 {values.name} 中的代码: {zh}", f"a code of {values.name}: {en}")


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _column_checks(extract: str, column: Column, sets: dict[str, ValueSet]) -> list[RowCheck]:
    name, checks = column.name, []
    label = Text(f"{column.zh} {name}", f"{column.en} ({name})")

    def add(kind: Kind, statement: Template | None, expected: Text, mend_zh: str, mend_en: str) -> None:
        checks.append(RowCheck(f"{extract}.{name}.{kind}", kind, "error", (name,), statement, expected,
                               Text(f"{mend_zh},然后重报本行", f"{mend_en}, then send the row again")))

    if column.required:
        add("required", Holds(test=Condition(column=name, present=True)), Text("必填", "a value; it is required"),
            f"补填 {label.zh}", f"Fill {label.en}")
    if column.kind not in ("string", "text"):
        shape = format_text(column)
        add("type", None, shape, f"将 {label.zh} 改为{shape.zh}", f"Write {label.en} as {shape.en}")
    if column.kind == "string" and column.size:
        add("length", Holds(test=Condition(column=name, max_length=column.size[0])),
            Text(f"至多 {column.size[0]} 个字符", f"at most {column.size[0]} characters"),
            f"缩短 {label.zh},或核对是否填错列", f"Shorten {label.en}, or see whether the columns were mixed up")
    values = sets[column.values] if column.values else None
    if values and values.values:
        add("values", Holds(test=Condition(column=name, in_=tuple(values.values))), _codes(values),
            f"在本单位对照表中把 {label.zh} 的本地代码对照到 {values.name}",
            f"Map the local code of {label.en} to {values.name} in your code table")
    pattern = column.pattern or (values.pattern if values else None)
    if pattern:
        standard = f"({values.standard})" if values and not column.pattern else ""
        add("pattern", Holds(test=Condition(column=name, matches=pattern)),
            Text(f"格式 {pattern}{standard}", f"the format {pattern}{standard}"),
            f"按格式改正 {label.zh}", f"Correct the format of {label.en}")
    for kind, op, bound, zh, en in (("min", ">=", column.min, "不小于", "not below"),
                                    ("max", "<=", column.max, "不大于", "not above")):
        if bound is not None:
            side = {"left": {"column": name}, "op": op, "right": {"value": bound}}
            unit = unit_label(column)
            add(kind, Holds(test=Condition(**side)),
                Text(f"{zh} {_number(bound)} {unit.zh}".rstrip(), f"{en} {_number(bound)} {unit.en}".rstrip()),
                f"核对 {label.zh} 的数值和单位", f"See whether value and unit of {label.en} are right")
    return checks


@lru_cache
def row_checks(contract: Contract) -> tuple[RowCheck, ...]:
    """Every check of a row of the extract, columns first, in the order of the contract."""
    sets = load_value_sets()
    checks = [check for column in contract.columns for check in _column_checks(contract.name, column, sets)]
    for rule in contract.rules:
        statement = template(rule.template, rule.with_)
        columns = statement.columns()
        timed = [contract.by_name[c].kind in ("date", "datetime") for c in columns if c in contract.by_name]
        checks.append(RowCheck(
            f"{contract.name}.{rule.id}", "rule", rule.severity, columns, statement,
            Text(rule.zh, rule.en), Text(rule.mend_zh, rule.mend_en),
            event_order=rule.template == "compare" and all(timed)))
    return tuple(checks)
