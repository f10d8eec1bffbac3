"""The bare floor of the benchmark: DuckDB reads the same files and writes the same tables, and does nothing else.

No contract, no quarantine, no pseudonyms, no lineage, no ledger, no dbt, no tests. Files of one extract and header are
read in one call with an explicit dialect; GB18030 is transcoded first, as DuckDB cannot read it soundly; the models are
the project's own compiled SQL, run one after another in one process.

Run as `python -m orchestration.bench_floor LANDING FLOOR_HOME COMPILED`; prints one JSON line.
"""

import codecs
import csv
import gzip
import json
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import fastexcel
import polars as pl

from ingestion.profile import Profile, load_profiles
from quality.contract import Contract, load_contracts

SQL_TYPE = {"int": "bigint", "bool": "boolean", "date": "date", "datetime": "timestamp"}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _header(path: Path, profile: Profile) -> tuple[str, ...]:
    opener = gzip.open if profile.compression == "gzip" else open
    encoding = "utf-8-sig" if profile.encoding.startswith("utf") else profile.encoding
    with opener(path, "rt", encoding=encoding, newline="") as file:
        return tuple(next(csv.reader(file, delimiter=profile.delimiter, quotechar=profile.quote)))


def _transcoded(path: Path, profile: Profile, folder: Path) -> Path:
    if profile.encoding.startswith("utf"):
        return path
    target = folder / f"{path.parent.name}-{path.name}"
    decoder = codecs.getincrementaldecoder(profile.encoding)("replace")
    with path.open("rb") as source, target.open("w", encoding="utf-8", newline="") as out:
        while block := source.read(1 << 20):
            out.write(decoder.decode(block))
    return target


def _files(landing: Path) -> Iterator[tuple[Profile, Path, str, str | None, date]]:
    """(profile, file, extract, sheet, first day of its period) of every file in the landing zone."""
    profiles = load_profiles()
    with (landing / "senders.csv").open(encoding="utf-8-sig") as file:
        speaks = {row["sender_code"]: profiles[row["profile"]] for row in csv.DictReader(file)}
    for sender, profile in sorted(speaks.items()):
        for manifest in sorted((landing / sender).glob("*/manifest.json")):
            body = json.loads(manifest.read_text("utf-8"))
            for entry in body["files"]:
                yield (profile, manifest.parent / entry["name"], entry["extract"], None,
                       date.fromisoformat(body["period"]["from"]))
        for book in sorted((landing / sender).glob("*.xlsx")):
            for sheet in fastexcel.read_excel(str(book)).sheet_names:
                if extract := profile.extract_of_sheet(sheet):
                    yield profile, book, extract, sheet, date.max


def _select(contract: Contract, profile: Profile, names: dict[str, str]) -> str:
    """The typed select list over text columns; `names` is our column to theirs."""
    spec, out = profile.extracts[contract.name], []
    nulls = ", ".join(_quoted(n) for n in profile.null_values) or "''"
    for column in contract.columns:
        target = column.pseudonym or column.name
        if column.is_identifier and not column.pseudonym:
            continue
        if column.name in spec.constants:
            source = _quoted(spec.constants[column.name])
        elif column.name in names:
            theirs = '"' + names[column.name].replace('"', '""') + '"'
            source = f"(case when {theirs} in ({nulls}) then null else {theirs} end)"
        else:
            source = "null::varchar"
        if codes := spec.codes.get(column.name):
            pairs = ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in codes.items())
            source = f"coalesce(map {{{pairs}}}[{source}], {source})"
        match column.kind:
            case "date" | "datetime":
                form = profile.date_format if column.kind == "date" else profile.datetime_format
                value = f"coalesce(try_strptime({source}, {_quoted(form)}), try_cast({source} as timestamp))"
                sql = f"{value}::{SQL_TYPE[column.kind]}"
            case "bool":
                true = ", ".join(_quoted(k) for k, v in profile.booleans.items() if v)
                sql = f"({source} in ({true}{', ' if true else ''}'true', '1'))"
            case "decimal":
                factor = f" * {spec.units[column.name].factor}" if column.name in spec.units else ""
                sql = f"try_cast(try_cast({source} as decimal(18,4)){factor} as decimal({column.size[0]},{column.size[1]}))"
            case "int":
                sql = f"try_cast({source} as bigint)"
            case _:
                sql = source
        out.append(f"{sql} as {target}")
    if contract.person:
        out += [f"{contract.staged_key[0]}::varchar as person_key" if contract.person.id_number not in names else
                f'"{names[contract.person.id_number]}"::varchar as person_key', "'A' as person_match"]
    period = "timestamp '2000-01-01'"
    out += ["'' as _batch_id", "'' as _file_digest", "null::varchar as _sheet", "0::bigint as _line_no",
            f"{period} as _received_at", f"{period} as _source_updated_at", "'I' as _op_type", "0::ubigint as _row_hash",
            "'L000001' as _load_id"]
    return ", ".join(out)


