"""Settings of Superset for the county: where its own data lie, what a page may load, how long a session lasts.

Put here: settings. Put elsewhere: who sees which rows (`row_access.py`), what is drawn (`assets/`), what is
installed into the metadata database (`bootstrap.py`).

Read from the environment: SUPERSET_HOME, SUPERSET_SECRET_KEY (both required), XIANJIAN_SUPERSET_DB_URI
(PostgreSQL instead of the default SQLite file), XIANJIAN_HTTPS=1 (served over TLS: the session cookie is then
sent over TLS only).
"""

import base64
import os
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dashboards.row_access import CountySecurityManager, current_institution  # noqa: E402  (needs the path above)

_home = os.environ["SUPERSET_HOME"]
_https = os.environ.get("XIANJIAN_HTTPS") == "1"

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ.get("XIANJIAN_SUPERSET_DB_URI") or f"sqlite:///{_home}/superset.db"


@event.listens_for(Engine, "connect")
def _sqlite_for_several_workers(connection, _record):
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=15000")


# ---- who sees what
CUSTOM_SECURITY_MANAGER = CountySecurityManager
JINJA_CONTEXT_ADDONS = {"current_institution": current_institution}
FEATURE_FLAGS = {
    "ENABLE_TEMPLATE_PROCESSING": True,      # the row rule names the reader's institution by a Jinja call
    "DRILL_TO_DETAIL": False,                # record level has its own role and pages
    "DRILL_BY": False,
    "ALLOW_ADHOC_SUBQUERY": False,
    "TAGGING_SYSTEM": False,
}
AUTH_USER_REGISTRATION = False
PUBLIC_ROLE_LIKE = None
# Nothing is cached: the serving file is swapped under the same name, and a stale figure is worse than a slow one.
DATA_CACHE_CONFIG = CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}

# ---- session: ends after 30 minutes without a request
PERMANENT_SESSION_LIFETIME = timedelta(minutes=30)
SESSION_REFRESH_EACH_REQUEST = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _https
RATELIMIT_ENABLED = True
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "10 per minute"            # counted per address and worker
RATELIMIT_APPLICATION = "200 per second"
RATELIMIT_STORAGE_URI = "memory://"

# ---- what a page may load: this server only, which also stops the tracking pixel of the front end
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'"],
        # the template charts (KPI cards, alerts, freshness) are compiled in the browser
        "script-src": ["'self'", "'strict-dynamic'", "'unsafe-eval'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": _https,
}
CONTENT_SECURITY_POLICY_WARNING = False
THEME_FONT_URL_ALLOWED_DOMAINS: list[str] = []
ENABLE_CORS = False
HTML_SANITIZATION = True
HTML_SANITIZATION_SCHEMA_EXTENSIONS = {
    "tagNames": ["svg", "polyline", "circle"],
    "attributes": {
        "*": ["style", "className", "title"],
        "svg": ["viewBox", "width", "height", "preserveAspectRatio"],
        "polyline": ["points", "fill", "stroke", "strokeWidth", "vectorEffect"],
        "circle": ["cx", "cy", "r", "fill"],
    },
}

# ---- language and formats
BABEL_DEFAULT_LOCALE = "zh"
LANGUAGES = {"zh": {"flag": "cn", "name": "简体中文"}, "en": {"flag": "us", "name": "English"}}
DEFAULT_TIME_ZONE = "Asia/Shanghai"
D3_FORMAT = {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["¥", ""]}
D3_TIME_FORMAT = {
    "dateTime": "%Y-%m-%d %H:%M:%S", "date": "%Y-%m-%d", "time": "%H:%M:%S", "periods": ["上午", "下午"],
    "days": ["星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六"],
    "shortDays": ["周日", "周一", "周二", "周三", "周四", "周五", "周六"],
    "months": [f"{month}月" for month in range(1, 13)],
    "shortMonths": [f"{month}月" for month in range(1, 13)],
}
APP_NAME = "县健·先见"
_svg = (Path(__file__).parent / "assets" / "logo.svg").read_bytes()
_logo = "data:image/svg+xml;base64," + base64.b64encode(_svg).decode()
_token = {
    "brandAppName": APP_NAME, "brandLogoAlt": APP_NAME, "brandLogoUrl": _logo,
    "brandLogoHref": "/superset/dashboard/d02-cost/", "brandLogoHeight": "24px", "brandLogoMargin": "18px 0",
    "colorPrimary": "#1f6f8b", "colorLink": "#1f6f8b", "colorError": "#c0392b", "colorWarning": "#d68910",
    "colorSuccess": "#2e7d5b", "colorInfo": "#3d8fb3",
    "fontUrls": [],
    "fontFamily": "'Inter','PingFang SC','Microsoft YaHei','Noto Sans CJK SC','Source Han Sans SC',sans-serif",
    "fontFamilyCode": "'IBM Plex Mono','Courier New',monospace",
    # its legend names the drawing's parts in English and explains nothing
    "echartsOptionsOverridesByChartType": {"box_plot": {"legend": {"show": False}}},
}
THEME_DEFAULT = {"token": _token, "algorithm": "default"}
THEME_DARK = None

# ---- size limits
ROW_LIMIT = 5000
SAMPLES_ROW_LIMIT = 200
SQL_MAX_ROW = 50000
SUPERSET_WEBSERVER_TIMEOUT = 120
