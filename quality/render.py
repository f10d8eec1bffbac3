"""Every file that is derived from the contracts: what it must hold, writing it, telling when it is out of date.

Put here: the list of the files. Put elsewhere: the text of each (`sources.py`, `dictionary.py`, `specification.py`).
"""

from pathlib import Path

from quality.contract import load_contracts, load_value_sets
from quality.dictionary import checks_page, extract_page, index_page, value_sets_page
from quality.sources import sources_yaml
from quality.specification import specification

SOURCES = Path("dbt_project/models/staging/_sources.yml")
DICTIONARY = Path("docs/contracts")


def render_all(root: Path) -> dict[Path, bytes]:
    """Path under `root` to the bytes it must hold."""
    contracts = load_contracts()
    pages = {f"{c.name}.md": extract_page(c) for c in contracts.values()} | {
        "README.md": index_page(contracts), "value-sets.md": value_sets_page(load_value_sets()),
        "batch-checks.md": checks_page()}
    return {root / SOURCES: sources_yaml(contracts).encode(),
            root / DICTIONARY / "extract-specification.xlsx": specification(contracts)} | {
            root / DICTIONARY / name: text.encode() for name, text in pages.items()}


def stale(root: Path) -> list[Path]:
    """The files under `root` that are missing or hold something else."""
    return [path for path, body in render_all(root).items() if not path.exists() or path.read_bytes() != body]


def write(root: Path) -> list[Path]:
    """Write what is out of date; returns the paths written."""
    rendered = render_all(root)
    outdated = [path for path, body in rendered.items() if not path.exists() or path.read_bytes() != body]
    for path in outdated:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rendered[path])
    return outdated
