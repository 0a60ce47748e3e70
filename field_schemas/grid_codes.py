"""Codes of unit grids and components as in GB/T 30428 practice; a generated grid where a district has none.

A new version of the standard is in draft, so widths, classes and names are data here, not scattered numbers.
"""

import math
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Self

import msgspec

from field_schemas.datum import EARTH_RADIUS_M

GRID_WIDTHS: Mapping[str, int] = MappingProxyType({"district": 6, "street": 3, "community": 3, "sequence": 3})
"""Digits of each part of a unit grid code, in order."""

COMPONENT_WIDTHS: Mapping[str, int] = MappingProxyType({"district": 6, "major": 2, "minor": 2, "sequence": 6})
"""Digits of each part of a component code, in order."""

MAJORS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "01": ("公用设施", "Public utilities"),
        "02": ("道路交通", "Roads and traffic"),
        "03": ("市容环境", "City appearance"),
        "04": ("园林绿化", "Parks and greening"),
        "05": ("其他", "Other"),
    }
)
"""Major classes of components 部件: code to (Chinese, English) name."""

EVENT_CLASSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "01": ("市容环境", "City appearance"),
        "02": ("宣传广告", "Publicity and advertising"),
        "03": ("施工管理", "Construction sites"),
        "04": ("突发事件", "Emergencies"),
        "05": ("街面秩序", "Street order"),
        "06": ("扩展", "Extension"),
    }
)
"""Classes of events 事件: code to (Chinese, English) name. The same digits as MAJORS mean other things."""

FUTIAN_STREETS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "440304001": ("南园", "Nanyuan"),
        "440304002": ("园岭", "Yuanling"),
        "440304004": ("福田", "Futian"),
        "440304005": ("沙头", "Shatou"),
        "440304006": ("香蜜湖", "Xiangmihu"),
        "440304007": ("梅林", "Meilin"),
        "440304008": ("莲花", "Lianhua"),
        "440304009": ("华富", "Huafu"),
        "440304010": ("福保", "Fubao"),
        "440304011": ("华强北", "Huaqiangbei"),
        "440304400": ("福田保税区", "Futian Bonded Zone"),
    }
)
"""The street offices of Futian and its bonded zone: official nine-digit code to (Chinese, English) name."""

MAX_STREETS: int = 10 ** GRID_WIDTHS["street"] - 1
"""Streets that the code of one district can number."""

# Where each part ends within the code, counted in digits from its start.
_GRID_ENDS = dict(zip(GRID_WIDTHS, accumulate(GRID_WIDTHS.values()), strict=True))
_COMPONENT_ENDS = dict(zip(COMPONENT_WIDTHS, accumulate(COMPONENT_WIDTHS.values()), strict=True))

# First digits of the regions of GB/T 2260.
_REGIONS = "12345678"


def _prefix_of(widths: Mapping[str, int]) -> str:
    district, *parts = widths.values()
    below = ""
    for width in reversed(parts):
        below = f"([0-9]{{{width}}}{below})?"
    return f"[{_REGIONS}][0-9]{{{district - 1}}}{below}"


GRID_PREFIX: str = _prefix_of(GRID_WIDTHS)
"""Regular expression of a whole grid scope's key: the code of a district, street, community or unit grid."""

# A generated community is this many cells wide and high, a generated street as many communities.
_BLOCK = 4
_STREET_CELLS = _BLOCK * _BLOCK

_METRES_PER_DEGREE = math.pi * EARTH_RADIUS_M / 180

# Bounds that are a whole number of cells but for rounding get no sliver of a cell beyond.
_SLIVER = 1e-9


def is_grid_prefix(text: str) -> bool:
    """Whether `text` is a grid scope: 6 (district), 9 (street), 12 (community) or 15 (unit grid) digits."""
    return re.fullmatch(GRID_PREFIX, text) is not None


