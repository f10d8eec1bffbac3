"""The Dagster code location: the graph reads as the architecture's picture, and runs start when they should."""

import dagster as dg
import pytest

from data_samples.restore import lay_out
from ingestion.identity import KeyRing
from orchestration.definitions import build_defs
from orchestration.settings import Settings, exported
from orchestration.site import Site
from quality.contract import load_contracts


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Site:
    home = tmp_path_factory.mktemp("home")
    KeyRing.create_if_absent(home / "keys")
    return Site(Settings(home=home, key_dir=home / "keys"))


@pytest.fixture(scope="module")
def definitions(site) -> dg.Definitions:
    with exported(**site.settings.variables()):
        return build_defs(site)


@pytest.fixture(scope="module")
def graph(definitions):
    return definitions.resolve_asset_graph()


def upstream(graph, key: dg.AssetKey) -> set[dg.AssetKey]:
    seen, todo = set(), [key]
    while todo:
        for parent in graph.get(todo.pop()).parent_keys - seen:
            seen.add(parent)
            todo.append(parent)
    return seen


def test_every_extract_flows_from_the_landing_zone_to_the_dashboards(graph):
    behind = upstream(graph, dg.AssetKey(["superset", "d02"]))
    assert dg.AssetKey("landing") in behind and dg.AssetKey("published") in behind
    staged = {k.path[1] for k in behind if k.path[0] == "staged"}
    assert staged == set(load_contracts())


def test_groups_are_the_layers(graph):
    groups = {graph.get(k).group_name for k in graph.get_all_asset_keys()}
    assert groups >= {"landing", "ingestion", "quality", "staging", "core", "intermediate", "marts", "serving", "dashboards"}


def test_conservation_blocks(graph):
    check = dg.AssetCheckKey(dg.AssetKey("ledger"), "conservation")
    assert graph.get(check).blocking


def test_whatever_writes_is_in_the_pool_of_one(definitions):
    pools = {a.op.pool for a in definitions.assets if isinstance(a, dg.AssetsDefinition) and a.op.name != "feedback"}
    assert pools == {"warehouse_writer"}


def test_schedules_are_in_shanghai_time(definitions):
    assert {s.execution_timezone for s in definitions.schedules} == {"Asia/Shanghai"}


def test_the_sensor_asks_once_for_the_same_batches(site, definitions):
    sensor = definitions.get_sensor_def("landing_zone")
    with dg.instance_for_test() as instance:
        assert isinstance(sensor(dg.build_sensor_context(instance)), dg.SkipReason)
        lay_out(site.settings.paths.home)
        first, second = (sensor(dg.build_sensor_context(instance)) for _ in range(2))
    assert first.run_key == second.run_key
