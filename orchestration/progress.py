"""Progress of long work: the terminal's and the log's implementations of the protocol that the lower layers call.

A stage has a label and, where it is known, a total; an item is one finished unit of it.
"""

import logging
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """What a long job tells its caller."""

    def stage(self, label: str, total: int | None = None) -> None: ...

    def item(self, label: str = "", ok: bool = True) -> None: ...


class TerminalProgress:
    """Rich bars, one a stage: label, done of total, elapsed, last item. A context manager."""

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            TextColumn("[bold]{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[last]}"), console=console, redirect_stdout=False, redirect_stderr=False,
        )
        self._task = None

    def __enter__(self) -> "TerminalProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()
        self._bar.stop()

    def _finish(self) -> None:
        if self._task is not None:
            task = self._bar.tasks[self._bar.task_ids.index(self._task)]
            self._bar.update(self._task, total=task.completed or 1, completed=task.completed or 1, last="")

    def stage(self, label: str, total: int | None = None) -> None:
        self._finish()
        self._task = self._bar.add_task(label, total=total, last="")
        if not self._bar.live.is_started or not self._bar.console.is_terminal:
            self._bar.console.print(f"• {label}" + (f" ({total})" if total is not None else ""))

    def item(self, label: str = "", ok: bool = True) -> None:
        if not ok:
            self._bar.console.print(f"  ✗ {label}")
        if self._task is not None:
            self._bar.update(self._task, advance=1, last=label[:60])


    def counted(self, stage: str, item: str, total: int) -> None:
        """The same for a caller that names stage, item and total at each step."""
        if self._task is None or self._bar.tasks[self._bar.task_ids.index(self._task)].description != stage:
            self.stage(stage, total)
        self.item(item)


class LogProgress:
    """The same to a logger, for runs that nobody watches: a line a stage and one at each tenth of its items."""

    def __init__(self, log: logging.Logger) -> None:
        self._log, self._label, self._total, self._done = log, "", None, 0

    def stage(self, label: str, total: int | None = None) -> None:
        self._label, self._total, self._done = label, total, 0
        self._log.info("%s: %s items", label, "?" if total is None else total)

    def item(self, label: str = "", ok: bool = True) -> None:
        self._done += 1
        if not ok:
            self._log.warning("%s: %s did not get through", self._label, label)
        if self._total and self._done * 10 // self._total != (self._done - 1) * 10 // self._total:
            self._log.info("%s: %d of %d", self._label, self._done, self._total)
