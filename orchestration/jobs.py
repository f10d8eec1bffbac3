"""Jobs, schedules and the landing sensor: when things run, each with the reason for its hour (Asia/Shanghai)."""

import dagster as dg

from orchestration.site import Site, waiting
from quality.contract import TIMEZONE

nightly = dg.define_asset_job(
    "nightly", dg.AssetSelection.all(),
    description="全流程:收数、校验、建模、发布 | The whole way: files in, contracts, star, marts, publish",
)

# The daily files are due at 06:00, bed reports and cards by 10:00 the same day; villages send after that. Half past
# two in the night sees all of yesterday, and leaves three hours before the first reader.
NIGHT = dg.ScheduleDefinition(
    name="nightly_0230", job=nightly, cron_schedule="30 2 * * *", execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="每日02:30 | every night",
)

# Front pages and the finance report are due on the 10th: on the 11th the month before is as complete as it gets.
MONTH_CLOSE = dg.ScheduleDefinition(
    name="month_close_11th_0400", job=nightly, cron_schedule="0 4 11 * *", execution_timezone=TIMEZONE,
    tags={"xianjian/purpose": "month_close"}, default_status=dg.DefaultScheduleStatus.RUNNING,
    description="每月11日04:00:首页与财务月报已到齐 | on the 11th, when front pages and finance have arrived",
)


def landing_sensor(site: Site) -> dg.SensorDefinition:
    """Asks for a run when batches wait that no run has taken; the same waiting batches ask once."""

    @dg.sensor(job=nightly, name="landing_zone", minimum_interval_seconds=300,
               default_status=dg.DefaultSensorStatus.RUNNING,
               description="上报目录有新批次时启动 | starts a run when new batches have landed")
    def landing_zone(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        fingerprint = waiting(site.settings, site.clock())
        if fingerprint is None:
            return dg.SkipReason("没有待处理批次 | nothing is waiting")
        return dg.RunRequest(run_key=fingerprint)

    return landing_zone
