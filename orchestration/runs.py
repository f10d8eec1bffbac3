"""The run ledger: what each stage of each run cost, and the lock that keeps the warehouse to one writer."""

import fcntl
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl

SCHEMA = {
    "run_id": pl.String(), "started_at": pl.Datetime("us"), "stage": pl.String(), "wall_seconds": pl.Float64(),
    "cpu_seconds": pl.Float64(), "peak_mib": pl.Int64(), "bytes": pl.Int64(), "rows": pl.Int64(),
}


class Busy(RuntimeError):
    """Another run holds the warehouse."""


@contextmanager
def single_writer(home: Path) -> Iterator[None]:
    """Hold the home's writer lock; raises Busy at once when another process holds it. The kernel frees it on a kill."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".writer.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("另一个运行正在写入本仓库,请稍后再试 | another run is writing here; try again later") from None
        yield


def _cpu_and_peak() -> tuple[float, int]:
    """CPU seconds of this process and its ended children; the larger peak of resident memory, in MiB."""
    own, kids = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + kids.ru_utime + kids.ru_stime
    return cpu, max(own.ru_maxrss, kids.ru_maxrss) // 1024


class RunMeter:
    """Measures the stages of one run; `save` puts them into `<home>/runs/`."""

    def __init__(self, runs: Path, started_at: datetime) -> None:
        self._folder, self._started_at, self._rows = runs, started_at, []
        known = [int(p.stem[1:]) for p in runs.glob("R*.parquet")]
        self.run_id = f"R{max(known, default=0) + 1:06d}"

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, int]]:
        """Time the block; the dict it yields may be given `bytes` and `rows`."""
        size: dict[str, int] = {}
        wall, (cpu, _) = time.perf_counter(), _cpu_and_peak()
        try:
            yield size
        finally:
            cpu_now, peak = _cpu_and_peak()
            self._rows.append((
                self.run_id, self._started_at, name, time.perf_counter() - wall, cpu_now - cpu, peak,
                size.get("bytes"), size.get("rows"),
            ))

    def save(self) -> None:
        """Write the run's stages so far, in one rename."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".tmp-{self.run_id}"
        pl.DataFrame(self._rows, schema=SCHEMA, orient="row").write_parquet(draft)
        draft.rename(self._folder / f"{self.run_id}.parquet")
