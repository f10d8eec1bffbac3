"""The source records of `assets/` and the marts' interface, read and checked: every name in them must lead somewhere.

Put here: reading, joining and refusing. Put elsewhere: what Superset wants to have of it (`render.py`).

The marts' columns, their types and their Chinese and English labels are declared once, in the dbt project's
`_marts.yml`; the records of `assets/` only say which of them a chart uses, and how they add up.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ASSETS = HERE / "assets"
MARTS = HERE.parent / "dbt_project" / "models" / "marts" / "_marts.yml"
LOCALES = ("zh", "en")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)      # the compiled one reads the marts ten times as fast

ROW_COLUMNS = ("level", "institution_code")      # what the row rule of roles.yaml filters on
# The level whose rows a reader looks at: exact county rows, until the choice is narrower than the county.
SCOPE = ("'{{ \"institution\" if filter_values(\"institution_name\") or filter_values(\"township_name\") "
         "or filter_values(\"level_name\") or filter_values(\"ownership\") or current_institution() else \"county\" }}'")

_METRIC_PARAMS = ("metric", "metrics", "metrics_b", "secondary_metric", "x", "y", "size", "timeseries_limit_metric",
                  "percent_metrics")
_COLUMN_PARAMS = ("groupby", "groupby_b", "columns", "x_axis", "all_columns", "groupbyRows", "groupbyColumns",
                  "series", "entity")


class RecordError(ValueError):
    """A record that cannot be drawn; the message names file, record and how to mend it."""


def _known(where: str, record: dict[str, Any], keys: set[str]) -> None:
    if unknown := set(record) - keys:
        raise RecordError(f"{where}: unknown key {sorted(unknown)}; known are {sorted(keys)}")


@dataclass(frozen=True)
class Column:
    """A column that a chart can use; `@{key}` in its SQL stands for a text of the catalogue."""

    name: str
    type: str
    labels: dict[str, str]
    sql: dict[str, str]

    @property
    def is_time(self) -> bool:
        return self.type.startswith(("DATE", "TIMESTAMP"))


@dataclass(frozen=True)
class Metric:
    """A figure that may be shown; `@{key}` in its SQL stands for a text of the catalogue."""

    name: str
    expression: str
    format: str | None
    labels: dict[str, str]


@dataclass(frozen=True)
class Dataset:
    """A mart as the charts see it: one language's texts under one name, and the metrics that may be shown."""

    name: str
    mart: str
    columns: dict[str, Column]
    metrics: dict[str, Metric]
    query: str                        # SQL with {columns}
    time: str | None
    record_level: bool                # only for readers with the record role
    open: bool                        # a catalogue without rows of institutions: every reader with a place sees it
    labels: dict[str, str]


@dataclass(frozen=True)
class Chart:
    name: str
    viz: str
    dataset: str
    params: dict[str, Any]
    where: tuple[str, ...]
    template: str | None


@dataclass(frozen=True)
class Dashboard:
    name: str
    slug: str
    layout: list[Any]
    filters: list[dict[str, Any]]
    colors: dict[str, str]            # text key -> the colour its series has wherever it stands on the page
    charts: dict[str, Chart] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Everything that is declared: datasets, charts and dashboards by name, and the catalogue of texts."""

    datasets: dict[str, Dataset]
    charts: dict[str, Chart]
    dashboards: dict[str, Dashboard]
    texts: dict[str, dict[str, str]]

    def text(self, key: str, locale: str) -> str:
        """The catalogue's text; a key that is missing, or missing in that language, is an error."""
        try:
            return self.texts[key][locale]
        except KeyError:
            raise RecordError(f"assets/texts.yaml: no {locale} text under '{key}'; add it there") from None


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return yaml.load(path.read_text("utf-8"), Loader=_LOADER) or {}
    except yaml.YAMLError as error:
        raise RecordError(f"{path.name}: not readable as YAML: {error}") from error


