"""Asks a running Superset what a page would ask, as a given user; standard library only.

Put here: logging in and querying. Put elsewhere: what the answers should be (`test_dashboards.py`).
"""

import json
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, Request, build_opener


class Client:
    """One user's session with one server."""

    def __init__(self, base: str, username: str, password: str) -> None:
        self.base, self.token, self.csrf = base, "", ""
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))
        status, answer = self.call("POST", "/api/v1/security/login", {
            "username": username, "password": password, "provider": "db", "refresh": False})
        if status != 200:
            raise PermissionError(f"login as {username}: {status} {answer}")
        self.token = answer["access_token"]
        self.csrf = self.call("GET", "/api/v1/security/csrf_token/")[1]["result"]

    def call(self, method: str, path: str, body: dict | None = None, raw: bool = False) -> tuple[int, Any]:
        """Status and decoded answer (its bytes with `raw`); an HTTP error is an answer, not an exception."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers |= {"Authorization": f"Bearer {self.token}", "X-CSRFToken": self.csrf, "Referer": self.base}
        request = Request(self.base + path, method=method, headers=headers,
                          data=None if body is None else json.dumps(body).encode())
        try:
            with self.opener.open(request, timeout=120) as reply:
                content = reply.read()
                return reply.status, content if raw else json.loads(content or "null")
        except HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, text[:500]

    def listed(self, kind: str) -> list[dict]:
        """All charts, datasets or dashboards this user can see."""
        status, answer = self.call("GET", f"/api/v1/{kind}/?q=(page_size:500)")
        if status != 200:
            raise PermissionError(f"{kind}: {status} {answer}")
        return answer["result"]

    def data(self, dataset: int, query: dict[str, Any], result_type: str = "full") -> tuple[int, Any]:
        """The rows of one query on a dataset."""
        return self.call("POST", "/api/v1/chart/data", {
            "datasource": {"id": dataset, "type": "table"}, "force": True, "result_format": "json",
            "result_type": result_type, "queries": [query]})


_COLUMNS = ("x_axis", "groupby", "columns", "series", "entity", "groupbyRows", "groupbyColumns", "groupby_b")
_METRICS = ("metrics", "metric", "x", "y", "size", "metrics_b", "secondary_metric")


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value] if value else []


def query_of(params: dict[str, Any], filters: list[dict] | None = None) -> dict[str, Any]:
    """The query that a chart of these params sends, without what only the drawing needs."""
    where = " AND ".join(f"({f['sqlExpression']})" for f in params.get("adhoc_filters", ()))
    query: dict[str, Any] = {"filters": filters or [], "extras": {"where": where} if where else {},
                             "row_limit": params.get("row_limit", 1000)}
    if params.get("query_mode") == "raw":
        return query | {"columns": params["all_columns"]}
    columns = [c for key in _COLUMNS for c in _listed(params.get(key))]
    metrics = [m for key in _METRICS for m in _listed(params.get(key))]
    return query | {"columns": list(dict.fromkeys(columns)), "metrics": list(dict.fromkeys(metrics))}
