"""`xianjian …`: thin commands, each calling one function elsewhere.

Imports of the heavy libraries stand inside the commands, so that help is there at once.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
                  help="县健·先见 | Xianjian: the supervision and decision-support warehouse of a county health bureau.")
county = typer.Typer(no_args_is_help=True, help="The synthetic county (invented data).")
contracts = typer.Typer(no_args_is_help=True, help="The contracts and what is derived from them.")
keys = typer.Typer(no_args_is_help=True, help="The keys of pseudonyms and vault.")
for name, group in (("county", county), ("contracts", contracts), ("keys", keys)):
    app.add_typer(group, name=name)

Home = Annotated[Path | None, typer.Option(help="Where loads, warehouse and published figures lie.")]
Landing = Annotated[Path | None, typer.Option(help="Where the institutions' files arrive.")]
ZONE_HELP = "Only what had been received by then counts (Asia/Shanghai)."


def _settings(home: Path | None = None, landing: Path | None = None):
    from orchestration.settings import Settings

    try:
        return Settings.load(home=home, landing=landing)
    except ValueError as error:
        _stop(f"设置有误 | the settings are wrong:\n{error}")


def _console():
    import sys

    from rich.console import Console

    return Console(file=sys.stdout)      # this stream, also while a library's output is sent elsewhere


def _stop(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(1)


@county.command("generate")
def county_generate(
    out: Annotated[Path, typer.Option(help="Folder to write landing/ and truth/ into.")] = Path(".xianjian"),
    scale: Annotated[float, typer.Option(help="1.0 is the whole county; 0.1 a test run, 0.01 the demonstration.")] = 0.01,
    months: Annotated[int, typer.Option(min=1, help="Calendar months of events.")] = 24,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = datetime(2024, 1, 1),
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 20240101,
) -> None:
    """Generate a county's extracts as its institutions would hand them over, with the truth beside them."""
    from data_samples.generate import generate
    from orchestration.progress import TerminalProgress

    console = _console()
    with TerminalProgress(console) as progress:
        summary = generate(out, scale=scale, months=months, start=start.date(), seed=seed, progress=progress)
    console.print(f"{summary}")


@app.command()
def run(
    home: Home = None,
    landing: Landing = None,
    as_of: Annotated[datetime | None, typer.Option(help=ZONE_HELP)] = None,
    full_refresh: Annotated[bool, typer.Option(help="Build the warehouse anew into a new file.")] = False,
) -> None:
    """Do everything that is due: take files in, validate, build, test, publish. Running it twice does no work twice."""
    from orchestration.pipeline import RunFailed
    from orchestration.pipeline import run as run_pipeline
    from orchestration.progress import TerminalProgress
    from orchestration.runs import Busy
    from orchestration.site import shanghai_clock

    settings, console = _settings(home, landing), _console()
    try:
        with TerminalProgress(console) as progress:
            published = run_pipeline(settings, progress, started_at=shanghai_clock(), as_of=as_of, full=full_refresh)
    except (RunFailed, Busy) as error:
        _stop(f"运行失败 | the run failed\n{error}")
    if published is None:
        console.print("没有到期的工作,已发布的数据是最新的 | nothing is due; the published figures are current")
    else:
        console.print(f"已发布第 {published.version} 版 | published version {published.version}: "
                      f"{published.tables} tables, {published.rows:,} rows, up to load {published.load_id}")


