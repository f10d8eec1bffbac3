"""Turns the records into the files that Superset imports, once in Chinese and once in English.

Put here: how a chart, a filter or a row of a page is written for Superset. Put elsewhere: which there are
(`assets/`), reading them (`records.py`), the import itself (`bootstrap.py`).

The result is a pure function of the records: same records, same bytes, same ids.
"""

import json
from typing import Any

import yaml

from dashboards.identity import asset_id
from dashboards.records import ASSETS, LOCALES, Chart, Dashboard, Dataset, Source

DATABASE = "county_serving"
_VERSION = "1.0.0"
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_COLUMNS = 12

# What every chart of a kind shares, so that two charts of a page never differ by accident.
_COMMON: dict[str, Any] = {"row_limit": 5000, "color_scheme": "supersetColors", "extra_form_data": {}}
_AXIS = {
    "show_legend": True, "legendOrientation": "top", "legendType": "scroll", "rich_tooltip": True,
    "showTooltipTotal": False, "tooltipTimeFormat": "%Y-%m", "x_axis_time_format": "%Y-%m", "markerEnabled": True,
    "markerSize": 4, "truncateYAxis": False, "y_axis_bounds": [None, None], "x_axis_title_margin": 30,
    "y_axis_title_margin": 18, "y_axis_title_position": "Top", "only_total": True, "time_grain_sqla": "P1M",
    "sort_series_type": "sum", "truncateXAxis": False,
}
_BY_VIZ: dict[str, dict[str, Any]] = {
    "echarts_timeseries_line": _AXIS,
    "echarts_timeseries_bar": _AXIS,
    "mixed_timeseries": {k: v for k, v in _AXIS.items() if k != "y_axis_bounds"},
    "table": {"table_timestamp_format": "%Y-%m-%d", "show_cell_bars": False, "include_search": False, "order_desc": True,
              "server_page_length": 10, "page_length": 20, "allow_rearrange_columns": True, "color_pn": False},
    "pivot_table_v2": {"metricsLayout": "COLUMNS", "aggregateFunction": "Sum", "rowOrder": "key_a_to_z",
                       "colOrder": "key_a_to_z", "transposePivot": False, "combineMetric": False},
    "box_plot": {"whiskerOptions": "Min/max (no outliers)", "y_axis_title_margin": 18,
                 "y_axis_title_position": "Top"},
    "bubble_v2": {"show_legend": True, "legendOrientation": "top", "legendType": "scroll", "tooltipSizeFormat": ",.0f",
                  "opacity": 0.65, "max_bubble_size": "40", "x_axis_title_margin": 30, "y_axis_title_margin": 45},
    "waterfall": {"show_value": True, "show_legend": False, "increase_color": {"r": 213, "g": 94, "b": 0, "a": 1},
                  "decrease_color": {"r": 0, "g": 114, "b": 178, "a": 1},
                  "total_color": {"r": 110, "g": 110, "b": 110, "a": 1}},
    "heatmap_v2": {"legend_type": "continuous", "show_legend": True, "show_percentage": False, "xscale_interval": -1,
                   "yscale_interval": -1, "left_margin": "auto", "bottom_margin": "auto", "normalize_across": "heatmap"},
    "handlebars": {"query_mode": "aggregate", "order_desc": True},
}


def _dump(node: dict[str, Any]) -> str:
    return yaml.dump(node, Dumper=_DUMPER, allow_unicode=True, sort_keys=False, width=4096)


def _translated(node: Any, source: Source, locale: str) -> Any:
    """The same node with every '@key' replaced by the catalogue's text."""
    if isinstance(node, str) and node.startswith("@"):
        return source.text(node[1:], locale)
    if isinstance(node, dict):
        return {key: _translated(value, source, locale) for key, value in node.items()}
    return [_translated(item, source, locale) for item in node] if isinstance(node, list) else node


def _database(serve_db: str) -> dict[str, Any]:
    return {
        "database_name": DATABASE,
        "sqlalchemy_uri": f"duckdb:///{serve_db}",
        "expose_in_sqllab": False,
        "allow_ctas": False, "allow_cvas": False, "allow_dml": False, "allow_run_async": False,
        "allow_file_upload": False,
        "extra": {
            "engine_params": {"connect_args": {"read_only": True, "config": {"enable_external_access": "false"}}},
            "allows_virtual_table_explore": False,
        },
        "uuid": asset_id("database", DATABASE),
        "version": _VERSION,
        "is_managed_externally": True,
    }


