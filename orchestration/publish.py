"""Publishing: the mart tables of the build file become a new serving file, swapped in by one rename.

Law 8, readers never wait: dashboards open `current.duckdb`, a symlink; a version is complete before the link moves.
"""

import os
from pathlib import Path
from typing import NamedTuple

import duckdb

SCHEMA = "marts"
PUBLISHED = "(table_name like 'mart\\_%' escape '\\' or table_name like 'dim\\_%' escape '\\')"


class Published(NamedTuple):
    """What readers see."""

    path: Path
    version: int
    load_id: str | None
    code: str
    as_of: str | None
    tables: int
    rows: int


def _version(path: Path) -> int:
    return int(path.stem.removeprefix("wh_"))


def versions(serving: Path) -> list[Path]:
    """The complete versions in `serving`, oldest first."""
    return sorted(serving.glob("wh_*.duckdb"), key=_version)


def read_published(link: Path) -> Published | None:
    """What `link` serves now, or None when nothing was published yet."""
    if not link.exists():
        return None
    with duckdb.connect(str(link), read_only=True) as con:
        row = con.execute(f"select version, load_id, code, as_of, tables, rows from {SCHEMA}.publish_info").fetchone()
    return Published(link.resolve(), *row)


def publish(warehouse: Path, link: Path, *, load_id: str | None, code: str, as_of: str | None, keep: int) -> Published:
    """Copy every mart and dimension table into a new version beside `link`, then move the link to it.

    Views are never published: they name the build file's catalog and break in a copy. Raises RuntimeError when the
    build has no mart. A process killed here leaves the old version served; the next call removes what it left.
    """
    serving = link.parent
    serving.mkdir(parents=True, exist_ok=True)
    for leftover in [*serving.glob(".tmp-*"), *serving.glob("*.wal")]:
        leftover.unlink()
    version = max((_version(p) for p in versions(serving)), default=0) + 1
    target, draft = serving / f"wh_{version:06d}.duckdb", serving / f".tmp-wh_{version:06d}.duckdb"
    with duckdb.connect(str(draft)) as con:
        con.execute(f"attach '{warehouse}' as build (read_only)")
        names = con.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'build' "
            f"and {PUBLISHED} order by 2"
        ).fetchall()
        if not any(name.startswith("mart_") for _, name in names):
            raise RuntimeError("构建文件中没有可发布的数据集市 | the build holds no mart to publish")
        con.execute(f"create schema {SCHEMA}")
        rows = 0
        for schema, name in names:
            con.execute(f"create table {SCHEMA}.{name} as from build.{schema}.{name}")
            rows += con.execute(f"select count(*) from {SCHEMA}.{name}").fetchone()[0]
        con.execute(
            f"create table {SCHEMA}.publish_info as select ?::integer as version, ?::varchar as load_id, "
            "?::varchar as code, ?::varchar as as_of, ?::integer as tables, ?::bigint as rows",
            [version, load_id, code, as_of, len(names), rows],
        )
        con.execute("checkpoint")
    os.replace(draft, target)
    point(link, target)
    for old in versions(serving)[:-keep]:
        old.unlink()
    return Published(target, version, load_id, code, as_of, len(names), rows)


def point(link: Path, target: Path) -> None:
    """Make `link` name `target` in one step; a reader sees the old version or the new one, nothing between."""
    draft = link.with_name(".tmp-link")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target.name)
    os.replace(draft, link)