class GridCode(msgspec.Struct, frozen=True):
    """The code of one unit grid 单元网格; ValueError where `text` is not one."""

    text: str

    def __post_init__(self) -> None:
        _check_code(self.text, GRID_WIDTHS, "unit grid code")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The code written as `text`: exactly 15 digits; ValueError says what is wrong with it."""
        return cls(text)

    @property
    def district(self) -> str:
        """The six-digit code of its district."""
        return self.text[: _GRID_ENDS["district"]]

    @property
    def street(self) -> str:
        """The nine-digit code of its street office, district included."""
        return self.text[: _GRID_ENDS["street"]]

    @property
    def community(self) -> str:
        """The twelve-digit code of its community, district and street included."""
        return self.text[: _GRID_ENDS["community"]]

    @property
    def sequence(self) -> str:
        """Its own three digits within the community."""
        return self.text[_GRID_ENDS["community"] :]

    def __str__(self) -> str:
        return self.text


class ComponentCode(msgspec.Struct, frozen=True):
    """The code of one component 部件; ValueError where `text` is not one.

    A major class beyond MAJORS is no error: cities extend the list.
    """

    text: str

    def __post_init__(self) -> None:
        _check_code(self.text, COMPONENT_WIDTHS, "component code")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The code written as `text`: exactly 16 digits; ValueError says what is wrong with it."""
        return cls(text)

    @property
    def district(self) -> str:
        """The six-digit code of its district."""
        return self.text[: _COMPONENT_ENDS["district"]]

    @property
    def major(self) -> str:
        """The two digits of its major class: a key of MAJORS, or a city's own."""
        return self.text[_COMPONENT_ENDS["district"] : _COMPONENT_ENDS["major"]]

    @property
    def minor(self) -> str:
        """The two digits of its minor class within the major one."""
        return self.text[_COMPONENT_ENDS["major"] : _COMPONENT_ENDS["minor"]]

    @property
    def kind(self) -> str:
        """Major and minor class together, four digits."""
        return self.major + self.minor

    @property
    def sequence(self) -> str:
        """Its own six digits within district and kind."""
        return self.text[_COMPONENT_ENDS["minor"] :]

    def __str__(self) -> str:
        return self.text


class GeneratedCell(msgspec.Struct, frozen=True):
    """One cell of a generated grid: its unit grid code and its bounds in degrees."""

    code: str
    west: float
    south: float
    east: float
    north: float


class _Axis(msgspec.Struct, frozen=True):
    """One direction of a grid: `count` steps from `start` on, the last one ending at `end` (degrees)."""

    start: float
    end: float
    step: float
    count: int

    def edge(self, index: int) -> float:
        """Where step `index` begins and the one before it ends."""
        return self.start + index * self.step if index < self.count else self.end

    def index_of(self, value: float) -> int:
        """The step that holds `value`, which lies within the axis; an edge belongs to the later step."""
        index = min(int((value - self.start) / self.step), self.count - 1)
        # Division and edge may round differently: the edge decides, so that cells and look-up agree.
        if (value - self.edge(index)) / self.step < 0:
            return index - 1
        if index + 1 < self.count and (value - self.edge(index + 1)) / self.step >= 0:
            return index + 1
        return index


