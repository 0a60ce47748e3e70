"""A file's position against the place of its task, which may be an area. Server only: polygons need shapely."""

import math

from shapely import Point, Polygon, make_valid
from shapely.errors import GEOSException

from field_schemas.datum import EARTH_RADIUS_M, Datum, convert
from field_schemas.media_findings import CheckFinding
from field_schemas.places import Area, Position
from media.checks.positions import between_m, judged
from media.thresholds import Thresholds


def check_task_place(found: Position, place: Position | Area, thresholds: Thresholds) -> list[CheckFinding]:
    """Whether a file was made at the place of its task; nothing for an area that is none."""
    if isinstance(place, Position):
        return [judged("task_place", found, place, between_m(found, place), thresholds.photo_task_gap_m, thresholds)]
    gap_m = outside_m(found, place)
    if gap_m is None:
        return []
    claimed = f"area of {len(place.rings[0]) - 1} corners {place.datum}"
    return [judged("task_place", found, claimed, gap_m, thresholds.photo_task_gap_m, thresholds)]


def outside_m(position: Position, area: Area) -> float | None:
    """Metres from `position` to the nearest point of `area`, 0 inside; None where the rings make no area.

    Measured in a plane that touches the earth at the position: exact near it, and too large by 1 % some 1,000 km
    away.
    """
    lon, lat = position.wgs84()
    east_m = math.radians(1) * EARTH_RADIUS_M * math.cos(math.radians(lat))
    north_m = math.radians(1) * EARTH_RADIUS_M

    def plane(ring: list[tuple[float, float]]) -> list[tuple[float, float]]:
        corners = [convert(*corner, area.datum, Datum.WGS84) for corner in ring]
        return [(_turn(x - lon) * east_m, (y - lat) * north_m) for x, y in corners]

    try:
        shape = make_valid(Polygon(plane(area.rings[0]), [plane(hole) for hole in area.rings[1:]]))
        return None if shape.is_empty else float(shape.distance(Point(0, 0)))
    except (GEOSException, ValueError):
        return None


def _turn(degrees: float) -> float:
    """A difference of longitudes the short way round."""
    return (degrees + 180) % 360 - 180