@app.command()
def status(
    home: Home = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Every batch with its four numbers, how fresh the data are, and what is published."""
    from orchestration.status import read_status, show_status

    body = read_status(_settings(home))
    if as_json:
        import json

        typer.echo(json.dumps(body, ensure_ascii=False, indent=1, default=str))
    else:
        show_status(body, _console())


@app.command()
def trace(
    digest: Annotated[str, typer.Argument(help="SHA-256 of the file, as the staged rows and findings carry it.")],
    line: Annotated[int, typer.Argument(help="Line of the file, or row of its sheet.")],
    extract: Annotated[str | None, typer.Option(help="Which sheet of a workbook.")] = None,
    home: Home = None,
) -> None:
    """Show the line of an archived file as the institution sent it; what identifies a person is masked."""
    from ingestion.identity import KeyRing, KeysUnusable
    from ingestion.trace import trace as trace_line

    settings = _settings(home)
    try:
        found = trace_line(settings.paths.home, KeyRing.load(settings.paths.keys), digest, line, extract)
    except (KeysUnusable, LookupError) as error:
        _stop(str(error))
    place = f"{found.sender} {found.batch_id} {found.file_name}"
    typer.echo(f"{place}{f' [{found.sheet}]' if found.sheet else ''} line {found.line_no} ({found.extract})")
    for column, value in found.fields.items():
        typer.echo(f"  {column}: {value}")


@app.command()
def serve(
    home: Home = None,
    dagster: Annotated[bool, typer.Option(help="Bring up the Dagster UI and its daemon too.")] = True,
) -> None:
    """Bring up Superset and the Dagster UI, print their addresses and a login, stay until interrupted."""
    from orchestration.serve import ServeFailed, Servers, bootstrap_dashboards, login

    settings, console = _settings(home), _console()
    if not settings.paths.published.exists():
        _stop("尚未发布任何数据,请先执行 xianjian run | nothing is published yet: run `xianjian run` first")
    try:
        with console.status("部署看板 | importing the dashboards"):
            bootstrap_dashboards(settings)
        with Servers(settings, dagster=dagster) as servers:
            user, password = login(settings)
            console.print(f"[bold]看板 | dashboards[/] {servers.superset_url}/superset/dashboard/d02-cost/")
            if dagster:
                console.print(f"[bold]调度 | Dagster[/]    {servers.dagster_url}")
            console.print(f"[bold]登录 | login[/]      {user} / {password}", highlight=False)
            console.print("按 Ctrl-C 结束 | Ctrl-C ends it")
            servers.wait()
    except ServeFailed as error:
        _stop(str(error))
    except KeyboardInterrupt:
        console.print("已停止 | stopped")


@contracts.command("render")
def contracts_render(
    check: Annotated[bool, typer.Option(help="Write nothing; fail when a generated file is stale.")] = False,
) -> None:
    """Write every file derived from the contracts and the catalogue: dbt sources, dictionary, workbook, macros."""
    from orchestration.render import stale, write

    if check:
        if names := stale():
            _stop("过期的生成文件,请执行 xianjian contracts render | stale files, run `xianjian contracts render`:\n"
                  + "\n".join(names))
        typer.echo("生成文件均为最新 | every generated file is current")
    else:
        for path in write():
            typer.echo(path)


@keys.command("create")
def keys_create() -> None:
    """Make the keys of a demonstration, readable by their owner only; existing keys are left alone."""
    from orchestration.pipeline import demonstration_keys

    folder = _settings().paths.keys
    made = demonstration_keys(folder)
    typer.echo(f"{'已创建 | created' if made else '已存在 | already there'}: {folder}")


@app.command()
def doctor(home: Home = None) -> None:
    """Say what is missing on this machine and how to mend it, and print the settings without secrets."""
    from rich.table import Table

    from orchestration.doctor import examine, settings_in_force

    settings, console = _settings(home), _console()
    table = Table("检查 | check", "", "现状 | found", "处理 | mend")
    findings = examine(settings)
    for f in findings:
        table.add_row(f.what, "✓" if f.ok else ("✗" if f.essential else "–"), f.found, "" if f.ok else f.mend)
    console.print(table)
    values = Table("设置 | setting", "值 | value")
    for key, value in settings_in_force(settings):
        values.add_row(key, value)
    console.print(values)
    if any(f.essential and not f.ok for f in findings):
        raise typer.Exit(1)


@app.command()
def bench(
    scale: Annotated[float, typer.Option(help="Of the county.")] = 0.01,
    months: Annotated[int, typer.Option(min=1)] = 12,
    work: Annotated[Path | None, typer.Option(help="Folder to work in; a temporary one by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the measurements here, as JSON.")] = None,
) -> None:
    """Measure every stage beside the bare DuckDB floor on the same files: wall, CPU, peak memory, bytes."""
    from orchestration.bench import measure, show

    body = measure(scale=scale, months=months, work=work, console=_console())
    show(body, _console())
    if out:
        import json

        out.write_text(json.dumps(body, indent=1), "utf-8")


def main() -> None:
    """The entry point of the `xianjian` command."""
    app()