class GeneratedGrid:
    """A regular grid for a district that has no grid file: square cells that tile the given bounds.

    Communities are blocks of 4 × 4 cells, streets blocks of 4 × 4 communities, all counted from the
    north-west corner and numbered west to east, then north to south, from 001. A number tells the place
    within the block, so numbers are missing where the bounds cut a block off. Cells at the east and south
    edge end at the bounds. Cell sides are `cell_m` metres on the mean sphere, at the bounds' middle latitude.
    """

    def __init__(
        self, district: str, west: float, south: float, east: float, north: float, cell_m: float = 250.0
    ) -> None:
        """Bounds in WGS-84 degrees, not across the 180th meridian.

        ValueError for a wrong district code, for bounds that are empty, not finite or out of range, for a
        cell size that is not positive, and for one so small that the 999 street numbers do not suffice.
        """
        _check_code(district, {"district": GRID_WIDTHS["district"]}, "district code")
        _check_bounds(west, south, east, north)
        if not (math.isfinite(cell_m) and cell_m > 0):
            raise ValueError(f"the cell size must be a positive number of metres, not {cell_m}")
        parallel = _METRES_PER_DEGREE * math.cos(math.radians((south + north) / 2))
        width_m, height_m = (east - west) * parallel, (north - south) * _METRES_PER_DEGREE
        self.district = district
        self.west, self.south, self.east, self.north = west, south, east, north
        self.cell_m = cell_m
        self.columns, self.rows = _cells_along(width_m, cell_m), _cells_along(height_m, cell_m)
        if _streets_along(self.columns) * _streets_along(self.rows) > MAX_STREETS:
            raise ValueError(
                f"cells of {cell_m:g} m need more than {MAX_STREETS} streets here;"
                f" a cell size of {_fitting_cell_m(width_m, height_m)} m fits"
            )
        self._eastward = _Axis(west, east, cell_m / parallel, self.columns)
        self._southward = _Axis(north, south, -cell_m / _METRES_PER_DEGREE, self.rows)

    def __len__(self) -> int:
        return self.columns * self.rows

    def cells(self) -> Iterator[GeneratedCell]:
        """All cells, row by row from the north, each row from the west."""
        for row in range(self.rows):
            north, south = self._southward.edge(row), self._southward.edge(row + 1)
            for column in range(self.columns):
                west, east = self._eastward.edge(column), self._eastward.edge(column + 1)
                yield GeneratedCell(self._code(column, row), west, south, east, north)

    def code_at(self, lon: float, lat: float) -> str | None:
        """The code of the cell that holds the point (WGS-84 degrees), None outside the bounds; constant time.

        An edge between two cells belongs to the eastern or southern one, the outer edge to the cell within.
        """
        if not (self.west <= lon <= self.east and self.south <= lat <= self.north):
            return None
        return self._code(self._eastward.index_of(lon), self._southward.index_of(lat))

    def _code(self, column: int, row: int) -> str:
        indices = {
            "street": row // _STREET_CELLS * _streets_along(self.columns) + column // _STREET_CELLS,
            "community": row // _BLOCK % _BLOCK * _BLOCK + column // _BLOCK % _BLOCK,
            "sequence": row % _BLOCK * _BLOCK + column % _BLOCK,
        }
        return self.district + "".join(f"{index + 1:0{GRID_WIDTHS[part]}d}" for part, index in indices.items())


def _are_digits(text: str) -> bool:
    # isdigit alone takes full-width and superscript digits too.
    return text.isascii() and text.isdigit()


def _check_code(text: str, widths: Mapping[str, int], name: str) -> None:
    # An error quotes no more of a hostile text than this.
    shown = repr(text[:40])
    if not _are_digits(text):
        raise ValueError(f"a {name} consists of digits only: {shown}")
    if len(text) != sum(widths.values()):
        parts = " + ".join(f"{width} {part}" for part, width in widths.items())
        raise ValueError(f"a {name} has {sum(widths.values())} digits ({parts}), not {len(text)}: {shown}")
    if text[0] not in _REGIONS:
        raise ValueError(f"a {name} begins with a district, whose first digit is 1 to 8: {shown}")


def _check_bounds(west: float, south: float, east: float, north: float) -> None:
    if not all(map(math.isfinite, (west, south, east, north))):
        raise ValueError("the bounds of a grid must be finite")
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= 90 and -90 <= north <= 90):
        raise ValueError("the bounds of a grid are out of range: longitude ±180, latitude ±90 degrees")
    if west >= east or south >= north:
        raise ValueError("the bounds of a grid are empty: west must be below east, south below north")


def _cells_along(length_m: float, cell_m: float) -> int:
    """How many cells cover the length: at least one, at most what shows that they are too many."""
    return max(1, math.ceil(min(length_m / cell_m, MAX_STREETS * _STREET_CELLS + 1) - _SLIVER))


def _streets_along(cells: int) -> int:
    return math.ceil(cells / _STREET_CELLS)


def _fitting_cell_m(width_m: float, height_m: float) -> int:
    """The smallest cell side in whole metres with which MAX_STREETS streets cover the area."""
    street_m = min(max(width_m / wide, height_m / (MAX_STREETS // wide)) for wide in range(1, MAX_STREETS + 1))
    return math.ceil(street_m / _STREET_CELLS)