def read_marts(path: Path = MARTS) -> dict[str, dict[str, tuple[str, dict[str, str]]]]:
    """mart -> column -> (type, labels), as the dbt project declares them."""
    marts = {}
    for model in _yaml(path)["models"]:
        columns = {}
        for column in model.get("columns", ()):
            meta = column.get("meta") or column.get("config", {}).get("meta") or {}
            missing = [locale for locale in LOCALES if not meta.get(locale)]
            if missing:
                raise RecordError(f"{path.name}: {model['name']}.{column['name']} has no label in {missing}; "
                                  "add it to the column's meta")
            kind = str(column.get("data_type", "VARCHAR")).upper()
            columns[column["name"]] = (kind, {locale: str(meta[locale]) for locale in LOCALES})
        marts[model["name"]] = columns
    return marts


def _scoped(sql: str) -> str:
    return sql.replace("{scope}", SCOPE)


def _reused(sql: str, let: dict[str, str]) -> str:
    """The SQL with each `{name}` of `let` written out; a later entry may use an earlier one."""
    for name, part in reversed(let.items()):
        sql = sql.replace(f"{{{name}}}", part)
    return sql


def _labels(where: str, texts: dict[str, dict[str, str]], key: str) -> dict[str, str]:
    if key not in texts:
        raise RecordError(f"{where}: no text under '{key}'; add it to assets/texts.yaml")
    return texts[key]


def _mart_columns(declared: dict[str, tuple[str, dict[str, str]]], texts: dict) -> dict[str, Column]:
    """The mart's columns; a pair x_zh, x_en becomes one column that speaks the reader's language.

    It is called x, or x_name where the mart also has a code x.
    """
    columns = {}
    for column, (kind, labels) in declared.items():
        base = column[:-3]
        if column.endswith("_en") and f"{base}_zh" in declared:
            continue
        if column.endswith("_zh") and f"{base}_en" in declared:
            name = f"{base}_name" if base in declared else base
            english = declared[f"{base}_en"][1]["en"].removesuffix(" (English)")
            joined = texts.get(f"column.{name}") or {"zh": labels["zh"], "en": english}
            columns[name] = Column(name, kind, joined, {locale: f'"{base}_{locale}"' for locale in LOCALES})
        else:
            own = texts.get(f"column.{column}") or labels
            columns[column] = Column(column, kind, own, dict.fromkeys(LOCALES, f'"{column}"'))
    if "month" in columns:
        sql = dict.fromkeys(LOCALES, "strftime(month, '%Y-%m')")
        columns["period"] = Column("period", "VARCHAR", columns["month"].labels, sql)
    return columns


def _dataset(name: str, record: dict[str, Any], marts: dict, texts: dict) -> Dataset:
    where = f"assets/datasets.yaml: {name}"
    _known(where, record, {"mart", "from", "keep", "add", "where", "let", "time", "record_level", "open", "metrics"})
    if record["mart"] not in marts:
        raise RecordError(f"{where}: the dbt project declares no mart {record['mart']}; known: {sorted(marts)}")
    columns = _mart_columns(marts[record["mart"]], texts)
    if not record.get("open") and (absent := set(ROW_COLUMNS) - set(columns)):
        raise RecordError(f"{where}: mart {record['mart']} lacks {sorted(absent)}, which the row rule asks for; "
                          "add them to the mart, or mark the dataset open if it holds no institution's figures")
    if keep := record.get("keep"):
        if unknown := set(keep) - set(columns):
            raise RecordError(f"{where}: mart {record['mart']} has no column {sorted(unknown)}")
        columns = {key: columns[key] for key in columns if key in keep or key in ROW_COLUMNS}
    for added, spec in record.get("add", {}).items():
        _known(f"{where}.{added}", spec, {"sql", "type"})
        sql = {locale: _scoped(spec["sql"]).replace("{locale}", locale) for locale in LOCALES}
        columns[added] = Column(added, spec.get("type", "VARCHAR"), _labels(where, texts, f"column.{added}"), sql)
    metrics = {}
    for metric, spec in record.get("metrics", {}).items():
        _known(f"{where}.{metric}", spec, {"sql", "format", "text"})
        key = spec.get("text", f"metric.{metric}")
        metrics[metric] = Metric(metric, _reused(spec["sql"], record.get("let", {})), spec.get("format"), _labels(where, texts, key))
    if clash := set(metrics) & set(columns):
        raise RecordError(f"{where}: {sorted(clash)} is both a column and a metric; rename the metric")
    query = "SELECT {columns} FROM " + record.get("from", f"marts.{record['mart']}")
    if condition := record.get("where"):
        query += f" WHERE {_scoped(condition)}"
    return Dataset(name, record["mart"], columns, metrics, query, record.get("time"), bool(record.get("record_level")),
                   bool(record.get("open")), _labels(where, texts, f"dataset.{name}"))


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value or () if isinstance(item, str)]


