"""Workbooks that come out the same, byte for byte, and cannot run anything on the reader's machine.

Put here: what every workbook of the project shares. Put elsewhere: what stands in one (`specification.py`, `feedback.py`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any

import xlsxwriter
from xlsxwriter.worksheet import Worksheet

# Chinese and Japanese editions take the full-width signs for formulas too
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
FONT = "微软雅黑"
LONGEST_CELL = 32_767               # characters that a cell can hold
PLAIN = {"font_name": FONT, "font_size": 10, "valign": "top", "text_wrap": True}
STYLES: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "title": PLAIN | {"font_size": 18, "bold": True, "text_wrap": False},
    "section": PLAIN | {"font_size": 12, "bold": True, "text_wrap": False},
    "header": PLAIN | {"bold": True, "bg_color": "#DCE6F1", "border": 1, "border_color": "#B0B0B0"},
    "cell": PLAIN | {"border": 1, "border_color": "#D0D0D0"},
    "count": PLAIN | {"border": 1, "border_color": "#D0D0D0", "num_format": "#,##0"},
    "link": PLAIN | {"border": 1, "border_color": "#D0D0D0", "font_color": "#0563C1", "underline": 1},
}


def harmless(text: str) -> str:
    """The text as it may stand in a cell: a spreadsheet will not take it for a formula, nor a CSV made from it."""
    return ("'" + text if text.startswith(FORMULA_STARTS) else text)[:LONGEST_CELL]


class Workbook:
    """A workbook in memory; `created` is written as its time of making, so that equal content gives equal bytes."""

    def __init__(self, title: str, created: datetime) -> None:
        self._bytes = BytesIO()
        self.book = xlsxwriter.Workbook(self._bytes, {
            "in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False})
        self.book.set_properties({"title": title, "author": "Xianjian 县健·先见", "created": created})
        self.styles = {name: self.book.add_format(style) for name, style in STYLES.items()}

    def sheet(self, name: str, widths: Sequence[int]) -> Worksheet:
        """A new sheet with columns of these widths."""
        sheet = self.book.add_worksheet(name[:31])
        for i, width in enumerate(widths):
            sheet.set_column(i, i, width, self.styles["plain"])
        return sheet

    def write(self, sheet: Worksheet, row: int, column: int, value: object, style: str = "plain") -> None:
        """One cell; text is made harmless, None leaves the cell empty."""
        if value is None or value == "":
            sheet.write_blank(row, column, None, self.styles[style])
        elif isinstance(value, int):
            sheet.write_number(row, column, value, self.styles["count" if style == "cell" else style])
        else:
            sheet.write_string(row, column, harmless(str(value)), self.styles[style])

    def table(self, sheet: Worksheet, top: int, header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
        """A table with its header at row `top`; returns the row below it."""
        for i, name in enumerate(header):
            self.write(sheet, top, i, name, "header")
        at = top
        for at, row in enumerate(rows, top + 1):
            for i, value in enumerate(row):
                self.write(sheet, at, i, value, "cell")
        return at + 1

    def done(self) -> bytes:
        """The finished file."""
        self.book.close()
        return self._bytes.getvalue()
