"""GeoJSON (RFC 7946) and CSV, written as the records come; a file appears only when it is whole."""

import csv
import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from field_schemas.places import Area, Position
from field_schemas.record import RecordType
from server.exporting.rows import ExportedRow
from server.place_fields import place_class

STDOUT = Path("-")
_POSITION_PARTS = ("lon", "lat", "datum", "accuracy_m")
_PROGRESS_EVERY = 1_000
_encode = msgspec.json.Encoder().encode

Names = Callable[[str], str]
Progress = Callable[[int], None]


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file for writing that takes `path`'s place when the block ends well; `-` is standard output."""
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


async def write_geojson(
    file: BinaryIO, rows: AsyncIterator[ExportedRow], spec: RecordType[Any], names: Names, progress: Progress
) -> int:
    """Write a FeatureCollection; how many features. Properties are called as `names` says."""
    count = 0
    file.write(b'{"type":"FeatureCollection","features":[')
    async for row in rows:
        file.write(b",\n" if count else b"\n")
        file.write(_encode(_feature(row, spec, names)))
        count += 1
        if count % _PROGRESS_EVERY == 0:
            progress(count)
    file.write(b"\n]}\n")
    progress(count)
    return count


def _feature(row: ExportedRow, spec: RecordType[Any], names: Names) -> dict[str, Any]:
    properties = {names("version"): row.version} | {names(name): value for name, value in row.fields.items()}
    return {
        "type": "Feature",
        "id": row.id,
        "geometry": _geometry(row.place),
        "properties": properties | {names(name): value for name, value in _place_properties(spec, row.place).items()},
    }


def _geometry(place: Position | Area | None) -> Mapping[str, Any] | None:
    if place is None:
        return None
    if isinstance(place, Area):
        return {"type": "Polygon", "coordinates": place.rings}
    return {"type": "Point", "coordinates": [place.lon, place.lat]}


def _place_properties(spec: RecordType[Any], place: Position | Area | None) -> dict[str, Any]:
    """What GeoJSON itself has no room for: the datum, and how accurate a position is."""
    if place is None:
        return {}
    properties: dict[str, Any] = {f"{spec.place}.datum": place.datum.value}
    if isinstance(place, Position) and place.accuracy_m is not None:
        properties[f"{spec.place}.accuracy_m"] = place.accuracy_m
    return properties


async def write_csv(
    file: BinaryIO, rows: AsyncIterator[ExportedRow], spec: RecordType[Any], names: Names, progress: Progress
) -> int:
    """Write UTF-8 CSV with byte order mark, as spreadsheets want it; how many rows. Lists are JSON texts."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    writer = csv.writer(text)
    columns = _columns(spec)
    writer.writerow([names(column) for column in columns])
    count = 0
    async for row in rows:
        cells = {"id": row.id, "version": row.version} | row.fields | _place_cells(spec, row.place)
        writer.writerow([_cell(cells.get(column)) for column in columns])
        count += 1
        if count % _PROGRESS_EVERY == 0:
            progress(count)
    text.flush()
    text.detach()
    progress(count)
    return count


def _columns(spec: RecordType[Any]) -> list[str]:
    columns = ["id", "version", *(name for name in spec.fields if name != spec.place)]
    if spec.place is None:
        return columns
    if place_class(spec) is Area:
        return [*columns, spec.place]
    return [*columns, *(f"{spec.place}.{part}" for part in _POSITION_PARTS)]


def _place_cells(spec: RecordType[Any], place: Position | Area | None) -> dict[str, Any]:
    if place is None:
        return {}
    if isinstance(place, Area):
        return {str(spec.place): {"rings": place.rings, "datum": place.datum.value}}
    return {f"{spec.place}.{part}": getattr(place, part) for part in _POSITION_PARTS}


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return _encode(value).decode() if isinstance(value, (list, dict)) else value
