"""Brings Superset's metadata into the state that the records declare; one process, safe to run again at any time.

Put here: the steps and their order. Put elsewhere: what is drawn (`assets/`), who sees it (`roles.yaml`).

    python dashboards/bootstrap.py

Environment: XIANJIAN_SERVE_DB, SUPERSET_HOME, SUPERSET_SECRET_KEY, SUPERSET_CONFIG_PATH (`serve.environment` makes
them), and XIANJIAN_ADMIN_PASSWORD for the account `admin`: without it a new account gets a generated password, and an
existing one is left alone. Generated passwords go to SUPERSET_HOME/logins.yaml, readable by the owner only.
Exit code 0 when everything stands, 1 with one line of reason on standard error otherwise.
"""

import os
import secrets
import sys
from pathlib import Path

import duckdb
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dashboards.identity import asset_id  # noqa: E402  (needs the path above)
from dashboards.records import Dataset, RecordError, Source, load  # noqa: E402
from dashboards.render import DATABASE, bundle  # noqa: E402

ROLES = Path(__file__).parent / "roles.yaml"
_REQUIRED = ("XIANJIAN_SERVE_DB", "SUPERSET_HOME", "SUPERSET_SECRET_KEY", "SUPERSET_CONFIG_PATH")


class BootstrapError(RuntimeError):
    """Something that must stand does not; the message says what and how to mend it."""


def _checked_environment() -> tuple[Path, Path]:
    if absent := [name for name in _REQUIRED if not os.environ.get(name)]:
        raise BootstrapError(f"set {', '.join(absent)}; dashboards/serve.py makes the whole environment")
    serve_db, home = Path(os.environ["XIANJIAN_SERVE_DB"]), Path(os.environ["SUPERSET_HOME"])
    if not serve_db.exists():
        raise BootstrapError(f"no serving file at {serve_db}; run the pipeline first, it publishes one")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return serve_db, home