def _chart(file: str, name: str, record: dict[str, Any], datasets: dict[str, Dataset], texts: dict) -> Chart:
    where = f"assets/{file}: chart {name}"
    _known(where, record, {"viz", "dataset", "where", "template", "params"})
    if record["dataset"] not in datasets:
        raise RecordError(f"{where}: unknown dataset {record['dataset']}")
    dataset, params = datasets[record["dataset"]], record.get("params", {})
    for key in _METRIC_PARAMS:
        if unknown := set(_names(params.get(key))) - set(dataset.metrics):
            raise RecordError(f"{where}: {key}: dataset {dataset.name} has no metric {sorted(unknown)}")
    for key in _COLUMN_PARAMS:
        if unknown := set(_names(params.get(key))) - set(dataset.columns):
            raise RecordError(f"{where}: {key}: dataset {dataset.name} has no column {sorted(unknown)}")
    _labels(where, texts, f"chart.{name}")
    return Chart(name, record["viz"], dataset.name, params, tuple(record.get("where", ())), record.get("template"))


def _placed(layout: Any) -> list[str]:
    """The charts named anywhere in a layout, in reading order."""
    if isinstance(layout, dict):
        return [layout["chart"]] if "chart" in layout else [n for v in layout.values() for n in _placed(v)]
    return [name for item in layout for name in _placed(item)] if isinstance(layout, list) else []


def load(assets: Path = ASSETS, marts: Path = MARTS) -> Source:
    """Read and join all records; raise `RecordError` at the first name that leads nowhere."""
    texts = {}
    for key, pair in _yaml(assets / "texts.yaml").items():
        if not isinstance(pair, dict) or set(pair) != set(LOCALES) or not all(str(v).strip() for v in pair.values()):
            raise RecordError(f"assets/texts.yaml: '{key}' needs exactly a text in {' and '.join(LOCALES)}")
        texts[key] = {locale: str(pair[locale]) for locale in LOCALES}
    declared = read_marts(marts)
    datasets = {name: _dataset(name, record, declared, texts)
                for name, record in _yaml(assets / "datasets.yaml").items()}
    charts: dict[str, Chart] = {}
    dashboards = {}
    for path in sorted((assets / "dashboards").glob("*.yaml")):
        page = _yaml(path)
        _known(f"assets/{path.name}", page, {"slug", "filters", "layout", "charts", "colors"})
        own = {name: _chart(path.name, name, record, datasets, texts) for name, record in page["charts"].items()}
        if twice := set(own) & set(charts):
            raise RecordError(f"assets/{path.name}: chart name {sorted(twice)} is taken by another dashboard")
        charts |= own
        placed = _placed(page["layout"])
        if unplaced := set(own) ^ set(placed):
            raise RecordError(f"assets/{path.name}: {sorted(unplaced)} is declared or placed, but not both")
        for flt in page["filters"]:
            _known(f"assets/{path.name}: filter", flt,
                   {"name", "kind", "dataset", "column", "first", "multiple", "descending", "except", "only", "parents"})
            if flt.get("kind", "select") == "select" and flt["column"] not in datasets[flt["dataset"]].columns:
                raise RecordError(f"assets/{path.name}: filter {flt['name']}: no column {flt['column']}")
            if unknown := {*flt.get("except", ()), *flt.get("only", ())} - set(own):
                raise RecordError(f"assets/{path.name}: filter {flt['name']}: no chart {sorted(unknown)}")
        dashboards[path.stem] = Dashboard(path.stem, page["slug"], page["layout"], page["filters"],
                                           page.get("colors", {}), own)
    return Source(datasets, charts, dashboards, texts)


def template_keys(template: str) -> list[str]:
    """The catalogue keys that a template asks for, written `@{key}`."""
    return re.findall(r"@\{([\w.]+)\}", template)