def _filled(text: str, source: Source, locale: str) -> str:
    """The text with every `@{key}` replaced by the catalogue's."""
    head, *rest = text.split("@{")
    return head + "".join(source.text(key, locale) + tail for key, tail in (part.split("}", 1) for part in rest))


def _dataset(dataset: Dataset, source: Source, locale: str) -> dict[str, Any]:
    select = ", ".join(f'{_filled(column.sql[locale], source, locale)} AS "{name}"' for name, column in dataset.columns.items())
    return {
        "table_name": dataset.labels[locale],
        "schema": "marts",
        "sql": dataset.query.replace("{columns}", select),
        "main_dttm_col": dataset.time,
        "filter_select_enabled": True,
        "uuid": asset_id("dataset", dataset.name, locale),
        "database_uuid": asset_id("database", DATABASE),
        "version": _VERSION,
        "is_managed_externally": True,
        "columns": [
            {"column_name": name, "verbose_name": column.labels[locale], "type": column.type,
             "is_dttm": column.is_time, "groupby": True, "filterable": True}
            for name, column in dataset.columns.items()],
        "metrics": [
            {"metric_name": name, "verbose_name": metric.labels[locale], "expression": _filled(metric.expression, source, locale),
             "d3format": metric.format}
            for name, metric in dataset.metrics.items()],
    }


def _template(name: str, source: Source, locale: str) -> str:
    """A Handlebars file as one line: Superset reads it as Markdown, in which indentation would mean code."""
    lines = (ASSETS / "templates" / f"{name}.hbs").read_text("utf-8").splitlines()
    return _filled("".join(line.strip() for line in lines), source, locale)


def _chart(chart: Chart, source: Source, locale: str) -> dict[str, Any]:
    params = {"viz_type": chart.viz, **_COMMON, **_BY_VIZ.get(chart.viz, {}), **_translated(chart.params, source, locale)}
    params["adhoc_filters"] = [
        {"expressionType": "SQL", "clause": "WHERE", "sqlExpression": condition, "filterOptionName": f"where_{n}"}
        for n, condition in enumerate(chart.where)]
    if chart.viz == "mixed_timeseries":
        params["adhoc_filters_b"] = params["adhoc_filters"]
    if chart.template:
        params["handlebarsTemplate"] = _template(chart.template, source, locale)
        params["styleTemplate"] = ""
    out = {
        "slice_name": source.text(f"chart.{chart.name}", locale),
        "viz_type": chart.viz,
        "params": params,
        "cache_timeout": None,
        "uuid": asset_id("chart", chart.name, locale),
        "dataset_uuid": asset_id("dataset", chart.dataset, locale),
        "version": _VERSION,
        "is_managed_externally": True,
    }
    if (help_key := f"chart.{chart.name}.help") in source.texts:
        out["description"] = source.text(help_key, locale)
    return out


class _Layout:
    """Writes a page's rows and tabs as Superset's flat dictionary of components."""

    def __init__(self, page: Dashboard, source: Source, locale: str) -> None:
        self.source, self.locale = source, locale
        self.chart_ids = {name: number for number, name in enumerate(page.charts, start=1)}
        self.parts: dict[str, Any] = {
            "DASHBOARD_VERSION_KEY": "v2",
            "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["GRID_ID"]},
            "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": self.text(f"dashboard.{page.name}")}},
        }
        self.add("GRID", "GRID_ID", page.layout, ["ROOT_ID"], {})

    def text(self, key: str) -> str:
        return self.source.text(key, self.locale)

    def add(self, kind: str, ident: str, items: list[Any], parents: list[str], meta: dict[str, Any]) -> str:
        path = [*parents, ident]
        children = [self.place(item, f"{ident}-{n}", path) for n, item in enumerate(items, start=1)]
        self.parts[ident] = {"id": ident, "type": kind, "children": children, "parents": parents, "meta": meta}
        return ident

    def place(self, item: Any, ident: str, parents: list[str]) -> str:
        if isinstance(item, list):
            return self.add("ROW", f"ROW-{ident}", item, parents, {"background": "BACKGROUND_TRANSPARENT"})
        if "tabs" in item:
            return self.add("TABS", f"TABS-{ident}", item["tabs"], parents, {})
        if "tab" in item:
            return self.add("TAB", f"TAB-{ident}", item["rows"], parents, {"text": self.text(item["tab"])})
        if "header" in item:
            meta = {"text": self.text(item["header"]), "headerSize": "SMALL_HEADER", "background": "BACKGROUND_TRANSPARENT"}
            return self.add("HEADER", f"HEADER-{ident}", [], parents, meta)
        size = {"width": item.get("width", _COLUMNS), "height": item["height"]}
        if "note" in item:
            return self.add("MARKDOWN", f"MARKDOWN-{ident}", [], parents, {**size, "code": self.text(item["note"])})
        name = item["chart"]
        meta = {**size, "chartId": self.chart_ids[name], "uuid": asset_id("chart", name, self.locale),
                "sliceName": self.text(f"chart.{name}")}
        return self.add("CHART", f"CHART-{ident}", [], parents, meta)


