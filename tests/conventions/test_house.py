"""The house rules that a reader relies on, held by reading the tree."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("quality", "ingestion", "surveillance", "dashboards", "orchestration", "data_samples")
MODULES = sorted(p for k in PACKAGES for p in (ROOT / k).rglob("*.py"))


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / n for n in names.split("\0") if n and (ROOT / n).is_file()]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), "needs a docstring: what belongs here"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py" and p.parent.parent == ROOT],
                         ids=lambda p: p.parent.name)
def test_importing_a_package_costs_nothing(path):
    body = ast.parse(path.read_text("utf-8")).body
    if path.parent.name != "surveillance":
        assert len(body) == 1, "a package's __init__ holds its docstring only"


def test_imports_run_one_way():
    done = subprocess.run([str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_code_is_tidy():
    done = subprocess.run([str(Path(sys.executable).parent / "ruff"), "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]


def test_generated_files_are_current():
    from orchestration.render import stale

    assert stale() == [], "run `xianjian contracts render`"


def test_no_address_of_a_registry_and_no_path_of_a_machine_is_committed():
    words = [b"/work" + b"/", b"pypi" + b".org", b"files.python" + b"hosted", b"registry." + b"npmjs", b"deb.debian" + b".org"]
    found = [
        (str(p.relative_to(ROOT)), w.decode()) for p in tracked() if p.suffix not in (".parquet", ".xlsx", ".png", ".gz")
        for w in words if w in p.read_bytes()
    ]
    assert found == []


def test_help_is_everywhere():
    for command in ([], ["county", "generate"], ["run"], ["status"], ["serve"], ["contracts", "render"], ["doctor"], ["bench"]):
        done = subprocess.run([str(Path(sys.executable).parent / "xianjian"), *command, "--help"],
                              capture_output=True, text=True)
        assert done.returncode == 0 and "Usage" in done.stdout
