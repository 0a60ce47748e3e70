"""Which unit grid a position lies in: by the grids in the store, or by a generated grid.

A generated grid can be found again from the records it left: its north-west and south-east corner cells are always
written, in the first transaction. They carry the smallest and the largest code, and tell bounds and cell size. So a
second file of the same district is numbered like the first, and an import that was cut off can go on.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import shapely

from field_schemas.datum import EARTH_RADIUS_M, Datum, convert
from field_schemas.grid_codes import GeneratedCell, GeneratedGrid
from field_schemas.places import Area
from server.importing.plan import Item, record_id
from server.importing.problems import ImportFailed
from sync.storage import ReadTransaction

UNIT_GRID = "unit_grid"
GENERATED = "generated"
"""The source under which generated cells are imported."""
DEFAULT_CELL_M = 250.0

_METRES_PER_DEGREE = math.pi * EARTH_RADIUS_M / 180
_EDGE_TOLERANCE = 1e-9
"""Degrees, about 0.1 mm: what rounding may do to an edge."""
_SIDE_TOLERANCE_M = 1e-5
_STEPS_PER_DEGREE = 10
"""Bounds of a new grid are whole tenths of a degree, so that there is room for what comes later."""

Point = tuple[float, float]


class StoredCell(msgspec.Struct, frozen=True):
    """A unit grid in the store: its code and its outline in WGS-84."""

    code: str
    outline: Any


async def stored_cells(tx: ReadTransaction) -> list[StoredCell]:
    """All unit grids of the store."""
    cells = []
    async for page in tx.scan(UNIT_GRID):
        for record in page:
            fields = msgspec.msgpack.decode(record.fields)
            cells.append(StoredCell(fields["code"], _outline(msgspec.convert(fields["boundary"], Area))))
    return cells


def _outline(area: Area) -> Any:
    rings = area.rings
    if area.datum not in (Datum.WGS84, Datum.CGCS2000):
        rings = [[convert(lon, lat, area.datum, Datum.WGS84) for lon, lat in ring] for ring in rings]
    return shapely.Polygon(rings[0], rings[1:])


class GridIndex:
    """The unit grids in the store, by place."""

    def __init__(self, cells: Iterable[StoredCell]) -> None:
        ordered = sorted(cells, key=lambda cell: cell.code)
        self._codes = [cell.code for cell in ordered]
        self._tree = shapely.STRtree([cell.outline for cell in ordered])

    def codes_at(self, points: Sequence[Point]) -> list[str | None]:
        """The code of the grid that holds each point (WGS-84), the smaller one on a common edge."""
        found: list[str | None] = [None] * len(points)
        if not points or not self._codes:
            return found
        which, cells = self._tree.query(shapely.points(points), predicate="intersects")
        for point, cell in zip(which.tolist(), cells.tolist(), strict=True):
            code, held = self._codes[cell], found[point]
            found[point] = code if held is None else min(code, held)
        return found


class GeneratedIndex:
    """A generated grid, with the cells that were asked for."""

    def __init__(self, grid: GeneratedGrid) -> None:
        self.grid = grid

    def codes_at(self, points: Sequence[Point]) -> list[str | None]:
        """The code of the cell that holds each point (WGS-84), None outside the grid's bounds."""
        return [self.grid.code_at(lon, lat) for lon, lat in points]

    def cells_for(self, points: Iterable[Point]) -> list[GeneratedCell]:
        """The cells that hold one of the points; first the two corners, which tell the grid to the next import."""
        grid = self.grid
        corners = {grid.code_at(grid.west, grid.north), grid.code_at(grid.east, grid.south)}
        codes = corners | {grid.code_at(*point) for point in points}
        return sorted(
            (cell for cell in grid.cells() if cell.code in codes), key=lambda cell: cell.code not in corners
        )


def grid_for(
    district: str, cells: Sequence[StoredCell], points: Iterable[Point], cell_m: float | None
) -> GeneratedGrid:
    """The generated grid of `district`: the one in the store, or a new one around `points`. Raises ImportFailed."""
    held = [cell for cell in cells if cell.code.startswith(district)]
    try:
        if not held:
            return GeneratedGrid(district, *_bounds_around(points), cell_m or DEFAULT_CELL_M)
        found = _recover(district, held)
    except ValueError as error:
        raise ImportFailed(f"无法生成网格：{error}", f"no grid can be generated: {error}") from error
    if found is None:
        raise ImportFailed(
            f"区划 {district} 已有正式网格，请去掉 --generate-grids",
            f"district {district} has unit grids that were not generated: leave out --generate-grids",
        )
    if cell_m is not None and len(found) > 1 and abs(found.cell_m - cell_m) > _SIDE_TOLERANCE_M:
        raise ImportFailed(
            f"区划 {district} 的网格边长是 {found.cell_m:g} 米，请去掉 --cell-m",
            f"the grid of district {district} has cells of {found.cell_m:g} m: leave out --cell-m",
        )
    return found


def check_grid(grid: GeneratedGrid, cells: Iterable[StoredCell]) -> None:
    """Raise ImportFailed where the district has cells that `grid` would not have made."""
    made = {cell.code: (cell.west, cell.south, cell.east, cell.north) for cell in grid.cells()}
    for cell in cells:
        if cell.code.startswith(grid.district) and not (
            cell.code in made and _is_close(made[cell.code], cell.outline.bounds)
        ):
            raise ImportFailed(
                f"区划 {grid.district} 已有另一套网格（如 {cell.code}）",
                f"district {grid.district} has another grid already, with {cell.code} for one",
            )


def cell_item(cell: GeneratedCell, number: int) -> Item:
    """The unit grid record of a generated cell."""
    west, south, east, north = cell.west, cell.south, cell.east, cell.north
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    fields = {"code": cell.code, "boundary": {"rings": [ring]}}
    return Item(number, cell.code, record_id(UNIT_GRID, GENERATED, cell.code), fields)


def _bounds_around(points: Iterable[Point]) -> tuple[float, float, float, float]:
    lons, lats = zip(*points, strict=True)
    steps = _STEPS_PER_DEGREE
    return (
        max(-180.0, math.floor(min(lons) * steps) / steps),
        max(-90.0, math.floor(min(lats) * steps) / steps),
        min(180.0, (math.floor(max(lons) * steps) + 1) / steps),
        min(90.0, (math.floor(max(lats) * steps) + 1) / steps),
    )


def _recover(district: str, held: Sequence[StoredCell]) -> GeneratedGrid | None:
    """The grid that generated these cells, None where none fits all of them."""
    outlines = {cell.code: cell.outline.bounds for cell in held}
    first, last = outlines[min(outlines)], outlines[max(outlines)]
    west, north, east, south = first[0], first[3], last[2], last[1]
    parallel = _METRES_PER_DEGREE * math.cos(math.radians((south + north) / 2))
    width, height = (first[2] - first[0]) * parallel, (first[3] - first[1]) * _METRES_PER_DEGREE
    # The corner cell is as high as any, unless there is one row only; then it is as wide as any; unless it is alone.
    for side in (round(height, 6), round(width, 6), max(height, width) * 1.01):
        grid = GeneratedGrid(district, west, south, east, north, side)
        made = {cell.code: (cell.west, cell.south, cell.east, cell.north) for cell in grid.cells()}
        if max(outlines) == max(made) and all(
            code in made and _is_close(made[code], outline) for code, outline in outlines.items()
        ):
            return grid
    return None


def _is_close(left: Sequence[float], right: Sequence[float]) -> bool:
    return all(abs(a - b) <= _EDGE_TOLERANCE for a, b in zip(left, right, strict=True))
