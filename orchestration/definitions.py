"""The Dagster code location: assembled by a function over settings; the last line is the only one that reads them."""

import dagster as dg

from orchestration.assets.ingestion import ingestion_assets
from orchestration.assets.serving import serving_assets, serving_checks
from orchestration.assets.warehouse import warehouse_assets
from orchestration.jobs import MONTH_CLOSE, NIGHT, landing_sensor, nightly
from orchestration.settings import Settings
from orchestration.site import Site


def build_defs(site: Site) -> dg.Definitions:
    """Every asset, check, job, schedule and sensor of one installation."""
    warehouse = warehouse_assets(site)
    return dg.Definitions(
        assets=[*ingestion_assets(site), warehouse, *serving_assets(site, warehouse)],
        asset_checks=serving_checks(site),
        jobs=[nightly],
        schedules=[NIGHT, MONTH_CLOSE],
        sensors=[landing_sensor(site)],
        # One process: each further one costs about five CPU seconds of imports, and there is one writer anyway.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs(Site(Settings.load()))
