"""Local queries: by place, text and equal fields."""

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import msgspec

from client_sdk.store.nearby import Near, outward
from client_sdk.store.searchtext import query_for
from client_sdk.store.thread import Tables
from field_schemas.datum import distance_m
from field_schemas.record import RecordType

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_FEW = 1_000
"""No more hits of a text than this are measured one by one rather than looked for outward."""


class Query(msgspec.Struct, frozen=True):
    """What to look for. `near` is WGS-84 (lon, lat), `equals` field to plain (MessagePack) value."""

    spec: RecordType[Any]
    near: tuple[float, float] | None = None
    within_m: float | None = None
    text: str | None = None
    equals: dict[str, Any] = {}
    limit: int | None = None


class Found(msgspec.Struct, frozen=True):
    """One record found: id, the server's version, fields."""

    id: bytes
    version: int
    fields: bytes


def find(tables: Tables, query: Query) -> list[Found]:
    """The records that match, nearest first when `near` is given, else by id; at most `limit` (None: all)."""
    if query.near is not None:
        return _nearest(tables, query, *query.near)
    rows = (Found(*row) for row in _by_id(tables, query))
    return list(islice(filter(_matcher(query), rows), query.limit))


def _by_id(tables: Tables, query: Query) -> Iterable[tuple[bytes, int, bytes]]:
    if query.text is None:
        select = "SELECT id, version, fields FROM records WHERE type = ? AND deleted = 0 ORDER BY id"
        return tables.db.execute(select, (query.spec.name,))
    match = query_for(query.text)
    if not match:
        return ()
    # CROSS JOIN lets SQLite begin with the text; it would rather read the whole type in order.
    select = (
        "SELECT id, version, fields FROM search CROSS JOIN records ON records.rowid = search.rowid"
        " WHERE search MATCH ? AND type = ? AND deleted = 0 ORDER BY id"
    )
    return tables.db.execute(select, (match, query.spec.name))


def _nearest(tables: Tables, query: Query, lon: float, lat: float) -> list[Found]:
    only = _text_rowids(tables, query.text)
    within_m = math.inf if query.within_m is None else query.within_m
    near: Iterable[Near]
    if only is not None and len(only) <= _FEW:
        near = _measured(tables, query.spec.name, only, lon, lat, within_m)
    else:
        near = outward(tables.db, query.spec.name, lon, lat, within_m)
    rows = (_by_rowid(tables, rowid) for _, rowid in near if only is None or rowid in only)
    return list(islice(filter(_matcher(query), rows), query.limit))


def _measured(
    tables: Tables, type_name: str, rowids: Iterable[int], lon: float, lat: float, within_m: float
) -> list[Near]:
    """Those of the rows that are placed and within reach, nearest first."""
    select = "SELECT lon, lat FROM records WHERE rowid = ? AND type = ? AND cell IS NOT NULL"
    places = ((rowid, tables.db.execute(select, (rowid, type_name)).fetchone()) for rowid in rowids)
    near = (Near(distance_m(lon, lat, *place), rowid) for rowid, place in places if place is not None)
    return sorted(one for one in near if one.distance_m <= within_m)


def _text_rowids(tables: Tables, text: str | None) -> set[int] | None:
    if text is None:
        return None
    match = query_for(text)
    if not match:
        return set()
    return {row[0] for row in tables.db.execute("SELECT rowid FROM search WHERE search MATCH ?", (match,))}


def _by_rowid(tables: Tables, rowid: int) -> Found:
    return Found(*tables.db.execute("SELECT id, version, fields FROM records WHERE rowid = ?", (rowid,)).fetchone())


def _matcher(query: Query) -> Callable[[Found], bool]:
    wanted = [(name, value, query.spec.defaults.get(name)) for name, value in query.equals.items()]

    def matches(found: Found) -> bool:
        if not wanted:
            return True
        fields = _decode(found.fields)
        return all(fields.get(name, default) == value for name, value, default in wanted)

    return matches