def _filter(spec: dict[str, Any], layout: _Layout) -> dict[str, Any]:
    only = set(spec.get("only", layout.chart_ids))
    excluded = sorted(n for name, n in layout.chart_ids.items() if name not in only or name in spec.get("except", ()))
    out: dict[str, Any] = {
        "id": f"NATIVE_FILTER-{spec['name']}", "type": "NATIVE_FILTER", "description": "",
        "name": layout.text(f"filter.{spec['name']}"),
        "scope": {"rootPath": ["ROOT_ID"], "excluded": excluded},
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
        "cascadeParentIds": [f"NATIVE_FILTER-{parent}" for parent in spec.get("parents", ())],
    }
    if spec.get("kind") == "time":
        return out | {"filterType": "filter_time", "targets": [{}], "controlValues": {"enableEmptyFilter": False}}
    first = {"requiredFirst": True} if spec.get("first") else {}      # applied at once, without the reader's click
    return out | first | {
        "filterType": "filter_select",
        "targets": [{"datasetUuid": asset_id("dataset", spec["dataset"], layout.locale),
                     "column": {"name": spec["column"]}}],
        "controlValues": {
            "multiSelect": spec.get("multiple", True), "enableEmptyFilter": bool(spec.get("first")),
            "defaultToFirstItem": bool(spec.get("first")), "inverseSelection": False, "searchAllOptions": True,
            "sortAscending": not spec.get("descending", False),
        },
    }


def slug_of(page: Dashboard, locale: str) -> str:
    """The page's address: Chinese has the plain one."""
    return page.slug if locale == LOCALES[0] else f"{page.slug}-{locale}"


def _dashboard(page: Dashboard, source: Source, locale: str) -> dict[str, Any]:
    layout = _Layout(page, source, locale)
    return {
        "dashboard_title": source.text(f"dashboard.{page.name}", locale),
        "description": source.text(f"dashboard.{page.name}.help", locale),
        "css": (ASSETS / "page.css").read_text("utf-8"),
        "slug": slug_of(page, locale),
        "published": True,
        "uuid": asset_id("dashboard", page.name, locale),
        "version": _VERSION,
        "is_managed_externally": True,
        "position": layout.parts,
        "metadata": {
            "cross_filters_enabled": True,
            "global_chart_configuration": {"scope": {"rootPath": ["ROOT_ID"], "excluded": []}},
            "chart_configuration": {},
            "native_filter_configuration": [_filter(spec, layout) for spec in page.filters],
            "color_scheme": "supersetColors", "refresh_frequency": 0, "timed_refresh_immune_slices": [],
            "expanded_slices": {}, "default_filters": json.dumps({}), "label_colors": {source.text(key, locale): color for key, color in page.colors.items()}, "shared_label_colors": [],
            "filter_bar_orientation": "HORIZONTAL",
        },
    }


def bundle(source: Source, serve_db: str, locales: tuple[str, ...] = LOCALES) -> dict[str, str]:
    """Path inside the bundle -> YAML text, ready for Superset's asset import."""
    files = {
        "metadata.yaml": {"version": _VERSION, "type": "assets", "timestamp": "2026-01-01T00:00:00+00:00"},
        f"databases/{DATABASE}.yaml": _database(serve_db),
    }
    for locale in locales:
        for dataset in source.datasets.values():
            files[f"datasets/{DATABASE}/{dataset.name}_{locale}.yaml"] = _dataset(dataset, source, locale)
        for chart in source.charts.values():
            files[f"charts/{chart.name}_{locale}.yaml"] = _chart(chart, source, locale)
        for page in source.dashboards.values():
            files[f"dashboards/{page.name}_{locale}.yaml"] = _dashboard(page, source, locale)
    return {path: _dump(node) for path, node in files.items()}
