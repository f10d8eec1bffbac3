"""The commands that prepare and serve the dashboards, for whoever starts them (the `xianjian` command, a test).

Put here: command lines and their environment, nothing that needs Superset. Put elsewhere: what the commands do
(`bootstrap.py`, `superset_config.py`).
"""

import os
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent


def environment(serve_db: Path, home: Path, secret_key: str, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment both commands need; `base` (default: this process's) is kept, Superset's own settings win."""
    return {
        **(os.environ if base is None else base),
        "XIANJIAN_SERVE_DB": str(Path(serve_db).absolute()),
        "SUPERSET_HOME": str(Path(home).absolute()),
        "SUPERSET_SECRET_KEY": secret_key,
        "SUPERSET_CONFIG_PATH": str(HERE / "superset_config.py"),
        "FLASK_APP": "superset",
        "PYTHONUNBUFFERED": "1",
    }


def bootstrap_command(venv: Path) -> list[str]:
    """Prepares Superset's metadata; run again after every change of the assets, of the roles or of the marts."""
    return [str(Path(venv) / "bin" / "python"), str(HERE / "bootstrap.py")]


def server_command(venv: Path, port: int = 8088, host: str = "127.0.0.1", workers: int = 2) -> list[str]:
    """The web server; answers `/health` with OK when it is up."""
    return [
        str(Path(venv) / "bin" / "gunicorn"), "--preload", "-w", str(workers), "-k", "gthread", "--threads", "4",
        "--timeout", "120", "-b", f"{host}:{port}", "superset.app:create_app()",
    ]
