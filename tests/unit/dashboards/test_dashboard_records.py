"""The dashboards' records: every name leads somewhere, every text has its translation, ids never move."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from dashboards.identity import asset_id
from dashboards.records import ASSETS, LOCALES, MARTS, ROW_COLUMNS, RecordError, load, read_marts
from dashboards.render import bundle

_HAN = re.compile(r"[\u3400-\u9fff]")


@pytest.fixture(scope="module")
def source():
    return load()


@pytest.fixture(scope="module")
def files(source):
    return {path: yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) for path, text in bundle(source, "/srv/current.duckdb").items()}


def _of(files: dict, kind: str, locale: str) -> list[dict]:
    return [node for path, node in files.items() if path.startswith(f"{kind}/") and path.endswith(f"_{locale}.yaml")]


def _strings(node, key=""):
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _strings(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, key)
    elif isinstance(node, str):
        yield key, node


def test_same_records_give_the_same_bytes(source):
    assert bundle(source, "/srv/current.duckdb") == bundle(load(), "/srv/current.duckdb")


def test_ids_are_known_and_differ_by_language():
    assert asset_id("chart", "cost_kpi", "zh") == "6ac668b6-5b18-5b2f-b1b8-0055f3244a7f"
    assert asset_id("chart", "cost_kpi", "zh") != asset_id("chart", "cost_kpi", "en")


def test_no_two_assets_share_an_id(files):
    ids = [node["uuid"] for node in files.values() if "uuid" in node]
    assert len(ids) == len(set(ids))


def test_both_languages_have_the_same_pages_charts_and_datasets(files):
    for kind in ("datasets", "charts", "dashboards"):
        assert len(_of(files, kind, "zh")) == len(_of(files, kind, "en")) > 0


def test_english_bundle_holds_no_chinese(files):
    left = [(key, text) for kind in ("datasets", "charts", "dashboards") for node in _of(files, kind, "en")
            for key, text in _strings(node) if _HAN.search(text)]
    assert left == []


def test_chinese_titles_are_chinese(files):
    for node in _of(files, "charts", "zh"):
        assert _HAN.search(node["slice_name"]), node["slice_name"]
    for node in _of(files, "datasets", "zh"):
        for item in (*node["columns"], *node["metrics"]):
            assert _HAN.search(item["verbose_name"]), (node["table_name"], item["verbose_name"])


def test_no_label_is_a_raw_column_name(files):
    for locale in LOCALES:
        for node in _of(files, "datasets", locale):
            for item in (*node["columns"], *node["metrics"]):
                assert "_" not in item["verbose_name"].replace("__yhat_lower", "").replace("__yhat_upper", "").replace("__yhat", "")


def test_labels_inside_a_dataset_are_unique_where_a_chart_shows_two(source):
    for chart in source.charts.values():
        dataset = source.datasets[chart.dataset]
        shown = [n for key in ("groupby", "metrics", "all_columns") for n in chart.params.get(key) or []]
        labels = [(dataset.metrics.get(n) or dataset.columns[n]).labels for n in shown]
        for locale in LOCALES:
            names = [label[locale] for label in labels]
            assert len(names) == len(set(names)), (chart.name, names)


def test_every_text_is_used(source, files):
    asked = set()
    for path in ASSETS.rglob("*"):
        if path.is_file() and path.name != "texts.yaml":
            asked |= set(re.findall(r"@\{?([\w.]+)", path.read_text("utf-8")))
    asked |= {f"{kind}.{name}" for kind, names in (
        ("chart", source.charts), ("dataset", source.datasets), ("dashboard", source.dashboards)) for name in names}
    asked |= {f"{key}.help" for key in asked}
    for dataset in source.datasets.values():
        asked |= {f"column.{name}" for name in dataset.columns} | {f"metric.{name}" for name in dataset.metrics}
    for page in source.dashboards.values():
        asked |= {f"filter.{spec['name']}" for spec in page.filters} | set(page.colors)
    written = (ASSETS / "datasets.yaml").read_text("utf-8") + "".join(
        p.read_text("utf-8") for p in (ASSETS / "dashboards").glob("*.yaml"))
    assert [key for key in source.texts if key not in asked and key not in written] == []


def test_every_dataset_column_is_declared_by_its_mart(source):
    marts = read_marts()
    for dataset in source.datasets.values():
        declared = set(marts[dataset.mart])
        for column in dataset.columns.values():
            for locale in LOCALES:
                if plain := re.fullmatch(r'"(\w+)"', column.sql[locale]):
                    assert plain[1] in declared, (dataset.name, column.name)


def test_every_dataset_carries_what_the_row_rule_filters_on(source):
    for dataset in source.datasets.values():
        if not dataset.open:
            assert set(ROW_COLUMNS) <= set(dataset.columns), dataset.name


def test_record_level_marts_are_read_by_record_level_datasets_only(source):
    for dataset in source.datasets.values():
        assert dataset.record_level == (dataset.mart in ("mart_cost_case", "mart_cost_case_line")), dataset.name


def test_pages_for_everyone_use_no_record_level_dataset(source):
    for page in source.dashboards.values():
        levels = {source.datasets[chart.dataset].record_level for chart in page.charts.values()}
        assert page.name == "d02_cases" or levels == {False}, page.name


def test_every_page_says_through_which_day_its_data_run(source):
    for page in source.dashboards.values():
        assert any(chart.dataset == "freshness" for chart in page.charts.values()), page.name


def test_place_of_service_is_named_in_every_chart_by_institution(source):
    for name in ("cost_kpi", "cost_outpatient_fee", "cost_structure", "cost_disease", "quality_reconcile"):
        assert "（按机构" in source.text(f"chart.{name}", "zh")


def test_rows_of_a_page_are_no_wider_than_the_grid(files):
    for locale in LOCALES:
        for page in _of(files, "dashboards", locale):
            parts = page["position"]
            for part in parts.values():
                if isinstance(part, dict) and part["type"] == "ROW":
                    assert sum(parts[child]["meta"]["width"] for child in part["children"]) <= 12


def test_the_database_is_declared_read_only(files):
    node = files["databases/county_serving.yaml"]
    assert node["extra"]["engine_params"]["connect_args"]["read_only"] is True
    assert not node["allow_dml"] and not node["expose_in_sqllab"] and not node["allow_file_upload"]


def _broken(tmp_path: Path, file: str, before: str, after: str) -> Path:
    assets = tmp_path / "assets"
    shutil.copytree(ASSETS, assets)
    path = assets / file
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")
    return assets


@pytest.mark.parametrize(("file", "before", "after", "message"), [
    ("datasets.yaml", "mart: mart_cost_growth_month", "mart: mart_cost_groth_month", "no mart mart_cost_groth_month"),
    ("datasets.yaml", "sql: SUM(change_amount) / 10000, format", "sqll: SUM(change_amount) / 10000, format", "unknown key"),
    ("dashboards/d02.yaml", "metric: change_wan", "metric: change_yuan", "no metric"),
    ("dashboards/d02.yaml", "groupby: [std_dept]", "groupby: [std_department]", "no column"),
    ("dashboards/d02.yaml", "{chart: cost_selfpay, width: 6, height: 64}", "{note: note.drill, width: 6, height: 64}", "not both"),
    ("texts.yaml", "filter.payer: {zh: 险种, en: Payer}", "filter.payer: {zh: 险种}", "needs exactly a text"),
    ("texts.yaml", "chart.cost_growth:", "chart.cost_grwth:", "no text under"),
])
def test_a_name_that_leads_nowhere_is_refused(tmp_path, file, before, after, message):
    with pytest.raises(RecordError, match=message):
        load(_broken(tmp_path, file, before, after))


def test_a_mart_column_without_a_label_is_refused(tmp_path):
    marts = tmp_path / "_marts.yml"
    marts.write_text(MARTS.read_text("utf-8").replace("meta: {zh: '月份', en: 'Month'}", "meta: {zh: '月份'}", 1), "utf-8")
    with pytest.raises(RecordError, match=r"month has no label in \['en'\]"):
        load(marts=marts)


def test_roles_never_grant_sql_lab_or_writing_to_the_restricted():
    roles = yaml.safe_load((ASSETS.parent / "roles.yaml").read_text("utf-8"))
    assert not {"institution_user", "record_drill"} & set(roles["rows"]["exempt"])
    for group in roles["permissions"].values():
        for _permission, views in group:
            assert not {"SQLLab", "SavedQuery", "Database", "SQL Lab"} & set(views)
    assert roles["roles"]["institution_user"]["permissions"] == ["viewer"]
    viewer = {view for permission, views in roles["permissions"]["viewer"] if permission == "can_write" for view in views}
    assert viewer == {"DashboardFilterStateRestApi", "DashboardPermalinkRestApi", "CurrentUserRestApi"}