def land(landing: Path, staged: Path) -> int:
    """Read every file into typed Parquet under `staged`, one file an extract; returns the rows."""
    contracts, scratch = load_contracts(), staged.parent / "transcoded"
    for folder in (staged, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple, list[tuple[Path, str | None, date]]] = {}
    for profile, path, extract, sheet, day in _files(landing):
        header = _header(path, profile) if profile.format == "csv" else ()
        groups.setdefault((profile.name, extract, header), []).append((path, sheet, day))
    con, rows = duckdb.connect(), 0
    con.execute("set preserve_insertion_order = false")
    made: dict[str, int] = {}
    for (name, extract, header), files in sorted(groups.items()):
        profile, contract = load_profiles()[name], contracts[extract]
        day = min(f[2] for f in files)
        names = {ours: theirs for theirs, ours in profile.extracts[extract].header_map(contract, day).items()}
        if profile.format == "csv":
            names = {ours: theirs for theirs, ours in
                     profile.extracts[extract].header_map(contract, max(f[2] for f in files)).items() if theirs in header}
            columns = "{" + ", ".join(f"{_quoted(h)}: 'VARCHAR'" for h in header) + "}"
            paths = [str(_transcoded(p, profile, scratch)) for p, _, _ in files]
            source = (f"read_csv({paths}, auto_detect=false, header=true, delim={_quoted(profile.delimiter)}, quote='\"', "
                      f"escape='\"', columns={columns}, ignore_errors=true, null_padding=true)")
        elif profile.format == "xlsx":
            frames = [fastexcel.read_excel(str(p)).load_sheet(s, dtypes="string").to_polars() for p, s, _ in files]
            frame = pl.concat([f for f in frames if f.height], how="diagonal") if any(f.height for f in frames) else None
            if frame is None:
                continue
            con.register("workbook", frame.to_arrow())
            names = {ours: theirs for ours, theirs in names.items() if theirs in frame.columns}
            source = "workbook"
        else:
            paths = [str(p) for p, _, _ in files]
            held = [c[0] for c in con.execute(f"describe from read_parquet({paths}, union_by_name=true)").fetchall()]
            names = {ours: theirs for ours, theirs in names.items() if theirs in held}
            text = ", ".join(f'"{h}"::varchar as "{h}"' for h in held)
            source = f"(select {text} from read_parquet({paths}, union_by_name=true))"
        part = made[extract] = made.get(extract, -1) + 1
        target = staged / f"{extract}-{part:03d}.parquet"
        con.execute(f"copy (select {_select(contract, profile, names)} from {source}) to '{target}' (compression zstd)")
        rows += con.execute(f"select count(*) from read_parquet('{target}')").fetchone()[0]
    shutil.rmtree(scratch)
    return rows


def build(statements: list[dict], database: Path) -> None:
    """Run the project's compiled models as plain DDL, in their order."""
    with duckdb.connect(str(database)) as con:
        con.execute("set preserve_insertion_order = false")
        for s in statements:
            con.execute(f'create schema if not exists {s["schema"]}')
            con.execute(f'create or replace {s["kind"]} {s["schema"]}.{s["name"]} as {s["sql"]}')


def publish(database: Path, target: Path) -> None:
    """Copy the mart tables into one more file."""
    with duckdb.connect(str(target)) as con:
        con.execute(f"attach '{database}' as build (read_only)")
        for schema, name in con.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'build' "
            "and (table_name like 'mart%' or table_name like 'dim%')"
        ).fetchall():
            con.execute(f"create table {name} as from build.{schema}.{name}")


def main() -> None:
    landing, home, compiled = (Path(a) for a in sys.argv[1:4])
    load, out = home / "loads" / "L000001", {}
    database = home / "build" / "w0001.duckdb"
    database.parent.mkdir(parents=True, exist_ok=True)
    for name, work in (("land", lambda: land(landing, load / "staged")),
                       ("star and marts", lambda: build(json.loads(compiled.read_text("utf-8")), database)),
                       ("publish", lambda: publish(database, home / "published.duckdb"))):
        cpu, wall = _cpu(), time.perf_counter()
        rows = work()
        out[name] = {"cpu_seconds": round(_cpu() - cpu, 2), "wall_seconds": round(time.perf_counter() - wall, 2),
                     "rows": rows, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    out["land"]["bytes"] = sum(p.stat().st_size for p in (load / "staged").iterdir())
    out["star and marts"]["bytes"] = database.stat().st_size
    out["publish"]["bytes"] = (home / "published.duckdb").stat().st_size
    print(json.dumps(out))


if __name__ == "__main__":
    main()
