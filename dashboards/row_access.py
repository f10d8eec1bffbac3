"""Who sees which rows: enforced inside Superset for every query, whichever page or API it comes from.

Put here: the security manager and the Jinja function of the row rule. Put elsewhere: which roles exist
(`roles.yaml`) and attaching the rule to each dataset (`bootstrap.py`).

Three locks hold independently. The base rule of `roles.yaml` hangs on every dataset. A dataset without any rule
yields no rows to a reader who is not exempt (`get_rls_filters`). A reader without an institution is nobody
(`current_institution` is empty, and the rule asks for one). What a user sees therefore never widens by omission.
"""

import os
import re
from collections import namedtuple
from functools import lru_cache
from pathlib import Path

import yaml
from flask import g
from superset.common.chart_data import ChartDataResultFormat
from superset.errors import ErrorLevel, SupersetError, SupersetErrorType
from superset.exceptions import SupersetSecurityException
from superset.security import SupersetSecurityManager

from dashboards.identity import asset_id
from dashboards.records import LOCALES, load

_CODE = re.compile(r"[0-9A-Z]{6,22}")
_Rule = namedtuple("_Rule", "id group_key clause")
DENY = _Rule(0, None, "1 = 0")


def mapping_path() -> Path:
    """The file that says which user belongs to which institution: `username: institution_code`."""
    return Path(os.environ["SUPERSET_HOME"]) / "institution_users.yaml"


@lru_cache(maxsize=4)
def _mapping(path: Path, _stamp: int) -> dict[str, str]:
    loaded = yaml.safe_load(path.read_text("utf-8")) or {}
    return {str(user): str(code) for user, code in loaded.items()}


def current_institution() -> str:
    """The institution code of the logged-in user, or '' for a user who belongs to none."""
    user = getattr(g, "user", None)
    path = mapping_path()
    if user is None or not getattr(user, "username", None) or not path.exists():
        return ""
    code = _mapping(path, path.stat().st_mtime_ns).get(user.username, "")
    return code if _CODE.fullmatch(code) else ""      # it is written into SQL: nothing else may pass


@lru_cache(maxsize=1)
def exempt_roles() -> frozenset[str]:
    """The roles that `roles.yaml` lets see every row."""
    roles = yaml.safe_load((Path(__file__).parent / "roles.yaml").read_text("utf-8"))
    return frozenset(roles["rows"]["exempt"])


@lru_cache(maxsize=1)
def record_level_ids() -> frozenset[str]:
    """The ids of the datasets whose rows are cases."""
    return frozenset(asset_id("dataset", dataset.name, locale)
                     for dataset in load().datasets.values() if dataset.record_level for locale in LOCALES)


class CountySecurityManager(SupersetSecurityManager):
    """Superset's own, but a missing rule means no rows instead of all rows, and cases are not taken away as files."""

    def get_rls_filters(self, table):
        rules = super().get_rls_filters(table)
        if rules or not getattr(g, "user", None):
            return rules
        names = {role.name for role in self.get_user_roles(g.user)}
        return rules if names & exempt_roles() else [DENY]

    def raise_for_access(self, *args, **kwargs):
        super().raise_for_access(*args, **kwargs)
        context = kwargs.get("query_context")
        if (context is not None and context.result_format in ChartDataResultFormat.table_like()
                and str(getattr(context.datasource, "uuid", "")) in record_level_ids()):
            raise SupersetSecurityException(SupersetError(
                error_type=SupersetErrorType.MISSING_OWNERSHIP_ERROR, level=ErrorLevel.ERROR,
                message="病例级数据不能在此导出，需另行审批。 Cases cannot be exported here; ask for approval."))

    def get_rls_cache_key(self, datasource):
        """Two users share a role and a rule text but not an institution: their results must not share a key."""
        return [*super().get_rls_cache_key(datasource), f"institution:{current_institution()}"]
