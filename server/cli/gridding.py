"""gridwalk grids"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from field_schemas.grid_codes import GeneratedGrid
from server.cli.session import known_types, loaded_settings, now_ms, run
from server.cli.words import CommandFailed, say
from server.exporting.files import STDOUT, whole_file
from server.importing.grids import DEFAULT_CELL_M, UNIT_GRID, cell_item, check_grid, stored_cells
from server.importing.loading import Counts, Loader
from server.importing.problems import BadRow
from server.importing.run import batches
from server.storage.database import Database


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    district: str
    bounds: str
    cell_m: float
    output: Path
    load: bool


@click.command()
@click.option("--district", required=True, metavar="CODE", help="Six-digit district code, as in 440304.")
@click.option("--bounds", required=True, metavar="W,S,E,N", help="Degrees WGS-84, as in 114.0,22.5,114.1,22.6.")
@click.option(
    "--cell-m", type=float, default=DEFAULT_CELL_M, show_default=True, metavar="METRES", help="Side of a cell."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=STDOUT,
    help="File to write. [default: standard output]",
)
@click.option("--load", is_flag=True, help="Load the grids into the database instead of writing a file.")
def grids(**given: Any) -> None:
    """Generate a regular unit grid for a district that has none 生成网格.

    Codes have 15 digits, as GB/T 30428 practice has them: district, street, community, sequence, numbered from
    the north-west. Loading the same grid again changes nothing; imports with --generate-grids then use it.

    \b
    Examples:
      gridwalk grids --district 110100 --bounds 116.2,39.8,116.6,40.1 -o grids.geojson
      gridwalk grids --district 110100 --bounds 116.2,39.8,116.6,40.1 --cell-m 500 --load
    """
    options = Options(**given)
    grid = _grid(options)
    if options.load:
        counts = run(lambda database: _load(database, grid))
        click.echo(
            say(
                f"{len(grid)} 个网格：新建 {counts.created}，未变 {counts.unchanged}",
                f"{len(grid)} grids: {counts.created} created, {counts.unchanged} unchanged",
            )
        )
        return
    try:
        with whole_file(options.output) as file:
            _write(file, grid)
    except OSError as error:
        raise CommandFailed(
            f"无法写 {options.output}：{error.strerror}", f"cannot write {options.output}: {error.strerror}"
        ) from error


def _grid(options: Options) -> GeneratedGrid:
    try:
        west, south, east, north = (float(part) for part in options.bounds.split(","))
    except ValueError:
        raise click.UsageError(
            say("--bounds 写作 西,南,东,北", "--bounds takes four numbers: west,south,east,north")
        ) from None
    try:
        return GeneratedGrid(options.district, west, south, east, north, options.cell_m)
    except ValueError as error:
        raise CommandFailed(f"无法生成网格：{error}", f"no grid can be generated: {error}") from error


def _write(file: BinaryIO, grid: GeneratedGrid) -> None:
    file.write(b'{"type":"FeatureCollection","features":[')
    for number, feature in enumerate(_features(grid)):
        file.write(b",\n" if number else b"\n")
        file.write(msgspec.json.encode(feature))
    file.write(b"\n]}\n")


def _features(grid: GeneratedGrid) -> Iterator[dict[str, Any]]:
    for cell in grid.cells():
        boundary = cell_item(cell, 0).fields["boundary"]
        yield {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": boundary["rings"]},
            "properties": {"code": cell.code},
        }


async def _load(database: Database, grid: GeneratedGrid) -> Counts:
    registry = known_types(loaded_settings().settings)
    bad: list[BadRow] = []
    async with database.store.reading() as tx:
        check_grid(grid, await stored_cells(tx))
    loader = Loader(database.store, registry, registry.get(UNIT_GRID), now_ms, os.urandom, bad.append)
    counts = Counts()
    items = (cell_item(cell, number) for number, cell in enumerate(grid.cells(), start=1))
    for batch in batches(items):
        counts.add(await loader.load(batch))
    for row in bad[:1]:
        raise CommandFailed(row.reason.zh, row.reason.en)
    return counts
