"""A file's position against the place of its task, which may be an area, and against the record's unit grid."""

import math

from field_schemas.datum import EARTH_RADIUS_M, Datum, convert
from field_schemas.media_findings import CheckFinding
from field_schemas.places import Area, Position
from media.checks.positions import between_m, judged
from media.thresholds import Thresholds

_Corner = tuple[float, float]
"""Metres to the east and north of the origin."""


def check_task_place(found: Position, place: Position | Area, thresholds: Thresholds) -> list[CheckFinding]:
    """Whether a file was made at the place of its task; nothing for an area that is none."""
    if isinstance(place, Area):
        return check_area("task_place", found, place, thresholds)
    return [judged("task_place", found, place, between_m(found, place), thresholds.photo_task_gap_m, thresholds)]


def check_area(name: str, found: Position, area: Area, thresholds: Thresholds) -> list[CheckFinding]:
    """The finding `name`_matches or `name`_differs; nothing for an area that is none."""
    gap_m = outside_m(found, area)
    if gap_m is None:
        return []
    claimed = f"area of {len(area.rings[0]) - 1} corners {area.datum}"
    return [judged(name, found, claimed, gap_m, thresholds.photo_task_gap_m, thresholds)]


def outside_m(position: Position, area: Area) -> float | None:
    """Metres from `position` to the nearest point of `area`, 0 inside; None where its corners are no numbers.

    What an odd number of rings enclose is inside: the outer ring without its holes. Measured in a plane that touches
    the earth at the position: exact near it, and too large by 1 % some 1,000 km away.
    """
    lon, lat = position.wgs84()
    east_m = math.radians(1) * EARTH_RADIUS_M * math.cos(math.radians(lat))
    north_m = math.radians(1) * EARTH_RADIUS_M
    edges: list[tuple[_Corner, _Corner]] = []
    for ring in area.rings:
        corners = [convert(*corner, area.datum, Datum.WGS84) for corner in ring]
        plane = [(_turn(x - lon) * east_m, (y - lat) * north_m) for x, y in corners]
        edges += zip(plane, plane[1:] + plane[:1], strict=True)
    if sum(_crosses_east(*edge) for edge in edges) % 2:
        return 0.0
    gap_m = min(_gap(*edge) for edge in edges)
    return gap_m if math.isfinite(gap_m) else None


def _crosses_east(one: _Corner, other: _Corner) -> bool:
    """Whether an edge crosses the ray that goes east from the origin."""
    (x1, y1), (x2, y2) = one, other
    return (y1 > 0) != (y2 > 0) and x1 + (x2 - x1) * y1 / (y1 - y2) > 0


def _gap(one: _Corner, other: _Corner) -> float:
    """The distance of an edge from the origin."""
    (x1, y1), (x2, y2) = one, other
    dx, dy = x2 - x1, y2 - y1
    length2 = dx * dx + dy * dy
    along = max(0.0, min(1.0, -(x1 * dx + y1 * dy) / length2)) if length2 else 0.0
    return math.hypot(x1 + along * dx, y1 + along * dy)


def _turn(degrees: float) -> float:
    """A difference of longitudes the short way round."""
    return (degrees + 180) % 360 - 180
