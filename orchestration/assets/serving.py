"""The published file, and the dashboards that read it."""

import dagster as dg

from ingestion import ledger
from orchestration import build as builds
from orchestration.publish import publish, read_published
from orchestration.site import WRITER, Site, failure, retried

PUBLISHED = dg.AssetKey("published")
DASHBOARDS = {"D02": "医疗费用监测 | Medical cost monitoring", "D14": "数据质量、上报与数据使用 | Data quality and submission"}


def serving_assets(site: Site, warehouse: dg.AssetsDefinition) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """`published`, after every model and its blocking tests; the dashboards as external assets behind it."""
    settings = site.settings

    @dg.asset(key=PUBLISHED, deps=list(warehouse.keys), group_name="serving", kinds={"duckdb"}, pool=WRITER,
              description="发布文件:通过全部阻断性检查后原子切换 | The serving file, swapped in after the blocking checks")
    def published(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        build = builds.current(settings.paths.build)
        if build is None:
            raise failure("没有可发布的构建,请先运行数仓构建", "there is no build to publish; run the warehouse assets first")
        site.progress.stage("发布 | publish", 1)
        with site.stage("publish") as size, retried():
            now = publish(settings.paths.build / build.path.name, settings.paths.published,
                          load_id=ledger.last_load(settings.paths.home), code=build.code, as_of=build.as_of,
                          keep=settings.keep_published)
            size |= {"bytes": now.path.stat().st_size, "rows": now.rows}
        site.progress.item(now.path.name)
        return dg.MaterializeResult(metadata={"version": now.version, "tables": now.tables, "rows": now.rows})

    boards = [
        dg.AssetSpec(["superset", code.lower()], deps=[PUBLISHED], group_name="dashboards", kinds={"superset"},
                     description=f"{code} {title}")
        for code, title in DASHBOARDS.items()
    ]
    return [published, *boards]


def serving_checks(site: Site) -> list[dg.AssetChecksDefinition]:
    """What readers get is what was built."""

    @dg.asset_check(asset=PUBLISHED, description="已发布版本可读、非空且与最新入库一致 | The version that readers open is whole, not empty and of the newest load")
    def readable() -> dg.AssetCheckResult:
        now = read_published(site.settings.paths.published)
        newest = ledger.last_load(site.settings.paths.home)
        ok = now is not None and now.rows > 0 and now.load_id == newest
        return dg.AssetCheckResult(passed=ok, metadata={"version": now.version if now else 0, "rows": now.rows if now else 0})

    return [readable]
