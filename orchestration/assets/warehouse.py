"""dbt: staging, core star, marts, as assets; their tests as asset checks."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliInvocation,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from orchestration import build as builds
from orchestration.assets.ingestion import LEDGER, QUARANTINE, staged_key
from orchestration.settings import REPOSITORY, exported
from orchestration.site import WRITER, Site, failure

PROJECT_DIR = REPOSITORY / "dbt_project"
SEVERAL_TABLES_ONE_ASSET = DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)


class Translator(DagsterDbtTranslator):
    """Sources are the ingestion's assets; groups are the layers of the architecture's picture."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] != "source":
            return super().get_asset_key(dbt_resource_props)
        match dbt_resource_props["source_name"], dbt_resource_props["name"]:
            case "staged", extract:
                return staged_key(extract)
            case "ledger", "quarantine" | "findings" | "releases":
                return QUARANTINE
            case "ledger", _:
                return LEDGER
            case source, _:
                return dg.AssetKey(source)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        fqn = dbt_resource_props["fqn"]
        return "reference" if dbt_resource_props["resource_type"] == "seed" else fqn[1]


def parse(site: Site) -> Path:
    """The manifest of the dbt project, parsed anew when the project's files have changed since."""
    target, stamp = site.settings.paths.dbt_target, site.settings.paths.dbt_target / ".code"
    code = builds.code_digest()
    manifest = target / "manifest.json"
    if not manifest.exists() or not stamp.exists() or stamp.read_text() != code:
        target.mkdir(parents=True, exist_ok=True)
        # under the build file's own name: dbt parses everything again when its profile differs from the last time
        in_use = builds.current(site.settings.paths.build)
        path = in_use.path if in_use else builds.generation(site.settings.paths.build, 1)
        with exported(XIANJIAN_DUCKDB=str(path)):
            DbtCliResource(project_dir=str(PROJECT_DIR), dbt_executable=str(dbt_executable())).cli(
                ["parse", "--quiet"], target_path=target
            ).wait()
        stamp.write_text(code)
    return manifest


def dbt_executable() -> Path:
    """dbt of the running environment, whether or not that is on PATH."""
    return Path(sys.executable).parent / "dbt"


def warehouse_assets(site: Site) -> dg.AssetsDefinition:
    """Every dbt model, seed and test."""
    settings = site.settings
    manifest = parse(site)
    project = DbtProject(project_dir=PROJECT_DIR, target_path=settings.paths.dbt_target)
    nodes = json.loads(manifest.read_text("utf-8"))["nodes"].values()
    total = sum(n["resource_type"] in ("model", "seed", "snapshot", "test") for n in nodes)

    @dbt_assets(manifest=manifest, project=project, name="warehouse", dagster_dbt_translator=Translator(SEVERAL_TABLES_ONE_ASSET),
                pool=WRITER, exclude="resource_type:unit_test")
    def warehouse(context: dg.AssetExecutionContext) -> Iterator[Any]:
        if site.meter:
            site.meter.save()          # so that what this run has cost up to here is among its own figures
        site.progress.stage("星型模型与集市 | star schema and marts", total)
        as_of = site.as_of.isoformat(sep=" ") if site.as_of else None
        build, empty = builds.begin(settings.paths.build, builds.code_digest(), as_of, full=site.full_build)
        variables = ["--vars", json.dumps({"as_of": as_of})] if as_of else []
        dbt = DbtCliResource(project_dir=project, dbt_executable=str(dbt_executable()))
        with site.stage("dbt build") as size, exported(XIANJIAN_DUCKDB=str(build.path)), site.library_output("dbt"):
            run = dbt.cli(["build", "--exclude", "resource_type:unit_test", *variables], context=context)
            try:
                for event in run.stream():
                    site.progress.item(_label(event))
                    yield event
            except DagsterDbtCliRuntimeError as error:
                failed = _failed(run)
                if failed and all("IO Error" in (r["message"] or "") for r in failed):
                    raise dg.RetryRequested(max_retries=2, seconds_to_wait=30) from error
                names = ", ".join(r["unique_id"].split(".", 2)[2] for r in failed) or "dbt"
                raise failure(f"数仓构建或阻断性检查未通过,已发布的数据保持不变:{names}",
                              f"the build or a blocking test failed; the published figures stand: {names}") from error
            size["bytes"] = build.path.stat().st_size
        if empty:
            builds.commit(settings.paths.build, build)

    return warehouse


def _label(event: Any) -> str:
    if isinstance(event, dg.AssetCheckResult | dg.AssetCheckEvaluation):
        return event.check_name or ""
    return getattr(event, "output_name", "") or ""


def _failed(run: DbtCliInvocation) -> list[dict[str, Any]]:
    """The results of the nodes that failed; empty when dbt did not get as far as running any."""
    try:
        results = run.get_artifact("run_results.json")["results"]
    except FileNotFoundError:
        return []
    return [r for r in results if r["status"] in ("error", "fail")]
