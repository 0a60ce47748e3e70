"""Positions and areas with their declared datum; the raw value is kept, WGS-84 is derived (domain: Positions)."""

import math
from typing import Annotated

import h3.api.basic_int as h3
import msgspec

from field_schemas.datum import Datum, convert

Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Metres = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]

CELL_RESOLUTION = 12
"""H3 resolution of the stored place index: cells about 19 m across."""


class Position(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A point as it was measured: degrees in `datum`, with its accuracy radius in metres where known."""

    lon: Longitude
    lat: Latitude
    datum: Datum = Datum.WGS84
    accuracy_m: Metres | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.lon) or math.isnan(self.lat):
            raise ValueError("a position needs numbers for lon and lat")

    def wgs84(self) -> tuple[float, float]:
        """(longitude, latitude) in WGS-84 degrees."""
        return convert(self.lon, self.lat, self.datum, Datum.WGS84)


class Area(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A polygon as in GeoJSON: `rings[0]` is the outer ring, further rings are holes; points are (lon, lat)."""

    rings: Annotated[
        list[Annotated[list[tuple[Longitude, Latitude]], msgspec.Meta(min_length=4, max_length=10_000)]],
        msgspec.Meta(min_length=1, max_length=100),
    ]
    datum: Datum = Datum.WGS84

    def wgs84(self) -> tuple[float, float]:
        """The middle of the outer ring's bounding box, WGS-84 degrees."""
        lons, lats = zip(*self.rings[0], strict=True)
        return convert((min(lons) + max(lons)) / 2, (min(lats) + max(lats)) / 2, self.datum, Datum.WGS84)


def place_cell(lon: float, lat: float) -> int:
    """The H3 cell at CELL_RESOLUTION of a WGS-84 point, below 2^63."""
    return int(h3.latlng_to_cell(lat, lon, CELL_RESOLUTION))
