"""Geometries of GeoJSON as values of place fields. Coordinates stay bit for bit as read."""

from typing import Any

from server.importing.problems import RowProblem
from server.importing.reading import Geometry

POINTS = frozenset({"Point", "MultiPoint"})
POLYGONS = frozenset({"Polygon", "MultiPolygon"})


def position_of(field: str, geometry: Geometry | None) -> dict[str, Any] | None:
    """{lon, lat} of a point, None where there is none; heights are left out. Raises RowProblem."""
    if geometry is None or not geometry.coordinates:
        return None
    if geometry.type not in POINTS:
        raise _not(field, geometry.type, "点（Point）", "Point")
    point = geometry.coordinates if geometry.type == "Point" else _only(field, geometry.coordinates)
    if not (isinstance(point, list) and len(point) >= 2):
        raise RowProblem(field, "value_invalid", "坐标不是 [经度, 纬度]", "the coordinates are not [lon, lat]")
    return {"lon": point[0], "lat": point[1]}


def rings_of(field: str, geometry: Geometry | None) -> dict[str, Any] | None:
    """{rings} of a polygon, None where there is none. Raises RowProblem."""
    if geometry is None or not geometry.coordinates:
        return None
    if geometry.type not in POLYGONS:
        raise _not(field, geometry.type, "多边形（Polygon）", "Polygon")
    rings = geometry.coordinates if geometry.type == "Polygon" else _only(field, geometry.coordinates)
    try:
        return {"rings": [[point[:2] for point in ring] for ring in rings]}
    except TypeError:
        raise RowProblem(
            field, "value_invalid", "坐标不是多边形的环", "the coordinates are not rings of a polygon"
        ) from None


def _only(field: str, parts: Any) -> Any:
    if not isinstance(parts, list) or len(parts) != 1:
        raise RowProblem(
            field,
            "value_invalid",
            "几何有多个部分，该字段只接受一个",
            "the geometry has several parts, the field takes one",
        )
    return parts[0]


def _not(field: str, found: str, zh: str, en: str) -> RowProblem:
    return RowProblem(field, "value_invalid", f"几何类型是 {found}，需要{zh}", f"the geometry is {found}, not {en}")
