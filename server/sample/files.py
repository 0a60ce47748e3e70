"""The sample as files for `gridwalk import`: grids.geojson, components.csv, parks.geojson."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from server.sample.city import Cell, cells
from server.sample.inventory import Component, Park, components, parks

GRIDS, COMPONENTS, PARKS = "grids.geojson", "components.csv", "parks.geojson"
# Columns are called like the fields they fill.
_RENAMED = {"lon": "place.lon", "lat": "place.lat"}


def write_sample(folder: Path, count: int, seed: int) -> None:
    """Write the three files into `folder`, which is made if missing. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_features(folder / GRIDS, map(_cell_feature, cells()))
    _write_features(folder / PARKS, map(_park_feature, parks()))
    names = Component.__struct_fields__
    with (folder / COMPONENTS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([_RENAMED.get(name, name) for name in names])
        writer.writerows(msgspec.structs.astuple(component) for component in components(count, seed))


def _write_features(path: Path, features: Iterator[dict[str, Any]]) -> None:
    lines = b",\n".join(msgspec.json.encode(feature) for feature in features)
    path.write_bytes(b'{"type":"FeatureCollection","features":[\n' + lines + b"\n]}\n")


def _cell_feature(cell: Cell) -> dict[str, Any]:
    west, south, east, north = cell.west, cell.south, cell.east, cell.north
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    properties = {"code": cell.code, "name": cell.name, "street": cell.street, "community": cell.community}
    return _feature({"type": "Polygon", "coordinates": [ring]}, properties)


def _park_feature(park: Park) -> dict[str, Any]:
    properties = {"code": park.code, "kind": park.kind, "name": park.name, "responsible": park.responsible}
    return _feature({"type": "Point", "coordinates": [park.lon, park.lat]}, properties)


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}
