"""The sample's city: ten street areas that tile a box around Futian, their grids, and the roads through it.

Street codes and names, park names and centres are real (domain facts); outlines, communities, the courses of
roads and everything that stands along them are made up.
"""

import math
from collections.abc import Iterator

import msgspec

from field_schemas.grid_codes import FUTIAN_STREETS

DISTRICT = "440304"
WEST, SOUTH, EAST, NORTH = 113.991, 22.508, 114.127, 22.598
"""The box in WGS-84 degrees, about 14 by 10 km."""
METRES_PER_DEGREE_LAT = 111_195.0
METRES_PER_DEGREE_LON = METRES_PER_DEGREE_LAT * math.cos(math.radians((SOUTH + NORTH) / 2))

_COMMUNITY_M = 1_200
_CELLS = 4
"""A community is this many unit grids wide and high."""

# Street code to (west, south, east, north) as parts of the box; they tile it.
_STREET_AREAS = {
    "440304006": (0.00, 0.50, 0.30, 1.00),
    "440304007": (0.30, 0.72, 0.76, 1.00),
    "440304008": (0.30, 0.50, 0.56, 0.72),
    "440304009": (0.56, 0.50, 0.76, 0.72),
    "440304002": (0.76, 0.50, 1.00, 1.00),
    "440304005": (0.00, 0.00, 0.38, 0.50),
    "440304004": (0.38, 0.20, 0.66, 0.50),
    "440304010": (0.38, 0.00, 0.66, 0.20),
    "440304011": (0.66, 0.27, 1.00, 0.50),
    "440304001": (0.66, 0.00, 1.00, 0.27),
}


class Cell(msgspec.Struct, frozen=True):
    """One unit grid with its bounds in WGS-84 degrees."""

    code: str
    street: str
    community: str
    name: str
    west: float
    south: float
    east: float
    north: float


class Road(msgspec.Struct, frozen=True):
    """A road across the box: `across` is where it runs, as part of the box, `sway` how far it bends (degrees)."""

    name: str
    eastward: bool
    across: float
    sway: float

    @property
    def length_m(self) -> float:
        """From one side of the box to the other."""
        return (EAST - WEST) * METRES_PER_DEGREE_LON if self.eastward else (NORTH - SOUTH) * METRES_PER_DEGREE_LAT

    def at(self, along: float, aside_m: float) -> tuple[float, float]:
        """(lon, lat) at the part `along` of its course, `aside_m` metres to the north or east of its middle."""
        bend = self.sway * math.sin(along * 2 * math.pi)
        if self.eastward:
            lat = SOUTH + self.across * (NORTH - SOUTH) + bend + aside_m / METRES_PER_DEGREE_LAT
            return WEST + along * (EAST - WEST), lat
        lon = WEST + self.across * (EAST - WEST) + bend + aside_m / METRES_PER_DEGREE_LON
        return lon, SOUTH + along * (NORTH - SOUTH)


ROADS = (
    Road("北环大道", True, 0.74, 0.0020),
    Road("侨香路", True, 0.58, 0.0012),
    Road("莲花路", True, 0.52, 0.0008),
    Road("红荔路", True, 0.45, 0.0006),
    Road("深南大道", True, 0.37, 0.0005),
    Road("福华路", True, 0.30, 0.0004),
    Road("滨河大道", True, 0.22, 0.0010),
    Road("福强路", True, 0.14, 0.0008),
    Road("农林路", False, 0.15, 0.0006),
    Road("香蜜湖路", False, 0.25, 0.0010),
    Road("新洲路", False, 0.40, 0.0008),
    Road("益田路", False, 0.47, 0.0004),
    Road("金田路", False, 0.52, 0.0004),
    Road("彩田路", False, 0.58, 0.0008),
    Road("皇岗路", False, 0.65, 0.0010),
    Road("华强北路", False, 0.78, 0.0004),
    Road("上步路", False, 0.85, 0.0006),
    Road("红岭路", False, 0.94, 0.0006),
)


def cells() -> Iterator[Cell]:
    """All unit grids, street by street, numbered west to east and north to south."""
    for street, area in sorted(_STREET_AREAS.items()):
        west, east = WEST + area[0] * (EAST - WEST), WEST + area[2] * (EAST - WEST)
        south, north = SOUTH + area[1] * (NORTH - SOUTH), SOUTH + area[3] * (NORTH - SOUTH)
        columns = max(1, round((east - west) * METRES_PER_DEGREE_LON / _COMMUNITY_M)) * _CELLS
        rows = max(1, round((north - south) * METRES_PER_DEGREE_LAT / _COMMUNITY_M)) * _CELLS
        lons = [_edge(west, east, index, columns) for index in range(columns + 1)]
        lats = [_edge(north, south, index, rows) for index in range(rows + 1)]
        for row in range(rows):
            for column in range(columns):
                yield _cell(street, columns, column, row, lons, lats)


def _cell(street: str, columns: int, column: int, row: int, lons: list[float], lats: list[float]) -> Cell:
    name = FUTIAN_STREETS[street][0]
    community = row // _CELLS * (columns // _CELLS) + column // _CELLS + 1
    sequence = row % _CELLS * _CELLS + column % _CELLS + 1
    return Cell(
        code=f"{street}{community:03d}{sequence:03d}",
        street=f"{name}街道",
        community=f"{name}第{community}社区",
        name=f"{name}{community}-{sequence}",
        west=lons[column],
        south=lats[row + 1],
        east=lons[column + 1],
        north=lats[row],
    )


def _edge(start: float, end: float, index: int, count: int) -> float:
    # Rounded, so that neighbouring areas share their edges exactly.
    return round(start + (end - start) * index / count, 7)
