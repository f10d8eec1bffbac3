"""The benchmark: every stage of the pipeline beside the bare DuckDB floor on the same files, in one call.

Ratios of CPU seconds are what to compare between machines; seconds are printed beside them and asserted nowhere.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from orchestration.assets.warehouse import PROJECT_DIR, dbt_executable
from orchestration.publish import read_published
from orchestration.settings import REPOSITORY, Settings

DATABASE = "w0001.duckdb"
LEDGER = ("batches", "files", "quarantine", "findings", "checks", "releases")
# What of ours stands against which step of the floor.
AGAINST = {"ingest": "land", "dbt build": "star and marts", "publish": "publish"}


def _child(command: list[str], environment: dict[str, str], log: Path) -> dict[str, float]:
    """Run one process to its end; wall and CPU seconds with its children's, largest resident set. Raises on failure."""
    wall = time.perf_counter()
    with log.open("wb") as out:
        child = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=out, stderr=subprocess.STDOUT)
        _, state, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(state)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{log.read_text('utf-8', 'replace')[-3000:]}")
    return {"wall_seconds": round(time.perf_counter() - wall, 2), "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "peak_mib": used.ru_maxrss // 1024}


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _compiled(home: Path, floor: Path, target: Path, log: Path) -> list[dict[str, str]]:
    """The project's models as plain statements in an order in which they can run on the floor's files.

    They are compiled against the warehouse that was built from the same files, as some models ask it which months it
    has; the floor's database gets the seeds.
    """
    dbt, common = str(dbt_executable()), ["--project-dir", str(PROJECT_DIR), "--target-path", str(target)]
    at_floor, at_home = (
        Settings.load(home=place).environment() | {"XIANJIAN_DUCKDB": str(place / "build" / DATABASE)}
        for place in (floor, home)
    )
    _child([dbt, "seed", *common], at_floor, log)
    _child([dbt, "compile", "--full-refresh", *common], at_home, log)
    nodes = json.loads((target / "manifest.json").read_text("utf-8"))["nodes"]
    models = {k: n for k, n in nodes.items() if n["resource_type"] == "model"}
    done, order = {k for k in nodes if k not in models}, []
    while len(order) < len(models):
        ready = [k for k, n in models.items() if k not in done and
                 all(d in done or d not in nodes for d in n["depends_on"]["nodes"])]
        order += ready
        done |= set(ready)
    return [
        {"schema": n["schema"], "name": n["alias"], "sql": n["compiled_code"].replace(str(home), str(floor)),
         "kind": "view" if n["config"]["materialized"] == "view" else "table"}
        for n in (models[k] for k in order) if n["config"]["materialized"] != "ephemeral"
    ]


def measure(*, scale: float, months: int, work: Path | None, console: Console) -> dict[str, Any]:
    """Generate a county, run the pipeline on it from nothing, then the floor on the same files; returns all figures."""
    with tempfile.TemporaryDirectory(prefix="xianjian-bench-") as scratch:
        base = Path(work or scratch).resolve()
        home, floor = base / "home", base / "floor"
        for folder in (home, floor):
            folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"XIANJIAN_KEY_DIR": str(base / "keys")}
        xianjian, figures = str(Path(sys.executable).parent / "xianjian"), {}
        console.print(f"[1/4] county, scale {scale}, {months} months")
        figures["generate"] = _child([xianjian, "county", "generate", "--out", str(home), "--scale", str(scale),
                                      "--months", str(months)], environment, base / "generate.log")
        figures["generate"]["bytes"] = received = _size(home / "landing")
        console.print(f"[2/4] pipeline on {received / 2**20:,.0f} MiB of files")
        _child([xianjian, "keys", "create"], environment, base / "keys.log")
        figures["pipeline"] = _child([xianjian, "run", "--home", str(home)], environment, base / "run.log")
        figures["pipeline"]["bytes"] = _size(home / "build") + _size(home / "loads")
        for row in pl.concat([pl.read_parquet(p) for p in sorted((home / "runs").glob("R*.parquet"))]).to_dicts():
            figures[row["stage"]] = {k: row[k] for k in ("wall_seconds", "cpu_seconds", "peak_mib", "bytes", "rows")}
        console.print("[3/4] the project's SQL, compiled for the floor")
        for folder in (floor / "loads" / "L000001" / "staged", floor / "build", floor / "runs"):
            folder.mkdir(parents=True, exist_ok=True)
        for table in LEDGER:
            held = pl.concat([pl.read_parquet(p) for p in sorted(home.glob(f"loads/L*/{table}.parquet"))])
            held.write_parquet(floor / "loads" / "L000001" / f"{table}.parquet")
        for stages in home.glob("runs/*.parquet"):
            shutil.copy2(stages, floor / "runs")
        statements = _compiled(home, floor, floor / "target", base / "compile.log")
        (base / "compiled.json").write_text(json.dumps(statements), "utf-8")
        console.print("[4/4] the floor")
        _child([sys.executable, "-m", "orchestration.bench_floor", str(home / "landing"), str(floor),
                str(base / "compiled.json")], environment, base / "floor.log")
        bare = json.loads((base / "floor.log").read_text("utf-8").strip().splitlines()[-1])
        published = read_published(home / "serving" / "current.duckdb")
        return {
            "scale": scale, "months": months, "received_bytes": received, "rows": figures["ingest"]["rows"],
            "published_rows": published.rows, "stages": figures, "floor": bare,
            "ratios": {
                **{ours: round(figures[ours]["cpu_seconds"] / max(bare[theirs]["cpu_seconds"], 0.01), 2)
                   for ours, theirs in AGAINST.items()},
                "pipeline": round(figures["pipeline"]["cpu_seconds"] /
                                  max(sum(s["cpu_seconds"] for s in bare.values()), 0.01), 2),
            },
        }


def show(body: dict[str, Any], console: Console) -> None:
    """The measurements as one table."""
    table = Table("stage", "wall s", "CPU s", "peak MiB", "MiB", "rows", "floor CPU s", "ratio",
                  title=f"scale {body['scale']}, {body['months']} months, {body['rows']:,} rows received")
    floor_total = round(sum(s["cpu_seconds"] for s in body["floor"].values()), 2)
    for name, s in body["stages"].items():
        bare = body["floor"].get(AGAINST.get(name, ""), {}).get("cpu_seconds", floor_total if name == "pipeline" else "")
        table.add_row(name, f"{s['wall_seconds']:.1f}", f"{s['cpu_seconds']:.1f}", f"{s['peak_mib']:,}",
                      f"{(s.get('bytes') or 0) / 2**20:,.0f}", f"{s.get('rows') or 0:,}", str(bare),
                      str(body["ratios"].get(name, "")))
    table.add_section()
    for name, s in body["floor"].items():
        table.add_row(f"floor: {name}", f"{s['wall_seconds']:.1f}", f"{s['cpu_seconds']:.1f}", f"{s['peak_mib']:,}",
                      f"{s['bytes'] / 2**20:,.0f}", f"{s['rows'] or 0:,}", "", "")
    console.print(table)
