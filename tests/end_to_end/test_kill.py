"""Killed at any point and started again, a run gives what an undisturbed one gives; readers never see a half state."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.end_to_end.conftest import ROOT, XIANJIAN, Site, new_site

# The cost of each run's stages is of the run, not of the data.
NOT_DATA = {"mart_run_stage", "publish_info"}


def tables(path: Path) -> dict[str, list[tuple]]:
    with duckdb.connect(str(path), read_only=True) as con:
        names = [n for (n,) in con.execute("select table_name from duckdb_tables() order by 1").fetchall()]
        return {n: sorted(map(repr, con.execute(f"select * from marts.{n}").fetchall())) for n in names if n not in NOT_DATA}


class Reader(threading.Thread):
    """Opens the published file again and again; remembers every state that was not whole."""

    def __init__(self, published: Path) -> None:
        super().__init__(daemon=True)
        self.published, self.ended, self.wrong, self.looks = published, threading.Event(), [], 0

    def run(self) -> None:
        while not self.ended.is_set():
            if self.published.exists():
                try:
                    with duckdb.connect(str(self.published), read_only=True) as con:
                        said = con.execute("select rows from marts.publish_info").fetchone()[0]
                        names = [n for (n,) in con.execute(
                            "select table_name from duckdb_tables() where table_name <> 'publish_info'").fetchall()]
                        held = sum(con.execute(f"select count(*) from marts.{n}").fetchone()[0] for n in names)
                    self.looks += 1
                    if said != held:
                        self.wrong.append((said, held))
                except duckdb.Error as error:
                    self.wrong.append(error)
            time.sleep(0.05)


def kill_when(site: Site, ready: Callable[[], bool]) -> None:
    """Start a run and kill its whole process group as soon as `ready`."""
    run = subprocess.Popen([XIANJIAN, "run"], env=site.environment, cwd=ROOT, start_new_session=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while run.poll() is None and not ready():
        time.sleep(0.005)
    assert run.poll() is None, "the run ended before it could be killed"
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def kill_at_rename(site: Site, nth: int) -> None:
    """Run with publishing killed just before its nth rename: 1 the version's, 2 the link's."""
    code = f"""
import os, signal
import orchestration.publish as publish
real, count = os.replace, 0
class Os:
    def __getattr__(self, name): return getattr(os, name)
    def replace(self, *a):
        global count
        count += 1
        if count == {nth}: os.kill(os.getpid(), signal.SIGKILL)
        return real(*a)
publish.os = Os()
import sys; sys.argv = ['xianjian', 'run']
from orchestration.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], env=site.environment, cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.fixture(scope="module")
def undisturbed(sample_site) -> dict[str, list[tuple]]:
    return tables(sample_site.published)


@pytest.mark.parametrize("where", ["ingestion", "dbt build", "publishing the version", "moving the link"])
def test_killed_and_started_again(where, undisturbed, sample_site, tmp_path):
    site = new_site(tmp_path, sample=True, keys=sample_site.keys)
    reader = Reader(site.published)
    reader.start()
    match where:
        case "ingestion":
            kill_when(site, lambda: any((site.home / "loads").glob(".tmp-*")))
        case "dbt build":
            build = site.home / "build"
            kill_when(site, lambda: any(p.stat().st_size > 1_000_000 for p in build.glob("w*.duckdb*")))
        case "publishing the version":
            kill_at_rename(site, 1)
        case "moving the link":
            kill_at_rename(site, 2)
    assert not site.published.exists(), "nothing had been published yet"
    site.xianjian("run")
    time.sleep(0.3)
    reader.ended.set()
    reader.join()
    assert reader.looks and reader.wrong == []
    assert tables(site.published) == undisturbed
    assert not list(site.home.glob("loads/.tmp*")) and not list(site.home.glob("serving/.tmp*"))
