"""Superset and the Dagster UI as child processes of one command."""

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

from dashboards.serve import bootstrap_command, environment, server_command
from orchestration.pipeline import prepare_home
from orchestration.settings import REPOSITORY, Settings

SUPERSET_VENV = REPOSITORY / ".venv-superset"


class Login(NamedTuple):
    user: str
    password: str


class ServeFailed(RuntimeError):
    """A server did not come up; the message names its log."""


def secret(folder: Path, name: str) -> str:
    """A secret of this installation, made at first use and kept readable by its owner only."""
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text().strip()


def superset_environment(settings: Settings) -> dict[str, str]:
    """What Superset's processes are started with."""
    folder, given = settings.paths.superset / "secrets", settings.environment()
    given["XIANJIAN_ADMIN_PASSWORD"] = secret(folder, "admin_password")
    if settings.dashboard.metadata_uri:
        given["XIANJIAN_SUPERSET_DB_URI"] = settings.dashboard.metadata_uri.get_secret_value()
    return environment(settings.paths.published, settings.paths.superset, secret(folder, "secret_key"), given)


def login(settings: Settings) -> Login:
    """The administrator's login, generated on this machine."""
    return Login("admin", secret(settings.paths.superset / "secrets", "admin_password"))


def bootstrap_dashboards(settings: Settings) -> None:
    """Bring Superset's metadata to what `dashboards/` declares. Raises ServeFailed with the end of its output."""
    done = subprocess.run(
        bootstrap_command(SUPERSET_VENV),
        env=superset_environment(settings), cwd=REPOSITORY, capture_output=True, text=True,
    )
    if done.returncode:
        raise ServeFailed(f"看板部署失败 | the dashboards could not be imported:\n{(done.stdout + done.stderr)[-2000:]}")


class Servers:
    """Superset and Dagster while the context lasts; both end with it."""

    def __init__(self, settings: Settings, *, dagster: bool = True) -> None:
        self._settings, self._with_dagster, self._children = settings, dagster, []
        self.superset_url = f"http://{settings.dashboard.host}:{settings.dashboard.port}"
        self.dagster_url = f"http://{settings.dagster.host}:{settings.dagster.port}"

    def __enter__(self) -> "Servers":
        settings = self._settings
        prepare_home(settings)
        board = settings.dashboard
        try:
            self._start("superset", server_command(SUPERSET_VENV, board.port, board.host, board.workers),
                        superset_environment(settings))
            if self._with_dagster:
                ui = settings.dagster
                self._start("dagster", [
                    str(Path(sys.executable).parent / "dagster"), "dev", "-m", "orchestration.definitions",
                    "-h", ui.host, "-p", str(ui.port),
                ], settings.environment())
            self._wait("superset", f"{self.superset_url}/health", 180)
            if self._with_dagster:
                self._wait("dagster", f"{self.dagster_url}/server_info", 180)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for _name, child in self._children:
            _signal_group(child, signal.SIGTERM)
        for _name, child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(15)
            # Dagster's code server outlives its parent's SIGTERM; the group is what ends it.
            _signal_group(child, signal.SIGKILL)
            child.wait()

    def wait(self) -> None:
        """Return when a server has ended; raises ServeFailed naming it."""
        while True:
            for name, child in self._children:
                if child.poll() is not None:
                    raise ServeFailed(f"{name} 已退出 | {name} has ended, see {self._log(name)}")
            time.sleep(1)

    def _log(self, name: str) -> Path:
        return self._settings.paths.home / "logs" / f"{name}.log"

    def _start(self, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self._log(name).parent.mkdir(exist_ok=True)
        with self._log(name).open("ab") as log:
            self._children.append((name, subprocess.Popen(
                command, env=environment, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True
            )))

    def _wait(self, name: str, url: str, seconds: int) -> None:
        child = dict(self._children)[name]
        for _ in range(seconds * 2):
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (URLError, OSError):
                if child.poll() is not None:
                    break
                time.sleep(0.5)
        raise ServeFailed(f"{name} 未能启动 | {name} did not come up, see {self._log(name)}")


def _signal_group(child: subprocess.Popen, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)
