"""What `xianjian status` says: batches, freshness, what is published."""

from typing import Any

from rich.console import Console
from rich.table import Table

from ingestion import ledger
from orchestration.publish import read_published
from orchestration.settings import Settings

NUMBERS = ("rows_received", "rows_staged", "rows_quarantined", "rows_duplicate")


def read_status(settings: Settings) -> dict[str, Any]:
    """`batches` (a dict each, with the four numbers), `totals`, `freshness` and `published`."""
    paths = settings.paths
    batches = ledger.status(paths.home)
    now = read_published(paths.published)
    received = [b["received_at"] for b in batches]
    through = [b["period_to"] for b in batches if b["status"] == "accepted" and b["period_to"]]
    return {
        "batches": batches,
        "totals": {n: sum(b[n] for b in batches) for n in NUMBERS},
        "freshness": {
            "last_received_at": max(received, default=None), "data_through": max(through, default=None),
            "last_load": ledger.last_load(paths.home),
        },
        "published": None if now is None else {
            "version": now.version, "load_id": now.load_id, "as_of": now.as_of, "tables": now.tables, "rows": now.rows,
            "path": str(now.path),
        },
    }


def show_status(body: dict[str, Any], console: Console) -> None:
    """The same for a person: totals by sender, and the batches that did not get through."""
    table = Table("机构 | sender", "批次 | batches", "收到", "入库", "隔离", "重复", title="台账 | ledger")
    senders: dict[str, list[dict]] = {}
    for batch in body["batches"]:
        senders.setdefault(batch["sender"], []).append(batch)
    for sender, own in sorted(senders.items()):
        table.add_row(sender, str(len(own)), *(f"{sum(b[n] for b in own):,}" for n in NUMBERS))
    table.add_section()
    table.add_row("合计 | total", str(len(body["batches"])), *(f"{body['totals'][n]:,}" for n in NUMBERS))
    console.print(table)
    for batch in body["batches"]:
        if batch["status"] == "refused":
            console.print(f"退回 | refused {batch['batch_id']}: {batch['reason_zh']} | {batch['reason_en']}")
    fresh, now = body["freshness"], body["published"]
    console.print(f"数据截至 | data through {fresh['data_through']}; 最近接收 | last received {fresh['last_received_at']}")
    if now is None:
        console.print("尚未发布 | nothing is published yet")
    else:
        console.print(f"已发布第 {now['version']} 版 | published version {now['version']}: load {now['load_id']}, "
                      f"{now['tables']} tables, {now['rows']:,} rows")
