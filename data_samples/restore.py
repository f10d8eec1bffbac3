"""The committed small county: making it anew, and laying it out for a run.

Put here: what concerns `data_samples/sample`. Put elsewhere: making any county (`generate.py`).
"""

import csv
import datetime as dt
import os
import shutil
from pathlib import Path

from data_samples.generate import Summary, generate
from data_samples.outbox import ZONE
from data_samples.parameters import load_parameters

SAMPLE = Path(__file__).parent / "sample"


def generate_sample(out: Path) -> Summary:
    """Makes the committed sample anew in `out`; the bytes are those of `data_samples/sample`."""
    s = load_parameters().sample
    return generate(out, s.scale, s.months, s.start, s.seed, s.daily_days)


def lay_out(out: Path, source: Path = SAMPLE) -> None:
    """Copies a county to `out` and sets the times at which its loose workbooks were received.

    A version control system does not keep file times, and a workbook without a manifest has no other time of receipt.
    """
    shutil.copytree(source, out, dirs_exist_ok=True)
    with (out / "truth" / "receipts.csv").open(encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            at = dt.datetime.fromisoformat(row["received_at"]).replace(tzinfo=ZONE).timestamp()
            os.utime(out / "landing" / row["path"], (at, at))


if __name__ == "__main__":
    shutil.rmtree(SAMPLE, ignore_errors=True)
    generate_sample(SAMPLE)
