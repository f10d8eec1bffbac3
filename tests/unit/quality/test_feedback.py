"""A feedback workbook: the sender's own rows, in Chinese, nothing that runs, nothing of anybody else."""

from datetime import date, datetime
from io import BytesIO

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality import feedback
from quality.contract import load_contracts
from quality.feedback import write_feedback
from quality.workbook import FORMULA_STARTS, Workbook, harmless

A, B = "990326001A100000000001", "990326001A100000000002"
CONTRACTS = load_contracts()


def frames(sender=A, found="~"):
    place = {"load_id": "L000001", "batch_id": f"{sender}-20250601-01", "sender": sender}
    counts = {"rows_received": 3, "rows_staged": 1, "rows_quarantined": 2, "rows_duplicate": 0, "status": "accepted",
              "reason_zh": None}
    batches = pl.DataFrame([place | counts | {"received_at": datetime(2025, 6, 2, 5), "period_from": date(2025, 6, 1),
                                              "period_to": date(2025, 6, 1)}], schema_overrides={"reason_zh": pl.String})
    files = pl.DataFrame([place | counts | {"file_name": "挂号_20250601.csv", "sheet": None, "extract": "registration"}],
                         schema_overrides={"sheet": pl.String, "reason_zh": pl.String})
    row = place | {"extract": "registration", "file_name": "挂号_20250601.csv", "sheet": None, "severity": "error",
                   "expected_zh": "值域 VS_REGSTAT 中的代码", "column": "status", "found": found}
    findings = pl.DataFrame([row | {"line_no": 3, "rule_id": "registration.status.values"},
                             row | {"line_no": 2, "rule_id": "registration.structure", "column": None}],
                            schema_overrides={"sheet": pl.String})
    return batches, files, findings


def cells(path):
    book = openpyxl.load_workbook(path)
    return {sheet.title: [[c.value for c in row] for row in sheet.iter_rows()] for sheet in book}


def test_it_names_file_line_column_rule_and_mend(tmp_path):
    write_feedback(tmp_path / "f.xlsx", A, *frames(), CONTRACTS, 
                   lambda batch, extract, column: {"status": "挂号状态"}.get(column))
    book = cells(tmp_path / "f.xlsx")
    assert list(book) == ["汇总", "明细", "批次", "文件"]
    first, second = book["明细"][2:4]
    assert first[:4] == [f"{A}-20250601-01", "挂号_20250601.csv", None, 2]
    assert "分隔符" in first[-1]
    assert second[3:8] == [3, "门急诊挂号", "挂号状态", "状态 status", "错误,该行已隔离"]
    assert "VS_REGSTAT" in second[-1]
    assert book["汇总"][2][0] == "收到 3 行 = 入库 1 行 + 隔离 2 行 + 重复 0 行"
    assert {r[1]: r[4] for r in book["汇总"][6:]} == {"registration.status.values": 1, "registration.structure": 1}


def test_rows_of_another_sender_are_refused(tmp_path):
    mine, theirs = frames(A), frames(B)
    for i in range(3):
        mixed = [pl.concat([m, t]) if i == n else m for n, (m, t) in enumerate(zip(mine, theirs, strict=True))]
        with pytest.raises(ValueError, match="another sender"):
            write_feedback(tmp_path / "f.xlsx", A, *mixed, CONTRACTS)
    assert not (tmp_path / "f.xlsx").exists()


def test_equal_frames_give_equal_bytes(tmp_path):
    write_feedback(tmp_path / "1.xlsx", A, *frames(), CONTRACTS)
    write_feedback(tmp_path / "2.xlsx", A, *frames(), CONTRACTS)
    assert (tmp_path / "1.xlsx").read_bytes() == (tmp_path / "2.xlsx").read_bytes()


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_a_found_value_is_no_formula(tmp_path, start):
    write_feedback(tmp_path / "f.xlsx", A, *frames(found=start + "cmd|' /C calc'!A0"), CONTRACTS)
    book = openpyxl.load_workbook(tmp_path / "f.xlsx")
    shown = [c for row in book["明细"].iter_rows(min_row=3) for c in row if c.value and "calc" in str(c.value)]
    assert shown and all(c.data_type == "s" and c.value.startswith("'") for c in shown)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40))
def test_no_text_becomes_a_formula_or_a_link(text):
    book = Workbook("t", datetime(2025, 1, 1))
    book.table(book.sheet("s", (10,)), 0, ("h",), [[text]])
    cell = openpyxl.load_workbook(BytesIO(book.done()))["s"]["A2"]
    assert cell.data_type in ("s", "n") and not (cell.value and str(cell.value).startswith(FORMULA_STARTS))
    assert cell.hyperlink is None
    assert not harmless(text).startswith(FORMULA_STARTS)


def test_a_flood_of_findings_is_counted_whole_and_listed_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(feedback, "MOST_ROWS", 10)
    batches, files, findings = frames()
    many = findings.head(1).select(pl.all().repeat_by(15).explode())
    write_feedback(tmp_path / "f.xlsx", A, batches, files, many, CONTRACTS)
    book = cells(tmp_path / "f.xlsx")
    assert "共 15 条" in book["明细"][0][0]
    assert len(book["明细"]) == 12
    assert book["汇总"][6][4] == 15


def test_a_refused_batch_without_findings_says_why(tmp_path):
    batches, files, findings = frames()
    batches = batches.with_columns(status=pl.lit("refused"), reason_zh=pl.lit("文件 x.csv:第 3 行无法解码"))
    write_feedback(tmp_path / "f.xlsx", A, batches, files, findings.clear(), CONTRACTS)
    assert cells(tmp_path / "f.xlsx")["批次"][1][-1] == "文件 x.csv:第 3 行无法解码"
