"""The feedback workbook of one sender: its own files, lines and columns, what was wrong, the rule and how to mend it.

Put here: what stands in it. Put elsewhere: which loads and senders get one (orchestration), the findings (ingestion).
Nothing of another sender is in it, and no identifier in clear: findings hold them masked.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl

from quality.contract import Contract
from quality.row_checks import Text, row_checks
from quality.workbook import Workbook

MOST_ROWS = 20_000        # findings listed one by one; a sender with more mends its export, not its rows
# (batch id, extract, column) to the header that stood over the column in the sender's own file
HeaderOf = Callable[[str, str, str], str | None]
STATES = {"accepted": "已接收", "refused": "整批退回", "duplicate": "重复上报"}
SEVERITIES = {"error": "错误,该行已隔离", "warn": "提醒,该行已入库"}
# the rules of ingestion itself, which stand in no contract
ENVELOPE = {
    "op_type": Text("操作标志填 I、U 或 D,或不送此列", "Send I, U or D, or leave the column out"),
    "source_updated_at": Text("按规范的日期时间写法填写更新时间,或不送此列", "Write the time as specified, or leave the column out"),
    "sender": Text("只报送本机构或由本机构代管的村卫生室的数据;核对机构代码", "Send your own rows or those of clinics in your charge"),
    "structure": Text("检查该行的分隔符和引号是否成对,列数与表头一致", "See that separators, quotes and the number of fields agree"),
    "key_conflict": Text("同一批次内同一主键只保留一行", "Keep one row of a key in a batch"),
}
UNKNOWN = Text("请与县局数据管理人员联系", "Ask the bureau's data officers")


def _mends(contracts: dict[str, Contract]) -> dict[str, Text]:
    mends = {check.id: check.mend for c in contracts.values() for check in row_checks(c)}
    return mends | {f"{name}.{rule}": text for name in contracts for rule, text in ENVELOPE.items()}


def _only(frame: pl.DataFrame, sender: str, what: str) -> pl.DataFrame:
    if frame.filter(pl.col("sender").ne_missing(sender)).height:
        raise ValueError(f"{what} given for the feedback of {sender} hold rows of another sender")
    return frame


def _column(contracts: dict[str, Contract], extract: str | None, column: str | None) -> str | None:
    contract = contracts.get(extract or "")
    known = contract.by_name.get(column or "") if contract else None
    return f"{known.zh} {known.name}" if known else column


def _summary(book: Workbook, batches: pl.DataFrame, findings: pl.DataFrame, contracts: dict[str, Contract],
             mends: dict[str, Text]) -> None:
    sheet = book.sheet("汇总", (30, 44, 26, 20, 10, 44, 50))
    received = batches["received_at"].drop_nulls()
    span = f"{received.min():%Y-%m-%d} 至 {received.max():%Y-%m-%d}" if received.len() else "—"
    book.write(sheet, 0, 0, "数据上报反馈", "title")
    book.write(sheet, 1, 0, f"报送单位 {batches['sender'][0] if batches.height else ''}  收到日期 {span}", "section")
    totals = batches.select(pl.col("rows_received", "rows_staged", "rows_quarantined", "rows_duplicate").sum()).row(0)
    book.write(sheet, 2, 0, "收到 {} 行 = 入库 {} 行 + 隔离 {} 行 + 重复 {} 行".format(*totals), "section")
    book.write(sheet, 3, 0, "改正后请以新批次号重报有问题的行,隔离的行将自动解除。", "section")
    grouped = (findings.group_by("extract", "rule_id", "severity", "column")
               .agg(pl.len().alias("n"), pl.col("expected_zh").first())
               .sort("n", "extract", "rule_id", "column", descending=[True, False, False, False]))
    book.table(sheet, 5, ("数据集", "规则", "字段", "后果", "行数", "要求", "如何改正"), (
        (contracts[r["extract"]].zh if r["extract"] in contracts else r["extract"], r["rule_id"],
         _column(contracts, r["extract"], r["column"]), SEVERITIES.get(r["severity"], r["severity"]), r["n"],
         r["expected_zh"], mends.get(r["rule_id"], UNKNOWN).zh) for r in grouped.iter_rows(named=True)))


def _details(book: Workbook, findings: pl.DataFrame, contracts: dict[str, Contract], mends: dict[str, Text],
             header_of: HeaderOf) -> None:
    sheet = book.sheet("明细", (34, 40, 16, 10, 20, 22, 26, 18, 40, 24, 40, 44))
    order = ["batch_id", "file_name", "sheet", "line_no", "column", "rule_id"]
    # errors first when not all can be listed: warnings need no new delivery
    listed = findings.sort("severity", *order).head(MOST_ROWS).sort(order)
    if findings.height > MOST_ROWS:
        book.write(sheet, 0, 0, f"共 {findings.height} 条,此处列出 {MOST_ROWS} 条,全部计数见“汇总”", "section")
    sheet.freeze_panes(2, 0)
    book.table(sheet, 1, ("批次号", "文件", "工作表", "行号", "数据集", "本单位列名", "规范字段", "后果", "要求", "实际", "规则",
                           "如何改正"), (
        (r["batch_id"], r["file_name"], r["sheet"], r["line_no"],
         contracts[r["extract"]].zh if r["extract"] in contracts else r["extract"],
         header_of(r["batch_id"], r["extract"], r["column"]) if r["extract"] and r["column"] else None,
         _column(contracts, r["extract"], r["column"]), SEVERITIES.get(r["severity"], r["severity"]), r["expected_zh"],
         r["found"], r["rule_id"], mends.get(r["rule_id"], UNKNOWN).zh) for r in listed.iter_rows(named=True)))


def _received(book: Workbook, batches: pl.DataFrame, files: pl.DataFrame, contracts: dict[str, Contract]) -> None:
    sheet = book.sheet("批次", (40, 12, 20, 12, 12, 10, 10, 10, 10, 60))
    book.table(sheet, 0, ("批次号", "状态", "收到时间", "期间起", "期间止", "收到行", "入库行", "隔离行", "重复行", "原因"), (
        (r["batch_id"], STATES.get(r["status"], r["status"]), f"{r['received_at']:%Y-%m-%d %H:%M}" if r["received_at"] else "",
         r["period_from"], r["period_to"], r["rows_received"], r["rows_staged"], r["rows_quarantined"],
         r["rows_duplicate"], r["reason_zh"]) for r in batches.sort("batch_id", "load_id").iter_rows(named=True)))
    sheet = book.sheet("文件", (40, 40, 16, 20, 10, 10, 10, 10, 12, 60))
    book.table(sheet, 0, ("批次号", "文件", "工作表", "数据集", "收到行", "入库行", "隔离行", "重复行", "状态", "原因"), (
        (r["batch_id"], r["file_name"], r["sheet"], contracts[r["extract"]].zh if r["extract"] in contracts else r["extract"],
         r["rows_received"], r["rows_staged"], r["rows_quarantined"], r["rows_duplicate"],
         STATES.get(r["status"], r["status"]), r["reason_zh"])
        for r in files.sort("batch_id", "file_name", "sheet", "extract").iter_rows(named=True)))


def write_feedback(path: Path, sender: str, batches: pl.DataFrame, files: pl.DataFrame, findings: pl.DataFrame,
                   contracts: dict[str, Contract], header_of: HeaderOf = lambda batch, extract, column: column) -> None:
    """Write the workbook of one sender; the same frames give the same bytes.

    Without `header_of` the sender's headers are taken to be the canonical ones.
    Raises ValueError when a frame holds a row of another sender.
    """
    batches, files = _only(batches, sender, "batches"), _only(files, sender, "files")
    findings = _only(findings, sender, "findings")
    mends = _mends(contracts)
    book = Workbook(f"数据上报反馈 {sender}", batches["received_at"].max() or datetime(2000, 1, 1))
    _summary(book, batches, findings, contracts, mends)
    _details(book, findings, contracts, mends, header_of)
    _received(book, batches, files, contracts)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(book.done())
    partial.replace(path)
