"""gridwalk export"""

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.progress import Progress, SpinnerColumn, TextColumn

from field_schemas.datum import Datum
from field_schemas.labels import Label
from field_schemas.record import RecordType
from server.cli import tables
from server.cli.session import known_types, loaded_settings, run
from server.cli.words import LANGUAGES, CommandFailed, say
from server.exporting.files import STDOUT, whole_file, write_csv, write_geojson
from server.exporting.rows import exported_rows
from server.importing.problems import ImportFailed
from server.importing.run import record_type
from server.storage.database import Database

AS_STORED = "as-stored"
_WRITERS = {"geojson": write_geojson, "csv": write_csv}
_BASE_LABELS = {"id": Label("编号", "id"), "version": Label("版本", "version")}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    type: str
    format: str
    scope: str | None
    output: Path
    datum: str
    labels: str | None


@click.command()
@click.option("--type", required=True, metavar="TYPE", help="Record type: component, finding, unit_grid, ...")
@click.option(
    "--format", type=click.Choice(list(_WRITERS)), default="geojson", show_default=True, help="File format."
)
@click.option("--scope", metavar="SCOPE", help="Only what lies there, as in grid:440304001. [default: all]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=STDOUT,
    help="File to write. [default: standard output]",
)
@click.option(
    "--datum",
    type=click.Choice([AS_STORED, *(datum.value for datum in Datum)]),
    default=AS_STORED,
    show_default=True,
    help="What coordinates refer to.",
)
@click.option("--labels", type=click.Choice(LANGUAGES), help="Call columns by their labels, for people to read.")
def export(**given: Any) -> None:
    """Write the records of a TYPE to GeoJSON or CSV 导出.

    Coordinates are written bit for bit as they are stored, with their datum beside them; GeoJSON readers that
    know WGS-84 only want --datum WGS-84. An export can be imported again: with --key id its records keep their
    ids, and rows edited in between are merged like any other edit. A file appears only when it is complete.
    Fields that only some roles may read are included: keep the file accordingly.

    \b
    Examples:
      gridwalk export --type component -o components.geojson
      gridwalk export --type finding --scope grid:440304001 --format csv --labels zh -o findings.csv
    """
    options = Options(**given)
    registry = known_types(loaded_settings().settings)
    try:
        spec = record_type(registry, options.type)
    except ImportFailed as error:
        raise CommandFailed(error.message.zh, error.message.en) from error
    count = run(lambda database: _write(database, spec, options))
    if options.output != STDOUT:
        click.echo(
            say(f"{count} 条记录写入 {options.output}", f"{count} records written to {options.output}"), err=True
        )


async def _write(database: Database, spec: RecordType[Any], options: Options) -> int:
    datum = None if options.datum == AS_STORED else Datum(options.datum)

    def named(column: str) -> str:
        return _label(spec, column, options.labels)

    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f}"))
    with Progress(*columns, console=tables.console(to_stderr=True), transient=True) as progress:
        task = progress.add_task(say("导出", "Exporting"), total=None)
        async with database.store.reading() as tx:
            rows = exported_rows(tx, spec, options.scope, datum)
            try:
                with whole_file(options.output) as file:
                    return await _WRITERS[options.format](
                        file, rows, spec, named, lambda count: progress.update(task, completed=count)
                    )
            except BrokenPipeError:
                raise
            except OSError as error:
                what = error.strerror or str(error)
                raise CommandFailed(
                    f"无法写 {options.output}：{what}", f"cannot write {options.output}: {what}"
                ) from error


def _label(spec: RecordType[Any], column: str, language: str | None) -> str:
    if language is None:
        return column
    name, dot, part = column.partition(".")
    label = _BASE_LABELS[name] if name in _BASE_LABELS else spec.fields[name].label
    return f"{label.text(language)}{dot}{part}"