def _check_marts(serve_db: Path, source: Source) -> None:
    """Every column that a dataset reads is in the serving file."""
    with duckdb.connect(str(serve_db), read_only=True) as db:
        found = set(db.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts'").fetchall())
    if absent := sorted({d.mart for d in source.datasets.values()} - {name for (name,) in found}):
        raise BootstrapError(f"the serving file has no mart {', '.join(absent)}; publish again with the current models")


def _write_private(path: Path, content: dict) -> None:
    """Replace the file in one step; it is never readable by others, not even for a moment."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        yaml.safe_dump(content, out, allow_unicode=True)
    fresh.replace(path)


def _read(path: Path) -> dict:
    return (yaml.safe_load(path.read_text("utf-8")) or {}) if path.exists() else {}


def _migrate() -> None:
    import superset
    from flask_migrate import upgrade
    from superset import appbuilder, security_manager

    upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()


def _import(contents: dict[str, str]) -> None:
    from superset.commands.exceptions import CommandInvalidError
    from superset.commands.importers.v1.assets import ImportAssetsCommand

    try:
        ImportAssetsCommand(dict(contents)).validate()       # run() alone would hide the reasons
        ImportAssetsCommand(dict(contents)).run()
    except CommandInvalidError as error:
        raise BootstrapError(f"the rendered bundle is refused: {error.normalized_messages()}") from error


def _remove_retired(contents: dict[str, str]) -> list[str]:
    """Delete what an earlier version installed and the records no longer declare; what people made stays."""
    from superset import db
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    wanted = {str(yaml.safe_load(text).get("uuid")) for text in contents.values()}
    removed = []
    for model in (Dashboard, Slice, SqlaTable):
        for asset in db.session.query(model).filter_by(is_managed_externally=True):
            if str(asset.uuid) not in wanted:
                removed.append(str(asset))
                db.session.delete(asset)
    db.session.commit()
    return removed


def _prove_read_only() -> None:
    """Try to write through the very connection the pages use; succeeding is the failure."""
    from superset import db
    from superset.models.core import Database

    database = db.session.query(Database).filter_by(uuid=asset_id("database", DATABASE)).one()
    with database.get_sqla_engine() as engine:
        for statement in ("CREATE TABLE marts.write_probe (i INTEGER)", "COPY (SELECT 1) TO 'write_probe.csv'"):
            try:
                with engine.connect() as connection:
                    connection.execute(statement)
            except Exception as error:                 # the driver's own class differs with the statement
                if not any(word in str(error).lower() for word in ("read-only", "disabled")):
                    raise BootstrapError(f"the write probe failed for another reason than being refused: {error}") from error
            else:
                raise BootstrapError(f"the dashboards' connection can write ({statement}); it must be read-only")
        with engine.connect() as connection:
            connection.execute("SELECT count(*) FROM information_schema.tables").fetchone()


def _granted(spec: dict, source: Source) -> list[Dataset]:
    match spec["datasets"]:
        case "all":
            return [d for d in source.datasets.values() if not d.record_level]
        case "record_level":
            return [d for d in source.datasets.values() if d.record_level]
        case names:
            return [source.datasets[name] for name in names]


def _sync_roles(declared: dict, source: Source) -> None:
    """Each role holds exactly what is declared: a permission taken out of the file is taken from the role."""
    from superset import db
    from superset import security_manager as sm
    from superset.connectors.sqla.models import RowLevelSecurityFilter, SqlaTable
    from superset.utils.core import RowLevelSecurityFilterType

    tables = {str(t.uuid): t for t in db.session.query(SqlaTable)}
    ours = {name: [tables[asset_id("dataset", name, locale)] for locale in ("zh", "en")] for name in source.datasets}
    for name, spec in declared["roles"].items():
        role = sm.add_role(name)
        wanted = [sm.add_permission_view_menu("datasource_access", table.get_perm())
                  for dataset in _granted(spec, source) for table in ours[dataset.name]]
        for group in spec["permissions"]:
            for permission, views in declared["permissions"][group]:
                found = [sm.find_permission_view_menu(permission, view) for view in views]
                wanted += [pvm for pvm in found if pvm]
        role.permissions = list({pvm.id: pvm for pvm in wanted}.values())
    exempt = [sm.find_role(name) for name in declared["rows"]["exempt"]]
    for rule, clause, chosen in (
        ("own rows and the county", declared["rows"]["rule"], [d.name for d in source.datasets.values() if not d.open]),
        ("catalogues", declared["rows"]["open_rule"], [d.name for d in source.datasets.values() if d.open]),
    ):
        row = db.session.query(RowLevelSecurityFilter).filter_by(name=rule).one_or_none()
        row = row or RowLevelSecurityFilter(name=rule)
        row.filter_type = RowLevelSecurityFilterType.BASE.value      # holds for every role but those listed
        row.clause, row.group_key, row.roles = clause, None, exempt
        row.tables = [table for name in chosen for table in ours[name]]
        db.session.add(row)
    db.session.commit()


def _largest_institution(serve_db: Path) -> str | None:
    with duckdb.connect(str(serve_db), read_only=True) as db:
        found = db.execute("SELECT institution_code FROM marts.mart_cost_month WHERE level = 'institution' "
                           "GROUP BY ALL ORDER BY SUM(total_fee) DESC, institution_code LIMIT 1").fetchone()
    return found[0] if found else None


def _sync_users(declared: dict, serve_db: Path, home: Path) -> list[str]:
    from superset import db
    from superset import security_manager as sm

    logins_path, mapping_path = home / "logins.yaml", home / "institution_users.yaml"
    logins, mapping, made = _read(logins_path), _read(mapping_path), []

    def ensure(name: str, roles: list[str], password: str | None) -> None:
        user = sm.find_user(name)
        if user is None:
            logins[name] = password or secrets.token_urlsafe(12)
            user = sm.add_user(name, name, "-", f"{name}@localhost", [sm.find_role(r) for r in roles],
                               password=logins[name])
            if not user:
                raise BootstrapError(f"the account {name} could not be made")
            made.append(name)
        elif password:
            sm.reset_password(user.id, password)
            logins[name] = password
        user.roles = [sm.find_role(role) for role in roles]

    ensure("admin", ["Admin"], os.environ.get("XIANJIAN_ADMIN_PASSWORD"))
    for name, spec in declared["demonstration_users"].items():
        ensure(name, spec["roles"], None)
        if spec.get("institution") == "largest" and not mapping.get(name) and (code := _largest_institution(serve_db)):
            mapping[name] = code
    db.session.commit()
    _write_private(logins_path, logins)
    _write_private(mapping_path, mapping)
    return made


def main() -> None:
    """Run all steps; raise `BootstrapError` or `RecordError` with the reason when one cannot be done."""
    serve_db, home = _checked_environment()
    source = load()
    _check_marts(serve_db, source)
    declared = _read(ROLES)
    contents = bundle(source, str(serve_db.absolute()))

    from flask import g
    from superset.app import create_app

    with create_app().app_context():
        from superset import security_manager as sm

        _migrate()
        print("metadata migrated", flush=True)
        for name in declared["roles"]:
            sm.add_role(name)
        made = _sync_users(declared, serve_db, home)
        g.user = sm.find_user("admin")               # imported assets belong to somebody
        _import(contents)
        removed = _remove_retired(contents)
        print(f"{len(source.datasets)} datasets, {len(source.charts)} charts, {len(source.dashboards)} dashboards "
              f"in 2 languages; {len(removed)} retired", flush=True)
        _prove_read_only()
        _sync_roles(declared, source)
        print(f"read-only proved; {len(declared['roles'])} roles; new accounts: {', '.join(made) or 'none'}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (BootstrapError, RecordError) as reason:
        sys.exit(f"dashboards: {reason}")
