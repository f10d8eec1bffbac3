"""Landing zone → loads: one asset an extract, the ledger, the quarantine, the feedback workbooks."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from ingestion import ledger
from ingestion.identity import KeyRing, KeysUnusable
from ingestion.load import ingest
from ingestion.normalise import header_finder
from ingestion.profile import load_checked
from orchestration.site import WRITER, Site, failure, retried
from quality.contract import load_contracts
from quality.feedback import write_feedback

LANDING, LEDGER, QUARANTINE, FEEDBACK = (dg.AssetKey(k) for k in ("landing", "ledger", "quarantine", "feedback"))


def staged_key(extract: str) -> dg.AssetKey:
    """The asset of an extract's staged Parquet."""
    return dg.AssetKey(["staged", extract])


def ingestion_assets(site: Site) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The landing zone (external), the loads that are made from it, and the feedback to its senders."""
    settings, contracts = site.settings, load_contracts()
    landing = dg.AssetSpec(
        LANDING, group_name="landing", kinds={"file"},
        description="各机构上报目录:批次清单与文件 | What the institutions handed over: manifests and files",
    )
    staged = [
        dg.AssetSpec(staged_key(c.name), deps=[LANDING], group_name="ingestion", kinds={"parquet", "pandera"},
                     description=f"{c.zh}(已通过契约校验) | {c.en}: rows that passed their contract")
        for c in contracts.values()
    ]
    books = [
        dg.AssetSpec(LEDGER, deps=[LANDING], group_name="ingestion", kinds={"parquet"},
                     description="批次台账:收到、入库、隔离、重复 | The batch ledger: received, staged, quarantined, duplicate"),
        dg.AssetSpec(QUARANTINE, deps=[LANDING], group_name="quality", kinds={"parquet"},
                     description="隔离区:问题行及其全部原因 | Quarantine: rows set aside, with every reason"),
    ]

    @dg.multi_asset(
        name="loads", specs=[*staged, *books], pool=WRITER,
        check_specs=[dg.AssetCheckSpec(
            "conservation", asset=LEDGER, blocking=True,
            description="每批:收到 = 入库 + 隔离 + 重复 | For every batch: received = staged + quarantined + duplicate",
        )],
    )
    def loads(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        paths = settings.paths
        try:
            keys = KeyRing.load(paths.keys)
        except KeysUnusable as error:
            raise failure(*str(error).split(" | ", 1)) from error
        with site.stage("ingest") as size, retried():
            summary = ingest(
                paths.home, paths.landing, keys, as_of=site.as_of, now=site.clock(), progress=site.progress,
                max_load_bytes=settings.max_load_mib * 2**20, refusal_share=settings.refusal_share,
                quiet_seconds=settings.quiet_seconds,
            )
            size |= {"bytes": summary.bytes, "rows": summary.rows_received}
        context.log.info("loads committed: %d, rows received: %d", len(summary.load_ids), summary.rows_received)
        for spec in staged:
            name = spec.key.path[-1]
            yield dg.MaterializeResult(spec.key, metadata={"rows_staged": summary.staged.get(name, 0)})
        yield dg.MaterializeResult(LEDGER, metadata={
            "loads": len(summary.load_ids), "rows_received": summary.rows_received,
            "rows_staged": summary.rows_staged, "rows_quarantined": summary.rows_quarantined,
            "rows_duplicate": summary.rows_duplicate,
        })
        yield dg.MaterializeResult(QUARANTINE, metadata={"rows_quarantined": summary.rows_quarantined})
        broken = ledger.conservation_breaks(paths.home)
        yield dg.AssetCheckResult(
            passed=not broken, check_name="conservation", asset_key=LEDGER, metadata={"batches_broken": len(broken)},
            description=None if not broken else f"台账不守恒的批次 | batches that do not add up: {', '.join(broken[:20])}",
        )

    @dg.asset(key=FEEDBACK, deps=[LEDGER, QUARANTINE], group_name="quality", kinds={"excel"},
              description="反馈工作簿:每家机构自己的问题行、规则与改法 | Feedback workbooks: each institution's own faults and their mend")
    def feedback(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with site.stage("feedback") as size, retried():
            written = write_all_feedback(site)
            size["rows"] = written
        return dg.MaterializeResult(metadata={"workbooks": written})

    return [landing, loads, feedback]


def write_all_feedback(site: Site) -> int:
    """Write one workbook for each (load, sender) that has findings and no workbook yet; returns how many."""
    home, out, contracts, written = site.settings.paths.home, site.settings.paths.feedback, load_contracts(), 0
    profiles = load_checked(contracts)
    loads = [p for p in ledger.load_folders(home) if not (out / ".done" / p.name).exists()]
    site.progress.stage("反馈工作簿 | feedback workbooks", len(loads))
    for folder in loads:
        findings = pl.read_parquet(folder / "findings.parquet")
        batches, files = (pl.read_parquet(folder / f"{name}.parquet") for name in ("batches", "files"))
        header_of = header_finder(batches, contracts, profiles)
        refused = batches.filter(pl.col("status") == "refused")["sender"]
        for sender in sorted({*findings["sender"].unique(), *refused.unique()} - {None}):
            own = pl.col("sender") == sender
            target = out / sender / f"{folder.name}.xlsx"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_feedback(target, sender, batches.filter(own), files.filter(own), findings.filter(own), contracts,
                           header_of=header_of)
            written += 1
        (out / ".done").mkdir(parents=True, exist_ok=True)
        (out / ".done" / folder.name).touch()
        site.progress.item(folder.name)
    return written
