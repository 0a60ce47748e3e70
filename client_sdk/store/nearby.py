"""Places outward from a point: H3 cells of one parent lie side by side as integers in the index of places."""

import heapq
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import h3.api.basic_int as h3

from field_schemas.datum import distance_m
from field_schemas.places import CELL_RESOLUTION

_EDGES_M = [h3.average_hexagon_edge_length(resolution, unit="m") for resolution in range(CELL_RESOLUTION + 1)]
_UNUSED = (1 << 3 * (15 - CELL_RESOLUTION)) - 1
"""The digits of an index below its resolution, all set."""
_REACH = 1.3
"""No place of a cell, or of its descendants, which stick out a little, is more average edges from its centre;
the most that a hundred thousand random places show is 1.15."""
_FEW = 24
"""A cell with no more places than this is read rather than divided."""
_PLACES = "SELECT rowid, lon, lat FROM records WHERE type = ? AND cell BETWEEN ? AND ? LIMIT ?"
_FIRST = "SELECT cell FROM records WHERE type = ? AND cell IS NOT NULL ORDER BY cell LIMIT 1"
_LAST = "SELECT cell FROM records WHERE type = ? AND cell IS NOT NULL ORDER BY cell DESC LIMIT 1"


class Near(NamedTuple):
    """A placed record, and how far it is."""

    distance_m: float
    rowid: int


def outward(db: sqlite3.Connection, type_name: str, lon: float, lat: float, within_m: float) -> Iterator[Near]:
    """The placed records of a type within `within_m` of a WGS-84 point, nearest first.

    Cells wait by the least distance that anything in them can have, records by their own; what is nearest of all
    is looked at next. So the work depends on how many records are taken, hardly on how many there are or how far.
    """
    waiting: list[tuple[float, int, int | None]] = []
    for cell in _roots(db, type_name):
        heapq.heappush(waiting, (least_m(cell, lon, lat), cell, h3.get_resolution(cell)))
    while waiting and waiting[0][0] <= within_m:
        distance, found, resolution = heapq.heappop(waiting)
        if resolution is None:
            yield Near(distance, found)
            continue
        places = _places(db, type_name, found, resolution)
        if places is None:
            for cell in h3.cell_to_children(found):
                heapq.heappush(waiting, (least_m(cell, lon, lat), cell, resolution + 1))
        else:
            for rowid, x, y in places:
                heapq.heappush(waiting, (distance_m(lon, lat, x, y), rowid, None))


def descendants(cell: int, resolution: int) -> tuple[int, int]:
    """The first and last cell at CELL_RESOLUTION whose index begins with that of `cell`."""
    finest = cell & ~(0xF << 52) | CELL_RESOLUTION << 52
    free = (1 << 3 * (15 - resolution)) - 1
    return finest & ~free | _UNUSED, finest | free


def _roots(db: sqlite3.Connection, type_name: str) -> list[int]:
    """Cells that together hold every placed record of the type: one, where the records of a city are all there is."""
    first, last = (db.execute(select, (type_name,)).fetchone() for select in (_FIRST, _LAST))
    if first is None:
        return []
    for resolution in range(CELL_RESOLUTION, -1, -1):
        root: int = h3.cell_to_parent(first[0], resolution)
        if root == h3.cell_to_parent(last[0], resolution):
            return [root]
    return list(h3.get_res0_cells())


def _places(
    db: sqlite3.Connection, type_name: str, cell: int, resolution: int
) -> list[tuple[int, float, float]] | None:
    """The places in a cell; None where they are many and the cell can be divided."""
    most = -1 if resolution == CELL_RESOLUTION else _FEW + 1
    rows = db.execute(_PLACES, (type_name, *descendants(cell, resolution), most)).fetchall()
    return None if len(rows) == most else rows


def least_m(cell: int, lon: float, lat: float) -> float:
    """No place in the cell is nearer than this."""
    cell_lat, cell_lon = h3.cell_to_latlng(cell)
    reach = _REACH * _EDGES_M[h3.get_resolution(cell)]
    least: float = max(0.0, distance_m(lon, lat, cell_lon, cell_lat) - reach)
    return least
