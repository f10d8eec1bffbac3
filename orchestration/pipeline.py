"""Everything that is due, in one process: what `xianjian run` and `make run` do."""

from datetime import datetime
from pathlib import Path

import dagster as dg

from ingestion import ledger
from orchestration import build as builds
from orchestration.progress import Progress
from orchestration.publish import Published, read_published
from orchestration.runs import RunMeter, single_writer
from orchestration.settings import Settings, exported
from orchestration.site import Site, waiting

# Without these Dagster sends usage statistics and covers its page with a newsletter dialog.
DAGSTER_YAML = """telemetry: {enabled: false}
nux: {enabled: false}
concurrency: {pools: {default_limit: 1}, runs: {max_concurrent_runs: 1}}
run_monitoring: {enabled: true, free_slots_after_run_end_seconds: 60}
"""


# The reason of a failure is printed by the command, its trace stands in the Dagster UI.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


# Marks the runs of this command among those of Dagster's own daemon.
BY_COMMAND = {"xianjian/by": "command"}


class RunFailed(RuntimeError):
    """A run that stopped; its message says why in Chinese and English. What was published before stands."""


def prepare_home(settings: Settings) -> None:
    """Create the home's folders, readable by their owner only, and Dagster's instance file."""
    paths = settings.paths
    for folder in (paths.home, paths.landing, paths.dagster):
        folder.mkdir(parents=True, exist_ok=True)
    paths.home.chmod(0o700)
    (paths.dagster / "dagster.yaml").write_text(DAGSTER_YAML, "utf-8")


def due(settings: Settings, now: datetime, as_of: datetime | None) -> list[str]:
    """The reasons for a run, empty when the published figures are what a run would publish."""
    paths = settings.paths
    published, newest = read_published(paths.published), ledger.last_load(paths.home)
    reasons = []
    if waiting(settings, now, as_of):
        reasons.append("有新批次 | new batches have landed")
    if published is None:
        reasons.append("尚未发布 | nothing is published yet")
    elif published.load_id != newest:
        reasons.append("有已入库未发布的数据 | loads that are not published yet")
    elif published.code != builds.code_digest():
        reasons.append("模型或契约已变更 | models or contracts have changed")
    elif published.as_of != (as_of.isoformat(sep=" ") if as_of else None):
        reasons.append("时点不同 | another as-of date")
    return reasons


def run(
    settings: Settings, progress: Progress, *, started_at: datetime, as_of: datetime | None = None, full: bool = False
) -> Published | None:
    """Do what is due and return what is published; None when nothing was due.

    `as_of`: only what had been received by then counts. `full`: build the warehouse anew. Raises Busy when another run
    writes here, RunFailed with the reason when a stage failed.
    """
    prepare_home(settings)
    with single_writer(settings.paths.home), exported(**settings.variables()):
        if not full and not due(settings, started_at, as_of):
            return None
        from orchestration.definitions import build_defs

        meter = RunMeter(settings.paths.runs, started_at)
        site = Site(settings, lambda: started_at, progress, meter, as_of, full, attended=True)
        try:
            with dg.DagsterInstance.get() as instance:
                _bury_the_killed(instance)
                result = build_defs(site).get_job_def("nightly").execute_in_process(
                    instance=instance, raise_on_error=False, run_config=QUIET, tags=BY_COMMAND
                )
        finally:
            meter.save()
        if not result.success:
            raise RunFailed(_reason(result))
        return read_published(settings.paths.published)


def _bury_the_killed(instance: dg.DagsterInstance) -> None:
    """End the runs of this command that were killed: Dagster still counts them in, and they hold the writer's slot.

    The caller holds the writer's lock, so none of them can be alive.
    """
    state = dg.DagsterRunStatus
    alive = [state.NOT_STARTED, state.STARTING, state.STARTED, state.CANCELING]
    for run in instance.get_runs(dg.RunsFilter(tags=BY_COMMAND, statuses=alive)):
        instance.report_run_failed(run, "运行被中断 | the run was killed")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """Why the run failed, without stack traces: the words of the first failed step or blocking check."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            words = (data.user_failure_data and data.user_failure_data.description) or _cause(data.error)
            return f"{event.step_key}: {words}"
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.blocking:
            return f"{check.check_name}: {check.description or '阻断性检查未通过 | a blocking check failed'}"
    return "运行失败 | the run failed"


def _cause(error: object) -> str:
    while getattr(error, "cause", None) is not None:
        error = error.cause
    return str(getattr(error, "message", error)).strip()


def demonstration_keys(folder: Path) -> bool:
    """Create the keys of a demonstration when there are none; True when they were made now."""
    from ingestion.identity import KeyRing

    return KeyRing.create_if_absent(folder)
