"""What is missing on this machine and how to mend it."""

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import psutil
from pydantic import SecretStr

from ingestion.identity import KeyRing, KeysUnusable
from orchestration.settings import REPOSITORY, Settings


class Finding(NamedTuple):
    """One line of the doctor's report. `essential`: without it the pipeline does not run."""

    what: str
    ok: bool
    found: str
    mend: str
    essential: bool = True


def examine(settings: Settings) -> list[Finding]:
    """Every requirement of the machine, with what was found and how to mend it."""
    paths, superset = settings.paths, REPOSITORY / ".venv-superset" / "bin" / "gunicorn"
    anchor = next(p for p in (paths.home, *paths.home.parents) if p.exists())
    free = shutil.disk_usage(anchor).free // 2**30
    memory = psutil.virtual_memory().total // 2**20
    try:
        KeyRing.load(paths.keys)
        keys, key_text = True, str(paths.keys)
    except KeysUnusable as error:
        keys, key_text = False, str(error)
    chromium = shutil.which("chromium")
    fonts = any(Path("/usr/share/fonts").rglob("NotoSansCJK*")) if Path("/usr/share/fonts").exists() else False
    return [
        Finding("Python 3.11", sys.version_info[:2] == (3, 11), sys.version.split()[0], "apt-get install python3.11"),
        Finding("写入权限 | home writable", os.access(anchor, os.W_OK), str(paths.home), "settings: home"),
        Finding("磁盘 | disk ≥ 5 GiB", free >= 5, f"{free} GiB", "free disk space or move home"),
        Finding("内存 | DuckDB memory fits", settings.memory_limit_mib <= memory,
                f"{settings.memory_limit_mib} of {memory} MiB", "settings: memory_limit_mib"),
        Finding("密钥 | keys", keys, key_text, "xianjian keys create (or restore the keys from their custodians)"),
        Finding("Superset", superset.exists(), "installed" if superset.exists() else "absent", "make setup", False),
        Finding("Chromium", bool(chromium), chromium or "absent", "make browser (as root)", False),
        Finding("中文字体 | Chinese fonts", fonts, "installed" if fonts else "absent", "make browser (as root)", False),
    ]


def settings_in_force(settings: Settings) -> list[tuple[str, str]]:
    """Key and value of every setting; a secret is only said to be set."""
    rows = []
    for key, value in settings:
        for name, leaf in ([(f"{key}.{k}", v) for k, v in value] if hasattr(value, "model_fields") else [(key, value)]):
            rows.append((name, "(set)" if isinstance(leaf, SecretStr) else str(leaf)))
    return rows
