"""The records of the indicator catalogue: they render to what is committed, and a wrong record is named."""

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "dbt_project" / "catalogue"


@pytest.fixture(scope="module")
def renderer():
    spec = spec_from_file_location("render_catalogue", FOLDER / "render_catalogue.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def records(tmp_path):
    for name in ("measures.yaml", "indicators.yaml"):
        shutil.copy(FOLDER / name, tmp_path / name)
    return tmp_path


def _change(folder: Path, name: str, edit) -> None:
    path = folder / name
    body = yaml.safe_load(path.read_text("utf-8"))
    edit(body)
    path.write_text(yaml.safe_dump(body, allow_unicode=True), "utf-8")


def test_generated_files_are_current(renderer):
    stale = [str(p.relative_to(ROOT)) for p, body in renderer.render(ROOT).items() if not p.exists() or p.read_bytes() != body]
    assert not stale, "run `xianjian contracts render`"


@pytest.mark.parametrize(("edit", "told"), [
    (lambda b: b[0].update(numerater="visits"), "COST-01: unknown keys ['numerater']"),
    (lambda b: b[0].update(numerator="visit_fees"), "COST-01: numerator names the unknown measure 'visit_fees'"),
    (lambda b: b[0].pop("numerator"), "COST-01: is computed but names no numerator"),
    (lambda b: b.append(dict(b[0])), "declared twice: ['COST-01']"),
    (lambda b: b[0].update(state="waiting"), "COST-01: state waiting needs reason_zh"),
])
def test_a_wrong_indicator_is_named(renderer, records, edit, told):
    _change(records, "indicators.yaml", edit)
    with pytest.raises(ValueError, match="indicators.yaml") as error:
        renderer.read_catalogue(records)
    assert told in str(error.value)


def test_a_wrong_measure_is_named(renderer, records):
    _change(records, "measures.yaml", lambda b: b[0].update(filter="x"))
    with pytest.raises(ValueError, match=r"measures.yaml: visits: unknown keys \['filter'\]"):
        renderer.read_catalogue(records)


def test_every_text_has_both_languages(renderer):
    _, indicators = renderer.read_catalogue(FOLDER)
    for i in indicators:
        for key in ("", "unit_", "numerator_", "denominator_", "definition_", "target_", "reason_"):
            zh, en = i.get(f"{key}zh"), i.get(f"{key}en")
            assert bool(zh) == bool(en), (i["id"], key)


def test_every_mart_column_has_both_labels():
    body = yaml.safe_load((ROOT / "dbt_project" / "models" / "marts" / "_marts.yml").read_text("utf-8"))
    for mart in body["models"]:
        assert mart["meta"]["zh"] and mart["meta"]["en"], mart["name"]
        for column in mart["columns"]:
            assert column["meta"]["zh"] and column["meta"]["en"] and column["description"], (mart["name"], column["name"])
