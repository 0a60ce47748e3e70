"""Filling in the unit grid of rows that name none, by the position they have."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from field_schemas.places import Position
from field_schemas.record import RecordType
from server.importing.grids import (
    GeneratedIndex,
    GridIndex,
    Point,
    StoredCell,
    cell_item,
    grid_for,
    stored_cells,
)
from server.importing.loading import BATCH, Loader, coded_problem
from server.importing.plan import Item
from server.importing.problems import RowProblem
from sync.storage import Store

Refuse = Callable[[Item, RowProblem], None]


class GenerateGrids(msgspec.Struct, frozen=True):
    """Make unit grids where there are none: of which district, how large (None: as they are, or 250 m)."""

    district: str
    cell_m: float | None = None


class Placer:
    """Finds the grids of a type's records; `field` is the field that holds the grid."""

    def __init__(self, spec: RecordType[Any], field: str, index: GridIndex | GeneratedIndex) -> None:
        self._place = spec.place or ""
        self._field = field
        self._index = index

    def place(self, items: Iterable[Item], refuse: Refuse) -> list[Item]:
        """The items with their grids filled in; those in no grid, and those at no possible place, are refused."""
        kept: list[Item] = []
        waiting: list[tuple[Item, Point]] = []
        for item in items:
            try:
                point = point_of(item, self._place, self._field)
            except RowProblem as problem:
                refuse(item, problem)
                continue
            kept.append(item)
            if point is not None:
                waiting.append((item, point))
        outside = set()
        codes = self._index.codes_at([point for _, point in waiting])
        for (item, point), code in zip(waiting, codes, strict=True):
            item.fields[self._field] = code
            if code is None:
                outside.add(item.id)
                refuse(item, coded_problem(self._field, "grid_unknown", f"{point[0]:.6f}, {point[1]:.6f} (WGS-84)"))
        return [item for item in kept if item.id not in outside]


def point_of(item: Item, place: str, grid: str) -> Point | None:
    """Where to look for the item's grid (WGS-84), None where it names one or has no place. Raises RowProblem."""
    value = item.fields.get(place)
    if value is None or item.fields.get(grid):
        return None
    try:
        return msgspec.convert(value, Position).wgs84()
    except msgspec.ValidationError as error:
        raise coded_problem(place, "value_invalid", str(error)) from error


async def known_cells(store: Store) -> list[StoredCell]:
    """The unit grids in the store."""
    async with store.reading() as tx:
        return await stored_cells(tx)


async def generate(
    wanted: GenerateGrids, held: list[StoredCell], points: list[Point], loader: Loader
) -> tuple[GeneratedIndex, int]:
    """The district's generated grid, and how many cells were written that the points needed. Raises ImportFailed."""
    index = GeneratedIndex(grid_for(wanted.district, held, points, wanted.cell_m))
    codes = {cell.code for cell in held}
    fresh = [cell for cell in index.cells_for(points) if cell.code not in codes]
    items = [cell_item(cell, number) for number, cell in enumerate(fresh, start=1)]
    for start in range(0, len(items), BATCH):
        await loader.load(items[start : start + BATCH])
    return index, len(fresh)
