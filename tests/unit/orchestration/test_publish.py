"""Readers never wait and never see a half version: what publishing and the build pointer promise."""

from pathlib import Path

import duckdb
import pytest

from orchestration import build as builds
from orchestration.publish import point, publish, read_published, versions


def make_build(path: Path, visits: int) -> Path:
    with duckdb.connect(str(path)) as con:
        con.execute("create schema marts; create schema staging")
        con.execute(f"create table marts.mart_visits as select {visits}::integer as visits")
        con.execute("create table marts.dim_date as select date '2025-01-01' as day")
        con.execute("create table staging.stg_secret as select 1 as x")
        con.execute("create view marts.mart_view as select * from marts.mart_visits")
    return path


def publish_one(tmp_path: Path, visits: int, name: str, keep: int = 2):
    build = make_build(tmp_path / name, visits)
    return publish(build, tmp_path / "serving" / "current.duckdb", load_id="L000001", code="c", as_of=None, keep=keep)


def read(link: Path) -> int:
    with duckdb.connect(str(link), read_only=True) as con:
        return con.execute("select visits from marts.mart_visits").fetchone()[0]


def test_only_mart_and_dimension_tables_are_published(tmp_path):
    now = publish_one(tmp_path, 7, "w1.duckdb")
    with duckdb.connect(str(now.path), read_only=True) as con:
        names = {r[0] for r in con.execute("select table_name from information_schema.tables").fetchall()}
    assert names == {"mart_visits", "dim_date", "publish_info"}
    assert (now.tables, now.rows) == (2, 2)


def test_a_reader_of_the_old_version_keeps_it_and_a_new_one_gets_the_new(tmp_path):
    publish_one(tmp_path, 1, "w1.duckdb")
    link = tmp_path / "serving" / "current.duckdb"
    with duckdb.connect(str(link), read_only=True) as old:
        publish_one(tmp_path, 2, "w2.duckdb")
        assert old.execute("select visits from marts.mart_visits").fetchone()[0] == 1
        assert read(link) == 2


def test_old_versions_are_kept_as_many_as_asked_and_leftovers_of_a_kill_removed(tmp_path):
    for n in range(4):
        (tmp_path / "serving").mkdir(exist_ok=True)
        (tmp_path / "serving" / ".tmp-wh_000099.duckdb").write_bytes(b"half")
        publish_one(tmp_path, n, f"w{n}.duckdb")
    kept = versions(tmp_path / "serving")
    assert [p.name for p in kept] == ["wh_000003.duckdb", "wh_000004.duckdb"]
    assert not list((tmp_path / "serving").glob(".tmp*"))
    assert read_published(tmp_path / "serving" / "current.duckdb").version == 4


def test_a_build_without_marts_is_refused_and_the_published_version_stands(tmp_path):
    publish_one(tmp_path, 5, "w1.duckdb")
    empty = tmp_path / "empty.duckdb"
    duckdb.connect(str(empty)).close()
    with pytest.raises(RuntimeError, match="no mart"):
        publish(empty, tmp_path / "serving" / "current.duckdb", load_id=None, code="c", as_of=None, keep=2)
    assert read(tmp_path / "serving" / "current.duckdb") == 5


def test_the_link_moves_in_one_step(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        point(tmp_path / "link", tmp_path / name)
        assert (tmp_path / "link").read_text() == name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "link"]


def test_nothing_published_reads_as_none(tmp_path):
    assert read_published(tmp_path / "current.duckdb") is None


def test_a_full_build_that_dies_leaves_the_generation_before_in_use(tmp_path):
    first, empty = builds.begin(tmp_path, "code1", None, full=False)
    assert empty
    first.path.write_bytes(b"1")
    builds.commit(tmp_path, first)
    second, empty = builds.begin(tmp_path, "code2", None, full=False)   # changed code asks for a new generation
    assert empty and second.path != first.path
    second.path.write_bytes(b"half")                                     # … and dies here
    assert builds.current(tmp_path) == first
    again, empty = builds.begin(tmp_path, "code2", None, full=False)
    assert empty and not again.path.exists()
    again.path.write_bytes(b"2")
    builds.commit(tmp_path, again)
    assert builds.current(tmp_path) == again and not first.path.exists()


@pytest.mark.parametrize(("code", "as_of", "full"), [("c2", None, False), ("c1", "2025-06-30", False), ("c1", None, True)])
def test_what_asks_for_a_new_generation(tmp_path, code, as_of, full):
    first, _ = builds.begin(tmp_path, "c1", None, full=False)
    first.path.write_bytes(b"1")
    builds.commit(tmp_path, first)
    assert builds.begin(tmp_path, "c1", None, full=False) == (first, False)
    assert builds.begin(tmp_path, code, as_of, full=full)[1]
