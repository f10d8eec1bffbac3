"""D02, its cases and D14 in a real Superset: every chart answers, each reader sees only its rows, pages draw in Chromium."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

import dashboards_fixture as fixture  # noqa: E402  (helpers stand beside this file)
from dashboards_api import Client, query_of  # noqa: E402
from dashboards_server import ROOT, VENV, Server, bootstrap, start  # noqa: E402

from dashboards.identity import asset_id  # noqa: E402
from dashboards.records import LOCALES, load  # noqa: E402

BROWSER = ("/usr/bin/chromium", "/usr/bin/chromedriver")
FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
PAGES = ("d02-cost", "d02-cost-en", "d14-quality", "d14-quality-en", "d02-cases", "d02-cases-en")
# What a month may truly lack; every other chart must have rows.
MAY_BE_EMPTY = {"cost_alert", "quality_failed", "quality_restated", "quality_rows", "quality_pareto", "case_lines",
                "quality_runs"}

pytestmark = pytest.mark.skipif(not (VENV / "bin" / "gunicorn").exists(), reason="no .venv-superset: run `make setup`")


@pytest.fixture(scope="session")
def made_up(tmp_path_factory) -> Path:
    return fixture.make(tmp_path_factory.mktemp("serving") / "wh_1.duckdb")


@pytest.fixture(scope="session")
def server(tmp_path_factory, made_up):
    running = start(tmp_path_factory.mktemp("dashboards"), made_up)
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.fixture
def on_made_up(server, made_up) -> Server:
    server.publish(made_up)
    return server


@pytest.fixture(scope="session")
def clients(server):
    """One login per account for the whole session: logins are rate-limited, as they should be."""
    return {name: Client(server.base, name, server.password(name)) for name in ("admin", "analyst", "institution", "casereader")}


@pytest.fixture(scope="session")
def source():
    return load()


def _by_uuid(client: Client, kind: str) -> dict[str, dict]:
    return {row["uuid"]: row for row in client.listed(kind)}


def _charts(client: Client, source):
    """(name, locale, dataset id, params) of every chart the client can see."""
    datasets = {row["uuid"]: row["id"] for row in client.listed("dataset")}
    listed = _by_uuid(client, "chart")
    for name, chart in source.charts.items():
        for locale in LOCALES:
            row = listed.get(asset_id("chart", name, locale))
            dataset = datasets.get(asset_id("dataset", chart.dataset, locale))
            if row and dataset:
                status, full = client.call("GET", f"/api/v1/chart/{row['id']}")
                assert status == 200, (name, full)
                yield name, locale, dataset, json.loads(full["result"]["params"])


def _rows(client: Client, dataset: int, query: dict) -> list[dict]:
    status, answer = client.data(dataset, query)
    assert status == 200, answer
    assert answer["result"][0].get("error") is None, answer["result"][0]
    return answer["result"][0]["data"]


def _check_every_chart(client: Client, source) -> None:
    seen, empty, failed = 0, [], []
    for name, locale, dataset, params in _charts(client, source):
        status, answer = client.data(dataset, query_of(params))
        seen += 1
        if status != 200 or answer["result"][0].get("error"):
            failed.append((name, locale, str(answer)[:400]))
        elif not answer["result"][0]["data"] and name not in MAY_BE_EMPTY:
            empty.append((name, locale))
    assert failed == []
    assert empty == []
    assert seen == 2 * len(source.charts)


def test_every_chart_answers_in_both_languages(on_made_up, clients, source):
    _check_every_chart(clients["casereader"], source)


def test_every_filter_offers_something(on_made_up, clients, source):
    datasets = {row["uuid"]: row["id"] for row in clients["analyst"].listed("dataset")}
    for page in source.dashboards.values():
        for spec in page.filters:
            if spec.get("kind", "select") == "select":
                for locale in LOCALES:
                    query = {"columns": [spec["column"]], "metrics": [], "filters": [], "row_limit": 50}
                    assert _rows(clients["analyst"], datasets[asset_id("dataset", spec["dataset"], locale)], query), spec


def test_a_chosen_institution_narrows_county_rows_to_its_own(on_made_up, clients, source):
    params = {n: (d, p) for n, loc, d, p in _charts(clients["analyst"], source) if loc == "zh"}
    dataset, wanted = params["cost_outpatient_fee"]
    county = _rows(clients["analyst"], dataset, query_of(wanted))
    one = [{"col": "institution_name", "op": "IN", "val": ["县人民医院"]}]
    own = _rows(clients["analyst"], dataset, query_of(wanted, one))
    assert len(county) == len(own) == 24
    assert county != own


@pytest.mark.parametrize("locale", LOCALES)
def test_an_institution_sees_its_own_rows_and_the_county(on_made_up, clients, source, locale):
    client = clients["institution"]
    own = yaml.safe_load((on_made_up.home / "institution_users.yaml").read_text("utf-8"))["institution"]
    datasets = {row["uuid"]: row["id"] for row in client.listed("dataset")}
    seen_own = 0
    for dataset in source.datasets.values():
        ident = asset_id("dataset", dataset.name, locale)
        if dataset.record_level:
            assert ident not in datasets
            continue
        if dataset.open:
            assert _rows(client, datasets[ident], {"columns": [next(iter(dataset.columns))], "metrics": [], "row_limit": 5})
            continue
        query = {"columns": ["level", "institution_code"], "metrics": [], "row_limit": 5000}
        rows = _rows(client, datasets[ident], query)
        foreign = [r for r in rows if r["level"] != "county" and r["institution_code"] != own]
        assert foreign == [], (dataset.name, foreign[:3])
        seen_own += any(r["institution_code"] == own for r in rows)
        if locale != LOCALES[0]:
            continue
        # neither a filter of one's own making nor a clause lifts the rule
        for extra in ({"filters": [{"col": "institution_code", "op": "==", "val": fixture.OTHER_INSTITUTION}]},
                      {"extras": {"where": f"1 = 1 OR institution_code = '{fixture.OTHER_INSTITUTION}'"}}):
            got = _rows(client, datasets[ident], query | extra)
            assert [r for r in got if r["level"] != "county" and r["institution_code"] != own] == [], dataset.name
    assert seen_own > 15


def test_an_institution_cannot_read_past_its_datasets(on_made_up, clients, source):
    client, admin = clients["institution"], clients["admin"]
    records = [row["id"] for row in admin.listed("dataset")
               if row["uuid"] in {asset_id("dataset", n, "zh") for n, d in source.datasets.items() if d.record_level}]
    assert len(records) == 2
    for dataset in records:
        assert client.data(dataset, {"columns": ["case_key"], "metrics": [], "row_limit": 5})[0] in (401, 403)
    database = admin.call("GET", "/api/v1/database/")[1]["result"][0]["id"]
    for name in ("institution", "analyst", "casereader"):
        status, answer = clients[name].call("POST", "/api/v1/sqllab/execute/", {
            "database_id": database, "sql": "SELECT * FROM marts.mart_cost_case", "schema": "marts"})
        assert status in (401, 403), (name, answer)
    fee = {row["uuid"]: row["id"] for row in client.listed("dataset")}[asset_id("dataset", "fee", "zh")]
    status, answer = client.data(fee, {"columns": [], "row_limit": 5, "metrics": [{
        "expressionType": "SQL", "label": "x", "sqlExpression": "(SELECT MAX(total_fee) FROM marts.mart_cost_case)"}]})
    assert status != 200 or answer["result"][0].get("error"), answer


def test_cases_are_not_exported_and_an_institution_exports_nothing(on_made_up, clients):
    datasets = {row["uuid"]: row["id"] for row in clients["casereader"].listed("dataset")}

    def export(user: str, name: str) -> int:
        return clients[user].call("POST", "/api/v1/chart/data", {
            "datasource": {"id": datasets[asset_id("dataset", name, "zh")], "type": "table"}, "force": True,
            "result_format": "csv", "result_type": "full",
            "queries": [{"columns": ["institution_name"], "metrics": [], "row_limit": 5}]}, raw=True)[0]

    assert export("analyst", "fee") == 200
    assert export("casereader", "fee") == 200
    assert export("casereader", "case") == 403
    assert export("admin", "case") == 403
    assert export("institution", "fee") == 403


def test_a_reader_without_an_institution_sees_nothing(on_made_up, clients, source):
    mapping = on_made_up.home / "institution_users.yaml"
    kept = mapping.read_text("utf-8")
    datasets = {row["uuid"]: row["id"] for row in clients["institution"].listed("dataset")}
    try:
        for content, asked in (("{}\n", list(source.datasets)), ("institution: \"x' OR '1'='1\"\n", ["fee", "kpi"])):
            mapping.write_text(content, "utf-8")
            for dataset in (source.datasets[name] for name in asked):
                if not dataset.record_level:
                    query = {"columns": [next(iter(dataset.columns))], "metrics": [], "row_limit": 5}
                    assert _rows(clients["institution"], datasets[asset_id("dataset", dataset.name, "zh")], query) == []
    finally:
        mapping.write_text(kept, "utf-8")


def test_a_dataset_without_a_rule_yields_no_rows(on_made_up, clients):
    admin, client = clients["admin"], clients["institution"]
    fee = {row["uuid"]: row["id"] for row in admin.listed("dataset")}[asset_id("dataset", "fee", "zh")]
    query = {"columns": ["level"], "metrics": [], "row_limit": 5}
    rule = next(r for r in admin.listed("rowlevelsecurity") if r["name"] == "own rows and the county")
    full = admin.call("GET", f"/api/v1/rowlevelsecurity/{rule['id']}")[1]["result"]
    body = {"name": full["name"], "filter_type": full["filter_type"], "clause": full["clause"], "group_key": "",
            "roles": [r["id"] for r in full["roles"]]}
    tables = [t["id"] for t in full["tables"]]
    assert _rows(client, fee, query)
    try:
        status, answer = admin.call("PUT", f"/api/v1/rowlevelsecurity/{rule['id']}",
                                    body | {"tables": [t for t in tables if t != fee]})
        assert status in (200, 201), answer
        assert _rows(client, fee, query) == []
    finally:
        admin.call("PUT", f"/api/v1/rowlevelsecurity/{rule['id']}", body | {"tables": tables})
    assert _rows(client, fee, query)


def test_bootstrap_again_changes_nothing_and_removes_what_is_retired(on_made_up, clients):
    admin = clients["admin"]
    dataset = admin.listed("dataset")[0]["id"]
    for name, ours in (("retired by us", True), ("made by a person", False)):
        status, answer = admin.call("POST", "/api/v1/chart/", {
            "slice_name": name, "viz_type": "table", "datasource_id": dataset, "datasource_type": "table",
            "is_managed_externally": ours})
        assert status == 201, answer
    before = {kind: set(_by_uuid(admin, kind)) for kind in ("chart", "dataset", "dashboard")}
    passwords = (on_made_up.home / "logins.yaml").read_text("utf-8")
    done = bootstrap(on_made_up.env)
    assert done.returncode == 0, done.stderr[-2000:]
    after = {kind: set(_by_uuid(admin, kind)) for kind in ("chart", "dataset", "dashboard")}
    assert after["dataset"] == before["dataset"] and after["dashboard"] == before["dashboard"]
    assert len(before["chart"] - after["chart"]) == 1 and not after["chart"] - before["chart"]
    assert {row["slice_name"] for row in admin.listed("chart")} >= {"made by a person"}
    assert (on_made_up.home / "logins.yaml").read_text("utf-8") == passwords
    made = next(row for row in admin.listed("chart") if row["slice_name"] == "made by a person")
    admin.call("DELETE", f"/api/v1/chart/{made['id']}")


def test_secrets_are_readable_by_the_owner_only(on_made_up):
    for name in ("logins.yaml", "institution_users.yaml"):
        assert (on_made_up.home / name).stat().st_mode & 0o077 == 0


def test_a_connection_that_can_write_stops_the_bootstrap(on_made_up, made_up, tmp_path):
    home, writable = tmp_path / "home", tmp_path / "writable.duckdb"
    shutil.copytree(on_made_up.home, home)
    shutil.copy(made_up, writable)
    loosened = (
        "import dashboards.render as r\n"
        "strict = r._database\n"
        "def loose(path):\n"
        "    node = strict(path)\n"
        "    node['extra']['engine_params']['connect_args'] = {'read_only': False}\n"
        "    return node\n"
        "r._database = loose\n"
        "import runpy, sys\n"
        "runpy.run_path('dashboards/bootstrap.py', run_name='__main__')\n")
    env = on_made_up.env | {"SUPERSET_HOME": str(home), "XIANJIAN_SERVE_DB": str(writable), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([VENV / "bin" / "python", "-c", loosened], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "it must be read-only" in done.stderr


def test_bootstrap_without_a_serving_file_says_what_to_do(on_made_up, tmp_path):
    done = bootstrap(on_made_up.env | {"XIANJIAN_SERVE_DB": str(tmp_path / "none.duckdb")})
    assert done.returncode == 1
    assert "run the pipeline first" in done.stderr


def test_every_chart_answers_on_the_real_county(server, county_site, clients, source):
    server.publish(county_site.published.resolve())
    _check_every_chart(clients["casereader"], source)


def _browser_missing() -> list[str]:
    return [path for path in (*BROWSER, FONT) if not Path(path).exists()]


@pytest.mark.browser
def test_pages_draw_in_chromium(server, county_site, tmp_path):
    if missing := _browser_missing():
        if os.geteuid() != 0:
            pytest.skip(f"missing {', '.join(missing)}: as root, run `make browser`")
        pytest.fail(f"missing {', '.join(missing)}: run `make browser`")
    server.publish(county_site.published.resolve())
    shots = Path(os.environ.get("XIANJIAN_SHOTS", tmp_path / "shots"))
    for user, pages in (("casereader", PAGES), ("institution", ("d02-cost", "d14-quality"))):
        request = tmp_path / "request.json"
        request.write_text(json.dumps({
            "base": server.base, "username": user, "password": server.password(user), "shots": str(shots / user),
            "pages": [{"slug": slug, "locale": "en" if slug.endswith("-en") else "zh"} for slug in pages]}), "utf-8")
        done = subprocess.run([VENV / "bin" / "python", Path(__file__).parent / "dashboards_browse.py", request],
                              capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-2000:]
        report = json.loads(done.stdout.splitlines()[-1])
        assert report["foreign"] == []
        for page in report["pages"]:
            assert page["tabs"], page["slug"]
            for tab in page["tabs"]:
                assert tab["failed"] == [], (page["slug"], tab["label"], tab["failed"])
                assert tab["loading"] == 0, (page["slug"], tab["label"])
                if user == "casereader":
                    may_lack = {load().text(f"chart.{n}", loc) for n in MAY_BE_EMPTY for loc in LOCALES}
                    assert [name for name in tab["empty"] if name not in may_lack] == [], (page["slug"], tab["label"])
                assert tab["drawn"]
