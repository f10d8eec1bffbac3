"""What every asset needs of its installation: settings, who hears of progress, the meter of the run in hand."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb

from ingestion.landing import pending_fingerprint
from orchestration.progress import LogProgress, Progress
from orchestration.runs import RunMeter
from orchestration.settings import Settings
from quality.contract import TIMEZONE

# One pool of one: DuckDB has one writer or many readers, and each load builds on the one before.
WRITER = "warehouse_writer"


def shanghai_clock() -> datetime:
    """The wall time in Shanghai: the one clock, read at the edge only."""
    return datetime.now(ZoneInfo(TIMEZONE)).replace(tzinfo=None)


@dataclass
class Site:
    """One installation as the assets see it."""

    settings: Settings
    clock: Callable[[], datetime] = shanghai_clock
    progress: Progress = field(default_factory=lambda: LogProgress(logging.getLogger("xianjian")))
    meter: RunMeter | None = None
    as_of: datetime | None = None
    full_build: bool = False
    attended: bool = False             # a person watches the progress: the libraries' own output goes to a file

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, int]]:
        """Meter a stage where a run is metered; the dict takes `bytes` and `rows`."""
        if self.meter is None:
            yield {}
        else:
            with self.meter.stage(name) as size:
                yield size


    @contextmanager
    def library_output(self, name: str) -> Iterator[None]:
        """Send what a library prints to `<home>/logs/<name>.log` while a person watches the progress instead."""
        if not self.attended:
            yield
            return
        path = self.settings.paths.home / "logs" / f"{name}.log"
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as log, redirect_stdout(log):
            yield


def waiting(settings: Settings, now: datetime, as_of: datetime | None = None) -> str | None:
    """A digest of the batches that wait, None when none does or no landing zone has been set up yet."""
    paths = settings.paths
    if not (paths.landing / "senders.csv").exists():
        return None
    return pending_fingerprint(paths.home, paths.landing, quiet_seconds=settings.quiet_seconds, as_of=as_of, now=now)


@contextmanager
def retried() -> Iterator[None]:
    """Ask for two more tries when the block meets a full disk or a lock held by a backup; other faults fail at once."""
    try:
        yield
    except (OSError, duckdb.IOException) as error:
        raise dg.RetryRequested(max_retries=2, seconds_to_wait=30) from error


def failure(zh: str, en: str, **metadata: object) -> dg.Failure:
    """A failure that says its reason in both languages and is not tried again."""
    return dg.Failure(description=f"{zh}\n{en}", metadata=metadata, allow_retries=False)
