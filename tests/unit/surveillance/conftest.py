"""Reference results: the small part kept beside the tests, and the full set where the project's shared folder is."""
from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

# Many small matrix products: threads of the linear algebra library only wait for each other. Must precede numpy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

SMALL = Path(__file__).parent / "golden"
FULL = Path(os.environ.get("XIANJIAN_GOLDEN") or Path(__file__).parents[3].parent / "shared/golden/early-warning")


def number(text: str) -> float:
    return float(text) if text not in ("", "NA") else np.nan


class Golden:
    """Reference files of one folder as arrays."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.series = {}
        for row in self.rows("series.csv.gz"):
            self.series.setdefault((row["dataset"], row["unit"]), []).append(row)

    def rows(self, name: str):
        opener = gzip.open if name.endswith(".gz") else open
        with opener(self.folder / name, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)

    def configs(self) -> dict:
        return json.loads((self.folder / "farrington_flexible_configs.json").read_text(encoding="utf-8"))["configs"]

    def counts(self, dataset: str, unit: str, column: str = "count") -> np.ndarray:
        return np.array([number(row[column]) for row in self.series[dataset, unit]])

    def dates(self, dataset: str, unit: str) -> list[str] | None:
        rows = self.series[dataset, unit]
        return [row["date"] for row in rows] if rows[0]["date"] else None

    def period(self, dataset: str, unit: str) -> int:
        return int(self.series[dataset, unit][0]["freq"])

    def grouped(self, name: str, *keys: str) -> dict[tuple, dict[str, np.ndarray]]:
        """Rows of a results file grouped by ``keys``; every other column as a float array, t as 0-based rows."""
        groups: dict[tuple, list[dict]] = {}
        for row in self.rows(name):
            groups.setdefault(tuple(row[key] for key in keys), []).append(row)
        return {
            key: {
                column: np.array([number(row[column]) for row in rows])
                for column in rows[0] if column not in keys
            } | {"row": np.array([int(row["t"]) - 1 for row in rows])}
            for key, rows in groups.items()
        }


@pytest.fixture(scope="session", params=["small", "full"])
def golden(request) -> Golden:
    if request.param == "full" and not FULL.is_dir():
        pytest.skip("the shared golden early-warning results are not beside this checkout (set XIANJIAN_GOLDEN)")
    return Golden(SMALL if request.param == "small" else FULL)
