"""Typed settings: one file, overridden by the environment, read once at the edge.

Put here: every knob of the installation with its default. Nothing else in the code reads the environment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

REPOSITORY = Path(__file__).resolve().parents[1]


class Dashboard(BaseModel):
    """Where Superset listens and keeps its metadata."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str = "127.0.0.1"
    port: int = 8088
    workers: int = Field(2, ge=1)
    metadata_uri: SecretStr | None = None


class DagsterUi(BaseModel):
    """Where the Dagster UI listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    host: str = "127.0.0.1"
    port: int = 3000


class Settings(BaseSettings):
    """The settings in force. Raises pydantic.ValidationError naming an unknown or ill-typed key."""

    model_config = SettingsConfigDict(
        env_prefix="XIANJIAN_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Path(".xianjian")
    landing: Path | None = None
    key_dir: Path = Path("~/.config/xianjian")
    refusal_share: float = Field(0.2, gt=0, le=1)
    quiet_seconds: int = Field(60, ge=0)
    max_load_mib: int = Field(256, ge=1)
    keep_published: int = Field(3, ge=1)
    threads: int = Field(default_factory=lambda: os.cpu_count() or 2, ge=1)
    memory_limit_mib: int = Field(default_factory=lambda: psutil.virtual_memory().total // 2**21, ge=256)
    dashboard: Dashboard = Dashboard()
    dagster: DagsterUi = DagsterUi()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, env_settings, **_: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("XIANJIAN_SETTINGS", REPOSITORY / "xianjian.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    @classmethod
    def load(cls, *, home: Path | None = None, landing: Path | None = None) -> "Settings":
        """File, then environment, then these arguments."""
        given = {"home": home, "landing": landing}
        return cls(**{k: v for k, v in given.items() if v is not None})

    @cached_property
    def paths(self) -> "Paths":
        home = self.home.expanduser().resolve()
        landing = (self.landing or home / "landing").expanduser().resolve()
        return Paths(home=home, landing=landing, keys=self.key_dir.expanduser().resolve())

    def environment(self) -> dict[str, str]:
        """The environment of child processes that run under these settings (dbt, Dagster, Superset)."""
        return os.environ | self.variables()

    def variables(self) -> dict[str, str]:
        """What these settings add to the environment."""
        return {
            "XIANJIAN_HOME": str(self.paths.home),
            "XIANJIAN_LANDING": str(self.paths.landing),
            "XIANJIAN_KEY_DIR": str(self.paths.keys),
            "XIANJIAN_THREADS": str(self.threads),
            "XIANJIAN_MEMORY_LIMIT_MIB": str(self.memory_limit_mib),
            "DAGSTER_HOME": str(self.paths.dagster),
            "DBT_TARGET_PATH": str(self.paths.dbt_target),
            "DBT_LOG_PATH": str(self.paths.home / "dbt" / "logs"),
            "DBT_PROFILES_DIR": str(REPOSITORY / "dbt_project"),
        }


@contextmanager
def exported(**variables: str) -> Iterator[None]:
    """Set variables for the libraries and child processes that read them, while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Paths(BaseModel):
    """Where each thing of one installation lies; absolute."""

    model_config = ConfigDict(frozen=True)
    home: Path
    landing: Path
    keys: Path

    @property
    def build(self) -> Path:
        """The generations of the build file that dbt writes, and the pointer to the one in use."""
        return self.home / "build"

    @property
    def serving(self) -> Path:
        return self.home / "serving"

    @property
    def published(self) -> Path:
        """The symlink that readers open."""
        return self.serving / "current.duckdb"

    @property
    def feedback(self) -> Path:
        return self.home / "feedback"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def dagster(self) -> Path:
        return self.home / "dagster"

    @property
    def superset(self) -> Path:
        return self.home / "superset"

    @property
    def dbt_target(self) -> Path:
        return self.home / "dbt" / "target"
