"""gridwalk import"""

import csv
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import msgspec
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from field_schemas.datum import Datum
from server.cli import tables
from server.cli.session import known_types, loaded_settings, now_ms, run
from server.cli.words import CommandFailed, language, say
from server.importing.mapping import Mapping, read_mapping, with_options
from server.importing.placing import GenerateGrids
from server.importing.problems import BadRow, ImportFailed
from server.importing.reading import FORMATS
from server.importing.run import ImportRequest, Summary, Surroundings, import_file

_COLLECT_EVERY = 100_000
"""Objects made between two runs of the garbage collector."""
_SHOWN = 5
"""Bad rows shown at the end when no report was asked for."""


_OVER_MAPPING = ("type", "source", "key", "datum", "timezone", "encoding")
"""Options that a mapping file can give as well."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    type: str | None
    mapping: Path | None
    maps: tuple[str, ...]
    sets: tuple[str, ...]
    key: str | None
    source: str | None
    format: str | None
    encoding: str | None
    datum: str | None
    timezone: str | None
    generate_grids: bool
    district: str | None
    cell_m: float | None
    report: Path | None
    dry_run: bool


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--type", metavar="TYPE", help="Record type: component, finding, unit_grid, ...")
@click.option("--mapping", type=click.Path(path_type=Path), help="A mapping file (TOML); options win.")
@click.option("--map", "maps", multiple=True, metavar="FIELD=COLUMN", help="Take a field from a column or '{A} {B}'.")
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Give a field the same value in all rows.")
@click.option("--key", metavar="COLUMN", help="Column that tells rows apart; id keeps the ids of our own exports.")
@click.option("--source", metavar="NAME", help="Whose keys these are. [default: the file's name without extension]")
@click.option("--format", type=click.Choice(FORMATS), help="File format. [default: by the file's extension]")
@click.option("--encoding", metavar="NAME", help="Text encoding, as in GB18030. [default: UTF-8]")
@click.option(
    "--datum",
    type=click.Choice([datum.value for datum in Datum]),
    help="What coordinates refer to. [default: WGS-84]",
)
@click.option("--timezone", metavar="ZONE", help="Zone of times that name none, as in Asia/Shanghai.")
@click.option("--generate-grids", is_flag=True, help="Make unit grids around the rows; needs --district.")
@click.option("--district", metavar="CODE", help="Six-digit district of generated grids, as in 440304.")
@click.option("--cell-m", type=click.FloatRange(min=10), metavar="METRES", help="Side of new cells. [default: 250]")
@click.option("--report", type=click.Path(path_type=Path), metavar="CSV", help="Write the bad rows to this file.")
@click.option("--dry-run", is_flag=True, help="Decide everything, write nothing.")
def import_(file: Path, **given: Any) -> None:
    """Load a CSV or GeoJSON FILE as records of a TYPE 导入.

    Columns named like fields map by themselves; --map and --set, or a --mapping file, say the rest. A row becomes
    a record whose id follows from type, source and key: importing again writes only what the file changed, and an
    import that was cut off can simply be run again. People's edits stay where the file still says what it said.

    Bad rows are counted and reported with line and reason, the good ones load; the exit code is 1 only when
    nothing could be loaded. A row without grid gets the unit grid its position lies in.

    \b
    Examples:
      gridwalk import components.csv --type component
      gridwalk import cans.geojson --type component --map code=LITTERID --set kind=0305 \\
          --district 110100 --generate-grids --report errors.csv
      gridwalk import requests.geojson --mapping docs/examples/service-requests.toml
    """
    options = Options(**given)
    request = _request(file, options)
    # Rows come and go by the hundred thousand, none in a cycle: the collector would only look for what is not there.
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)
    with Report(options.report) as bad, _progress() as bar:
        registry = known_types(loaded_settings().settings)
        summary = run(
            lambda database: import_file(
                request, Surroundings(database.store, registry, now_ms, os.urandom, bad.add, bar.update)
            )
        )
    _print(summary, bad, bar.seconds(), options.dry_run)
    if summary.rows and summary.counts.bad == summary.rows:
        raise CommandFailed("没有一行可以导入", "not one row could be loaded")


def _request(file: Path, options: Options) -> ImportRequest:
    if options.generate_grids != (options.district is not None):
        raise click.UsageError(
            say("--generate-grids 与 --district 一起使用", "--generate-grids and --district go together")
        )
    try:
        mapping = read_mapping(options.mapping) if options.mapping else Mapping()
        mapping = with_options(mapping, options.maps, options.sets)
    except ImportFailed as error:
        raise CommandFailed(error.message.zh, error.message.en) from error
    named = {name: value for name in _OVER_MAPPING if (value := getattr(options, name)) is not None}
    return ImportRequest(
        path=file,
        mapping=msgspec.structs.replace(mapping, **named),
        format=options.format,
        generate=GenerateGrids(options.district, options.cell_m) if options.district else None,
        rehearse=options.dry_run,
    )


class Report:
    """Bad rows: into a CSV file where one is named; the first few are kept to be shown."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.first: list[BadRow] = []
        self._language = language()
        try:
            # Spreadsheets take UTF-8 for what it is only with a byte order mark.
            self._file = path.open("w", encoding="utf-8-sig", newline="") if path else None
        except OSError as error:
            raise CommandFailed(
                f"无法写 {path}：{error.strerror}", f"cannot write {path}: {error.strerror}"
            ) from error
        self._writer = csv.writer(self._file) if self._file else None
        self._row("row", "key", "field", "code", "reason")

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, row: BadRow) -> None:
        """Take one bad row."""
        if len(self.first) < _SHOWN:
            self.first.append(row)
        self._row(row.number, row.key, row.field, row.code, row.reason.text(self._language))

    def _row(self, *cells: object) -> None:
        if self._writer:
            self._writer.writerow(cells)


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} {say('行/秒', 'rows/s')}")


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task(say("导入", "Importing"), total=None)
        self._began = time.perf_counter()
        self._ended = self._began

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` rows are done."""
        self._ended = time.perf_counter()
        self._progress.update(self._task, completed=done, total=total)

    def seconds(self) -> float:
        """How long it took to the last row."""
        return self._ended - self._began


@contextmanager
def _progress() -> Iterator[_Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=tables.console(to_stderr=True), transient=True) as progress:
        yield _Bar(progress)


def _print(summary: Summary, report: Report, seconds: float, dry_run: bool) -> None:
    counts = summary.counts
    rows: list[tuple[str, object]] = [
        (say("新建", "created"), counts.created),
        (say("更新", "updated"), counts.updated),
        (say("未变", "unchanged"), counts.unchanged),
        (say("保留人工修改", "kept as people edited them"), counts.kept),
        (say("冲突", "conflicts for a person"), counts.conflicts),
        (say("生成网格", "grids generated"), summary.cells),
        (say("错误", "bad"), counts.bad),
    ]
    always = (say("新建", "created"), say("更新", "updated"), say("未变", "unchanged"), say("错误", "bad"))
    tables.show((summary.record_type, say("行", "rows")), [row for row in rows if row[1] or row[0] in always])
    rate = f"{summary.rows / seconds:,.0f}" if seconds else "-"
    took = f"{seconds:.1f} s, {rate} {say('行/秒', 'rows/s')}, {say('来源', 'source')} {summary.source}"
    click.echo(took + (say("；演练，未写入", "; a rehearsal: nothing was written") if dry_run else ""))
    if summary.unmapped:
        click.echo(f"{say('未使用的列', 'Columns not used')}: {', '.join(summary.unmapped)}")
    _print_bad(report, counts.bad)


def _print_bad(report: Report, count: int) -> None:
    if not count:
        return
    if report.path:
        click.echo(
            say(f"{count} 行未导入，原因见 {report.path}", f"{count} rows were not loaded; see {report.path}"),
            err=True,
        )
        return
    click.echo(
        say(
            f"{count} 行未导入（--report errors.csv 可列出全部）：",
            f"{count} rows were not loaded (--report errors.csv lists all):",
        ),
        err=True,
    )
    for row in report.first:
        click.echo(f"  {row.number} {row.key}: {row.reason.text(language())}", err=True)
