"""The specification workbook that the bureau hands to an institution: Chinese first, rendered from the contracts.

Put here: what stands on its sheets. Put elsewhere: the pages for engineers (`dictionary.py`).
"""

from collections.abc import Sequence
from datetime import datetime

from quality.contract import Column, Contract, ValueSet, load_value_sets
from quality.example import example_row
from quality.labels import (
    CADENCES,
    DELIVERIES,
    SENDERS,
    SEVERITIES,
    Label,
    due_label,
    type_label,
    unit_label,
)
from quality.row_checks import RowCheck, format_text, row_checks
from quality.workbook import Workbook

ISSUED = datetime(2026, 1, 1)        # written into the file as its date of making: equal contracts, equal bytes
TITLE = Label("成员机构数据上报规范", "Specification of extracts for member institutions")

HOW_TO_SEND: Sequence[Label] = (
    Label("一、上报目录:每家机构一个目录,以机构代码命名;每个批次一个子目录,以批次号命名。",
          "1. Place: one folder per institution, named by its code; in it one folder per batch, named by the batch id."),
    Label("二、批次号:机构代码-期间-序号,如 990326001A100000000001-20250601-01;月报期间写到月,补报时序号加一。",
          "2. Batch id: institution code, period, number. Monthly periods end at the month; sent again, the number rises."),
    Label("三、清单:每个批次附 manifest.json,写明批次号、来源系统、规范版本 1.0、期间、导出时间,以及每个文件的名称、"
          "数据集、SHA-256 和行数。做不出清单的机构可直接放工作簿,放入后不再改动。",
          "3. Manifest: manifest.json with batch id, source system, schema version 1.0, period, time of extraction, and "
          "name, extract, SHA-256 and rows of each file. Who can make none puts the workbook down and leaves it alone."),
    Label("四、文件:标准格式为 UTF-8 编码、逗号分隔、首行为字段名的 CSV,每个数据集一个文件。"
          "使用其他编码、列名、代码或日期格式的系统,由县局登记对接配置,机构不必改造系统。",
          "4. Files: the canonical form is CSV, UTF-8, comma, names in the first line, one file an extract. A system with "
          "another encoding, headers, codes or dates is described in a profile at the bureau; it need not be changed."),
    Label("五、写法:空值留空;日期 2025-06-01;时间 2025-06-01 08:05:00(北京时间);是否写 1 或 0;"
          "小数用点,不带单位和千分位;金额单位为元。",
          "5. Values: empty means unknown; dates 2025-06-01; times 2025-06-01 08:05:00, Beijing time; 1 or 0 for yes or no; "
          "a point before decimals, no units or separators; money in CNY."),
    Label("六、变更与删除:可另加 op_type(I 新增、U 修改、D 删除)和 source_updated_at(更新时间)两列;"
          "同一主键以最后收到的一行为准。",
          "6. Changes: two more columns may be added, op_type (I, U, D) and source_updated_at; of a key the last row counts."),
    Label("七、校验:不合格的行被隔离,其余照常入库;不合格行占比过高的批次整批退回。"
          "县局按批次返回反馈工作簿,写明文件、行号、字段、规则和改法;改正后以新批次号重报,隔离的行自动解除。",
          "7. Checks: rows that fail are set aside, the others are taken; a batch with too many is returned whole. The "
          "feedback workbook names file, line, column, rule and mend; a corrected batch releases the rows."),
    Label("八、个人信息:姓名、证件号、电话、住址等在到达时转为加密假名,明文只存于密库,不进入统计库。",
          "8. Persons: name, document, telephone and address become keyed pseudonyms on arrival; in clear only in a vault."),
)
COLUMN_HEADER = ("序号", "字段名", "中文名", "英文名 English", "类型", "单位", "必填", "值域", "格式与范围", "说明", "示例")
COLUMN_WIDTHS = (6, 24, 22, 28, 14, 8, 6, 18, 40, 40, 28)


def _values_link(column: Column, sets: dict[str, ValueSet]) -> str:
    values = sets[column.values] if column.values else None
    return f"{values.name} {values.zh}" if values else ""


def _format(contract: Contract, column: Column) -> str:
    """How a value is written and what it may be, in Chinese."""
    own = [c for c in row_checks(contract) if c.columns == (column.name,) and c.kind in ("pattern", "min", "max")]
    parts = [format_text(column).zh] + [c.expected.zh for c in own]
    return ";".join(parts)


