"""Real runs, made once a session: the committed sample, and the small county as `make run` makes it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_samples.restore import lay_out

ROOT = Path(__file__).parents[2]
XIANJIAN = Path(sys.executable).parent / "xianjian"


@dataclass(frozen=True)
class Site:
    """One home with its keys, run through the command line as its user would."""

    home: Path
    keys: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"XIANJIAN_HOME": str(self.home), "XIANJIAN_KEY_DIR": str(self.keys)}

    def xianjian(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([XIANJIAN, *words], env=self.environment, cwd=ROOT, capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(f"xianjian {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    @property
    def published(self) -> Path:
        return self.home / "serving" / "current.duckdb"


def new_site(folder: Path, *, sample: bool = False, keys: Path | None = None) -> Site:
    """A home with demonstration keys of its own, or those in `keys`, without which no two sites' pseudonyms agree.

    With `sample`, the committed county lies in its landing zone, not yet run.
    """
    site = Site(folder / "home", keys or folder / "keys")
    site.home.mkdir(parents=True)
    site.xianjian("keys", "create")
    if sample:
        lay_out(site.home)
    return site


@pytest.fixture(scope="session")
def sample_site(tmp_path_factory) -> Site:
    """The committed sample, run from nothing to published."""
    site = new_site(tmp_path_factory.mktemp("sample"), sample=True)
    site.xianjian("run")
    return site


@pytest.fixture(scope="session")
def county_site(tmp_path_factory) -> Site:
    """The small county of `make run` (scale 0.01, 24 months), generated and run from nothing to published."""
    site = new_site(tmp_path_factory.mktemp("county"))
    site.xianjian("county", "generate", "--out", str(site.home), "--scale", "0.01", "--months", "24")
    site.xianjian("run")
    return site
