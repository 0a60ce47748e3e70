"""Places near a point as ranges of the place index: H3 cells of one parent lie side by side as integers."""

import math
from typing import Any

import h3.api.basic_int as h3

from field_schemas.datum import distance_m
from field_schemas.places import CELL_RESOLUTION

_EDGES_M = [h3.average_hexagon_edge_length(resolution, unit="m") for resolution in range(CELL_RESOLUTION + 1)]
_UNUSED = (1 << 3 * (15 - CELL_RESOLUTION)) - 1
"""The digits of an index below its resolution, all set."""
_SMALLEST_TO_AVERAGE = 0.7
"""H3 cells differ in size over the globe; no edge is shorter than this part of the average."""
_REACH = 2.0
"""No place of a cell, or of its descendants, which stick out a little, is more average edges from its centre."""
_EDGES_PER_RADIUS = 4
WIDEST_M = 2_000_000
"""Radii from here on take everything: the few coarse cells would cover the globe anyway."""


def cell_ranges(lon: float, lat: float, within_m: float) -> list[tuple[int, int]]:
    """Ranges (first, last) of cells at CELL_RESOLUTION that hold every place within `within_m` of a WGS-84 point.

    They hold some places beyond; the caller measures. Sorted, without overlaps.
    """
    resolution = _resolution_for(within_m)
    edge = _EDGES_M[resolution]
    reach = within_m + _REACH * edge
    # A ring of cells adds at least 1.5 of its edges. One ring more, for the point may stand anywhere in its cell.
    rings = math.ceil(reach / (1.5 * _SMALLEST_TO_AVERAGE * edge)) + 1
    cells = h3.grid_disk(h3.latlng_to_cell(lat, lon, resolution), rings)
    return _joined(sorted(_descendants(cell, resolution) for cell in cells if _distance_m(cell, lon, lat) <= reach))


def _distance_m(cell: Any, lon: float, lat: float) -> float:
    cell_lat, cell_lon = h3.cell_to_latlng(cell)
    return distance_m(lon, lat, cell_lon, cell_lat)


def _resolution_for(within_m: float) -> int:
    for resolution in range(CELL_RESOLUTION, 0, -1):
        if _EDGES_M[resolution] * _EDGES_PER_RADIUS >= within_m:
            return resolution
    return 0


def _descendants(cell: Any, resolution: int) -> tuple[int, int]:
    """The first and last cell at CELL_RESOLUTION whose index begins with that of `cell`."""
    finest = int(cell) & ~(0xF << 52) | CELL_RESOLUTION << 52
    free = (1 << 3 * (15 - resolution)) - 1
    return finest & ~free | _UNUSED, finest | free


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1 + _UNUSED:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
