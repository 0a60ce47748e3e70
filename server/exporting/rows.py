"""Records as rows of a file: field names, plain values, the place apart.

A position keeps its coordinates bit for bit, in the datum it is stored in, unless another is asked for.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from field_schemas.datum import Datum, convert
from field_schemas.places import Area, Position
from field_schemas.record import RecordType
from field_schemas.scopes import covers
from sync.forms import record_now
from sync.storage import ReadTransaction, StoredRecord

_fields = msgspec.msgpack.Decoder(dict[str, Any])


class ExportedRow(msgspec.Struct):
    """One record: plain field values with defaults, but for its place."""

    id: str
    version: int
    fields: dict[str, Any]
    place: Position | Area | None


async def exported_rows(
    tx: ReadTransaction, spec: RecordType[Any], scope: str | None, datum: Datum | None
) -> AsyncIterator[ExportedRow]:
    """The living records of a type by id, those within `scope` (None: all), in `datum` (None: as stored).

    Raises SyncError `server_behind`.
    """
    async for page in tx.scan(spec.name):
        for record in page:
            if scope is None or any(covers(scope, held) for held in record.scopes):
                yield _row(spec, record, datum)


def _row(spec: RecordType[Any], record: StoredRecord, datum: Datum | None) -> ExportedRow:
    stored = spec.defaults | _fields.decode(record_now(spec, record).fields)
    fields = {name: msgspec.to_builtins(stored.get(name)) for name in spec.fields if name != spec.place}
    place = stored.get(spec.place) if spec.place else None
    return ExportedRow(str(record.id), record.version, fields, in_datum(place_of(place), datum) if place else None)


def place_of(value: dict[str, Any]) -> Position | Area:
    """The place that a stored value is."""
    return msgspec.convert(value, Area) if "rings" in value else msgspec.convert(value, Position)


def in_datum(place: Position | Area, datum: Datum | None) -> Position | Area:
    """The place in degrees of `datum`; untouched where it is None or the same."""
    if datum is None or place.datum is datum:
        return place
    if isinstance(place, Position):
        lon, lat = convert(place.lon, place.lat, place.datum, datum)
        return msgspec.structs.replace(place, lon=lon, lat=lat, datum=datum)
    rings = [[convert(lon, lat, place.datum, datum) for lon, lat in ring] for ring in place.rings]
    return Area(rings, datum)
