"""Words that people read beside a contract, in both languages: types, classes of personal data, ledger columns.

Put here: labels of the kernel's own vocabulary. Put elsewhere: labels of columns and codes (the contracts).
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import yaml

from quality.contract import ROOT, Column, Contract, load_words


class Label(NamedTuple):
    zh: str
    en: str


KINDS = {
    "string": Label("文本", "text"), "text": Label("长文本", "long text"), "int": Label("整数", "whole number"),
    "decimal": Label("小数", "decimal"), "bool": Label("是否", "yes or no"), "date": Label("日期", "date"),
    "datetime": Label("日期时间", "date and time"),
}
PERSONAL = {
    "none": Label("", ""), "quasi_identifier": Label("准标识符", "quasi-identifier"),
    "sensitive_attribute": Label("敏感属性", "sensitive attribute"),
    "direct_identifier": Label("直接标识符", "direct identifier"),
}
CADENCES = {"daily": Label("每日", "daily"), "monthly": Label("每月", "monthly"),
            "quarterly": Label("每季", "quarterly"), "yearly": Label("每年", "yearly")}
DELIVERIES = {
    "event": Label("期间内新增和变更的记录", "records of the period, new and changed"),
    "full": Label("全量", "the whole list"), "delta": Label("新增和变更", "what is new or changed"),
}
SENDERS = {"institution": Label("本机构", "the institution"), "authority": Label("主管部门", "an authority")}
SEVERITIES = {"error": Label("错误(该行隔离)", "error (the row is set aside)"),
              "warn": Label("提醒(该行入库)", "warning (the row is kept)")}
PSEUDONYM = Label("加密假名", "keyed pseudonym")


def type_label(column: Column) -> Label:
    """The type with its size, as people say it: text(22), decimal(14,2)."""
    kind = KINDS[column.kind]
    if not column.size:
        return kind
    size = f"({column.size[0]},{column.size[1]})" if column.kind == "decimal" else f"({column.size[0]})"
    return Label(kind.zh + size, kind.en + size)


def unit_label(column: Column) -> Label:
    return Label(*load_words().units[column.unit]) if column.unit else Label("", "")


def due_label(contract: Contract) -> Label:
    """Until when a file is on time."""
    days, at = contract.due.days, contract.due.at
    return Label(f"期末后第 {days} 天 {at} 前", f"until {at} of day {days} after the period")


@lru_cache
def ledger_labels(root: Path = ROOT) -> dict[str, dict]:
    """`lineage`, `person` and `tables` of ledger.yaml: the columns that are no institution's, name to [type, zh, en]."""
    with (root / "ledger.yaml").open(encoding="utf-8") as f:
        return yaml.safe_load(f)
