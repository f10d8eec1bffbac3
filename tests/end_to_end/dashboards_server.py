"""One Superset for the tests: brought up as `xianjian serve` does it, on a serving link that a test can swap.

Put here: starting, stopping, swapping. Put elsewhere: what is asked of it (`test_dashboards.py`).
"""

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from dashboards.serve import bootstrap_command, environment, server_command

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-superset"


@dataclass
class Server:
    """A running Superset with its home and the link it reads."""

    base: str
    home: Path
    link: Path
    env: dict[str, str]
    process: subprocess.Popen

    def password(self, user: str) -> str:
        return yaml.safe_load((self.home / "logins.yaml").read_text("utf-8"))[user]

    def publish(self, file: Path) -> None:
        """Swap what is served, as the pipeline does: a new link moved over the old one."""
        fresh = self.link.with_suffix(".tmp")
        fresh.unlink(missing_ok=True)
        os.symlink(file, fresh)
        os.replace(fresh, self.link)


def bootstrap(env: dict[str, str]) -> subprocess.CompletedProcess:
    """Run the bootstrap and give back its end, whatever it is."""
    return subprocess.run(bootstrap_command(VENV), env=env, cwd=ROOT, capture_output=True, text=True, timeout=600)


def start(folder: Path, serving: Path) -> Server:
    """Prepare a fresh home and serve it on a free port of this machine."""
    home, link = folder / "superset", folder / "current.duckdb"
    os.symlink(serving, link)
    env = environment(link, home, "test-" + "k" * 48)
    env.pop("XIANJIAN_ADMIN_PASSWORD", None)
    done = bootstrap(env)
    assert done.returncode == 0, done.stderr[-3000:]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(server_command(VENV, port), env=env, cwd=ROOT, stdout=log, stderr=log)
    server = Server(f"http://127.0.0.1:{port}", home, link, env, process)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{server.base}/health", timeout=5) as reply:
                if reply.read().strip() == b"OK":
                    return server
        except (URLError, OSError):
            time.sleep(0.5)
    process.terminate()
    raise AssertionError((folder / "server.log").read_text("utf-8")[-3000:])