def _cover(book: Workbook, contracts: Sequence[Contract]) -> None:
    sheet = book.sheet("封面", (8, 26, 30, 34, 40, 12, 28, 14))
    book.write(sheet, 0, 0, TITLE.zh, "title")
    book.write(sheet, 1, 0, TITLE.en, "section")
    versions = "、".join(sorted({c.version for c in contracts}))
    book.write(sheet, 2, 0, f"规范版本 {versions}  Version {versions}", "section")
    book.write(sheet, 4, 0, "数据集一览 Extracts", "section")
    header = ("编号", "数据集", "中文名", "英文名 English", "一行是", "周期", "上报期限", "上报单位")
    for i, name in enumerate(header):
        book.write(sheet, 5, i, name, "header")
    for at, c in enumerate(contracts, 6):
        row = (c.id, c.name, c.zh, c.en, c.grain_zh, CADENCES[c.cadence].zh, due_label(c).zh, SENDERS[c.sent_by].zh)
        for i, value in enumerate(row):
            if i == 1:
                sheet.write_url(at, i, f"internal:'{c.name}'!A1", book.styles["link"], c.name)
            else:
                book.write(sheet, at, i, value, "cell")


def _how_to_send(book: Workbook) -> None:
    sheet = book.sheet("如何上报", (90, 90))
    book.write(sheet, 0, 0, "如何上报 How to send", "title")
    book.table(sheet, 2, ("中文", "English"), HOW_TO_SEND)


def _rule_row(check: RowCheck) -> tuple[str, ...]:
    return ("", check.id.split(".", 1)[1], check.expected.zh, check.expected.en, "", "", "",
            SEVERITIES[check.severity].zh, check.mend.zh, check.mend.en, "")


def _extract(book: Workbook, c: Contract, sets: dict[str, ValueSet]) -> None:
    sheet = book.sheet(c.name, COLUMN_WIDTHS)
    book.write(sheet, 0, 0, f"{c.zh} {c.name}", "title")
    facts = (f"{c.grain_zh};{CADENCES[c.cadence].zh}上报{DELIVERIES[c.kind].zh},{due_label(c).zh};"
             f"主键:{'、'.join(c.by_name[k].zh for k in c.primary_key)}")
    book.write(sheet, 1, 0, facts, "section")
    book.write(sheet, 2, 0, f"用途:{c.purpose.zh}。依据:{c.purpose.basis_zh}", "section")
    sheet.freeze_panes(4, 2)
    example = example_row(c)
    below = book.table(sheet, 3, COLUMN_HEADER, (
        (i, k.name, k.zh, k.en, type_label(k).zh, unit_label(k).zh, "是" if k.required else "",
         _values_link(k, sets), _format(c, k), k.note_zh, example[k.name])
        for i, k in enumerate(c.columns, 1)))
    rules = [check for check in row_checks(c) if check.kind == "rule"]
    if rules:
        book.write(sheet, below + 1, 0, "规则 Rules", "section")
        book.table(sheet, below + 2, ("", "规则编号", "要求", "要求 English", "", "", "", "后果", "如何改正", "如何改正 English", ""),
                   (_rule_row(check) for check in rules))


def _examples(book: Workbook, contracts: Sequence[Contract]) -> None:
    sheet = book.sheet("填写示例", [22] * max(len(c.columns) for c in contracts))
    book.write(sheet, 0, 0, "填写示例(虚构数据)Filled example, invented data", "title")
    at = 2
    for c in contracts:
        book.write(sheet, at, 0, f"{c.zh} {c.name}", "section")
        book.table(sheet, at + 1, [k.zh for k in c.columns], [[k.name for k in c.columns], list(example_row(c).values())])
        at += 5


def _value_sets(book: Workbook, sets: Sequence[ValueSet]) -> None:
    listed, systems = book.sheet("值域", (22, 24, 14, 40, 40)), book.sheet("代码系统", (22, 30, 60, 60))
    listed.freeze_panes(1, 0)
    book.table(listed, 0, ("值域", "名称", "代码", "含义", "English"),
               ((s.name, s.zh, code, zh, en) for s in sets for code, (zh, en) in s.values.items()))
    book.table(systems, 0, ("代码系统", "名称", "标准", "格式"),
               ((s.name, s.zh, s.standard, s.pattern) for s in sets if s.pattern))


def specification(contracts: dict[str, Contract]) -> bytes:
    """The whole workbook. Equal contracts give equal bytes."""
    sets, ordered = load_value_sets(), sorted(contracts.values(), key=lambda c: c.id)
    used = {k.values for c in ordered for k in c.columns}
    book = Workbook(TITLE.zh, ISSUED)
    _cover(book, ordered)
    _how_to_send(book)
    _examples(book, ordered)
    for c in ordered:
        _extract(book, c, sets)
    _value_sets(book, [s for s in sets.values() if s.name in used])
    return book.done()
