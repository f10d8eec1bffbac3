"""From the institutions' files to published figures, through the command line, on the small county."""

import json

import duckdb
import polars as pl

from tests.end_to_end.conftest import new_site


def test_the_run_publishes_and_a_second_run_does_no_work(county_site):
    before = county_site.published.resolve()
    loads = sorted(p.name for p in (county_site.home / "loads").iterdir())
    again = county_site.xianjian("run")
    assert "nothing is due" in again.stdout
    assert county_site.published.resolve() == before
    assert sorted(p.name for p in (county_site.home / "loads").iterdir()) == loads


def test_every_batch_adds_up(county_site):
    body = json.loads(county_site.xianjian("status", "--json").stdout)
    assert len(body["batches"]) > 200
    for b in body["batches"]:
        assert b["rows_received"] == b["rows_staged"] + b["rows_quarantined"] + b["rows_duplicate"], b["batch_id"]
    assert body["totals"]["rows_staged"] > 500_000
    assert body["published"]["load_id"] == body["freshness"]["last_load"]


def test_staged_rows_are_exactly_the_ledgers(county_site):
    body = json.loads(county_site.xianjian("status", "--json").stdout)
    with duckdb.connect() as con:
        staged = dict(con.execute(
            f"select _batch_id, count(*) from read_parquet('{county_site.home}/loads/L*/staged/*.parquet', "
            "union_by_name=true) group by 1").fetchall())
    assert staged == {b["batch_id"]: b["rows_staged"] for b in body["batches"] if b["rows_staged"]}


def test_the_same_batch_handed_over_again_changes_nothing(sample_site, tmp_path):
    before = json.loads(sample_site.xianjian("status", "--json").stdout)
    for manifest in (sample_site.home / "landing").glob("*/*/manifest.json"):
        for file in manifest.parent.iterdir():
            file.touch()
    assert sample_site.xianjian("run").returncode == 0
    after = json.loads(sample_site.xianjian("status", "--json").stdout)
    assert [(b["batch_id"], b["rows_staged"]) for b in after["batches"]] == \
           [(b["batch_id"], b["rows_staged"]) for b in before["batches"]]


def test_no_clear_identity_leaves_the_door(county_site):
    """PS-01: no identity number, no mobile number, in anything outside vault, archive and landing zone."""
    # an identity number holds a possible birth date, which the serial number of a report card does not
    number = r"(^|[^0-9])990326(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]([^0-9]|$)"
    mobile = r"(^|[^0-9A-Za-z])1[3-9][0-9]{9}([^0-9]|$)"
    with duckdb.connect() as con:
        for path in [*county_site.home.glob("loads/L*/*.parquet"), *county_site.home.glob("loads/L*/staged/*.parquet")]:
            frame = pl.read_parquet(path)
            for name in (n for n, t in frame.schema.items() if t == pl.String):
                if name in ("institution_code", "_batch_id", "_file_digest", "file_digest", "digest", "batch_id"):
                    continue
                hits = frame[name].drop_nulls().unique().str.contains(number).sum()
                assert hits == 0, f"{path.name}.{name}"
        con.execute(f"attach '{county_site.published}' as s (read_only)")
        for table, column in con.execute(
            "select table_name, column_name from duckdb_columns() where database_name = 's' and data_type = 'VARCHAR'"
        ).fetchall():
            hits = con.execute(
                f"select count(*) from s.marts.{table} where regexp_matches({column}, ?) or regexp_matches({column}, ?)",
                [number, mobile]).fetchone()[0]
            assert hits == 0, f"{table}.{column}"


def test_a_run_without_a_key_stops_and_says_so(tmp_path):
    site = new_site(tmp_path, sample=True)
    for key in site.keys.iterdir():
        key.unlink()
    done = site.xianjian("run", check=False)
    assert done.returncode == 1 and "key" in done.stderr and not list((site.home / "loads").glob("L*"))


def test_an_earlier_state_can_be_asked_for_and_left_again(sample_site):
    with duckdb.connect(str(sample_site.published), read_only=True) as con:
        now = con.execute("select sum(numerator) from marts.mart_indicator_month").fetchone()[0]
    with duckdb.connect() as con:
        middle = con.execute(
            f"select quantile_disc(received_at, 0.5) from read_parquet('{sample_site.home}/loads/L*/batches.parquet')"
        ).fetchone()[0]
    sample_site.xianjian("run", "--as-of", middle.strftime("%Y-%m-%dT%H:%M:%S"))
    with duckdb.connect(str(sample_site.published), read_only=True) as con:
        then = con.execute("select sum(numerator) from marts.mart_indicator_month").fetchone()[0]
    sample_site.xianjian("run")
    with duckdb.connect(str(sample_site.published), read_only=True) as con:
        again = con.execute("select sum(numerator) from marts.mart_indicator_month").fetchone()[0]
    assert then < now and again == now
