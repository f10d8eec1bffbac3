"""Every generated file of the repository: contracts' and catalogue's, written or held against what is committed."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from orchestration.settings import REPOSITORY
from quality.render import render_all


def _catalogue() -> dict[Path, bytes]:
    """The dbt project's own renderer; the folder holds SQL and records and is no package."""
    spec = spec_from_file_location("render_catalogue", REPOSITORY / "dbt_project" / "catalogue" / "render_catalogue.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.render(REPOSITORY)


def rendered() -> dict[Path, bytes]:
    """Path in the repository to the bytes it must hold."""
    return render_all(REPOSITORY) | _catalogue()


def write() -> list[str]:
    """Write what differs; returns the paths written."""
    changed = []
    for path, body in rendered().items():
        if not path.exists() or path.read_bytes() != body:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            changed.append(str(path.relative_to(REPOSITORY)))
    return changed


def stale() -> list[str]:
    """The generated files that are not what the records say."""
    return [str(p.relative_to(REPOSITORY)) for p, body in rendered().items() if not p.exists() or p.read_bytes() != body]
