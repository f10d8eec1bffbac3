"""A filled example of an extract: one row that keeps every rule, for the specification workbook and for tests.

Put here: how an example value follows from a column where its contract gives none.
"""

from quality.contract import Column, Contract, load_value_sets

BY_KIND = {"int": "1", "decimal": "0", "bool": "0", "date": "2025-06-01", "datetime": "2025-06-01 08:00:00"}


def _example(column: Column) -> str | None:
    if column.example is not None:
        return column.example or None
    if column.values and (codes := load_value_sets()[column.values].values):
        return next(iter(codes))
    if column.values or column.pattern:
        return None                       # a code system: only the contract can say what a sensible code is
    return BY_KIND.get(column.kind, "A1" if column.required else None)


def example_row(contract: Contract) -> dict[str, str | None]:
    """Column to text as the canonical form writes it; None where the example leaves the column empty."""
    return {c.name: _example(c) for c in contract.columns}
