"""The build file: which DuckDB file dbt writes, and when it must be built anew.

A full build goes to a new generation; the pointer moves to it only when dbt and its tests have passed, so a build that
dies leaves the one before in use. Why not in place: a full refresh inside one DuckDB file doubles the file and keeps it.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from orchestration.settings import REPOSITORY

SOURCES = ("dbt_project/dbt_project.yml", "dbt_project/models", "dbt_project/macros", "dbt_project/seeds",
           "dbt_project/snapshots", "quality/contracts")


class Build(NamedTuple):
    """One generation of the build file."""

    path: Path
    code: str
    as_of: str | None


def code_digest(root: Path = REPOSITORY) -> str:
    """12 hex digits over the files whose change makes the built tables differ from a fresh build."""
    digest = hashlib.sha256()
    for source in SOURCES:
        top = root / source
        for path in sorted(p for p in ([top] if top.is_file() else top.rglob("*")) if p.is_file()):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def current(folder: Path) -> Build | None:
    """The generation in use, or None before the first build."""
    pointer = folder / "current.json"
    if not pointer.exists():
        return None
    body = json.loads(pointer.read_text("utf-8"))
    build = Build(folder / body["file"], body["code"], body["as_of"])
    return build if build.path.exists() else None


def generation(folder: Path, number: int) -> Path:
    """The file of a generation, counted from 1."""
    return folder / f"w{number:04d}.duckdb"


def begin(folder: Path, code: str, as_of: str | None, *, full: bool) -> tuple[Build, bool]:
    """The generation to write, and whether it starts empty.

    The one in use goes on when neither the code nor the as-of date has changed and no full build is asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    in_use = current(folder)
    if in_use and not full and (in_use.code, in_use.as_of) == (code, as_of):
        return in_use, False
    number = 1 + (int(in_use.path.stem[1:]) if in_use else 0)
    for leftover in folder.glob("w*.duckdb*"):
        if int(leftover.name[1:5]) >= number:
            leftover.unlink()
    return Build(generation(folder, number), code, as_of), True


def commit(folder: Path, build: Build) -> None:
    """Point at `build` and remove the generations before it."""
    draft = folder / ".tmp-current.json"
    draft.write_text(json.dumps({"file": build.path.name, "code": build.code, "as_of": build.as_of}), "utf-8")
    os.replace(draft, folder / "current.json")
    for old in folder.glob("w*.duckdb*"):
        if int(old.name[1:5]) < int(build.path.stem[1:]):
            old.unlink()
