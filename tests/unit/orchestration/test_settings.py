"""Settings: one file, environment over it, arguments over both; secrets never shown."""

import subprocess
import sys
from datetime import datetime

import polars as pl
import pytest
from pydantic import ValidationError

from orchestration.doctor import settings_in_force
from orchestration.runs import Busy, RunMeter, single_writer
from orchestration.settings import Settings


@pytest.fixture
def file(tmp_path, monkeypatch):
    def write(text: str) -> None:
        path = tmp_path / "settings.toml"
        path.write_text(text, "utf-8")
        monkeypatch.setenv("XIANJIAN_SETTINGS", str(path))

    return write


def test_environment_overrides_the_file_and_arguments_override_both(file, monkeypatch, tmp_path):
    file('home = "from-file"\nkeep_published = 5\n[dashboard]\nport = 9000\n')
    monkeypatch.setenv("XIANJIAN_DASHBOARD__PORT", "9001")
    settings = Settings.load()
    assert (str(settings.home), settings.keep_published, settings.dashboard.port) == ("from-file", 5, 9001)
    assert Settings.load(home=tmp_path).paths.landing == tmp_path.resolve() / "landing"


def test_a_misspelt_setting_is_refused_by_name(file):
    file("refusal_shear = 0.3\n")
    with pytest.raises(ValidationError, match="refusal_shear"):
        Settings.load()


def test_doctor_prints_no_secret(file):
    file('[dashboard]\nmetadata_uri = "postgresql://u:topsecret@db/x"\n')
    assert "topsecret" not in str(settings_in_force(Settings.load()))


def test_a_second_writer_is_told_so_at_once(tmp_path):
    code = (f"from pathlib import Path\nfrom orchestration.runs import Busy, single_writer\n"
            f"try:\n  with single_writer(Path({str(tmp_path)!r})): print('in')\nexcept Busy as e: print('busy')")
    with single_writer(tmp_path):
        held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    free = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (held.stdout.strip(), free.stdout.strip()) == ("busy", "in")
    assert issubclass(Busy, RuntimeError)


def test_stages_are_recorded_even_when_one_fails(tmp_path):
    meter = RunMeter(tmp_path, datetime(2025, 1, 1))
    with meter.stage("ingest") as size:
        size |= {"rows": 3, "bytes": 10}
    with pytest.raises(ZeroDivisionError), meter.stage("dbt build"):
        1 / 0  # noqa: B018
    meter.save()
    rows = pl.read_parquet(tmp_path / "R000001.parquet")
    assert rows["stage"].to_list() == ["ingest", "dbt build"] and rows["rows"].to_list() == [3, None]
    assert RunMeter(tmp_path, datetime(2025, 1, 2)).run_id == "R000002"
