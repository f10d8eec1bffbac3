"""The committed sample is what the generator makes today, byte for byte, and its hand-worked totals hold."""


import polars as pl

from data_samples.restore import SAMPLE, generate_sample, lay_out

CLINIC = "990326001D110000000014"
GENERAL = "990326001A100000000001"
TOWNSHIP = "990326001C220000000007"
PSYCHIATRIC = "990326001A411000000013"


def table(extract: str) -> pl.DataFrame:
    return pl.read_parquet(SAMPLE / "truth" / "tables" / f"{extract}.parquet")


def files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_same_seed_makes_the_same_bytes(tmp_path):
    generate_sample(tmp_path / "again")
    new, old = files(tmp_path / "again"), files(SAMPLE)
    assert new.keys() == old.keys()
    assert [k for k in new if new[k] != old[k]] == [], "run python -m data_samples.restore"


def test_laying_out_restores_the_times_of_receipt(tmp_path):
    lay_out(tmp_path / "county")
    books = list((tmp_path / "county" / "landing").rglob("*.xlsx"))
    assert books and len({round(b.stat().st_mtime) for b in books}) > 5


def test_the_sample_speaks_every_dialect():
    found = {p.suffix for p in (SAMPLE / "landing").rglob("*") if p.is_file()}
    assert {".csv", ".gz", ".parquet", ".xlsx", ".json"} <= found
    headers = {p.read_bytes().decode("gb18030").splitlines()[0] for p in (SAMPLE / "landing" / GENERAL).rglob("费用明细_*.csv")}
    assert len(headers) == 2, "the vendor's headers change on 1 July 2025"
