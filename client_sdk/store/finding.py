"""Local queries: by place, text and equal fields."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from client_sdk.store.nearby import WIDEST_M, cell_ranges
from client_sdk.store.searchtext import query_for
from client_sdk.store.thread import Tables
from field_schemas.datum import distance_m
from field_schemas.record import RecordType

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_FIRST_RADIUS_M = 20.0
_GROWTH = 3
_FEW = 1_000
"""A type with no more placed records than this is measured whole rather than searched ring by ring."""


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
    matches = _matcher(query)
    found: list[Found] = []
    for radius in _radii(tables, query):
        candidates = sorted(
            (distance, rowid)
            for rowid, x, y in _placed(tables, query.spec.name, lon, lat, radius)
            if (distance := distance_m(lon, lat, x, y)) <= radius and (only is None or rowid in only)
        )
        rows = (_by_rowid(tables, rowid) for _, rowid in candidates)
        found = list(islice(filter(matches, rows), query.limit))
        if len(found) == query.limit:
            break
    return found


def _radii(tables: Tables, query: Query) -> Iterator[float]:
    """Growing radii: the nearest are complete as soon as one of them holds enough."""
    widest = math.inf if query.within_m is None else query.within_m
    count = "SELECT count(*) FROM (SELECT 1 FROM records WHERE type = ? AND cell IS NOT NULL LIMIT ?)"
    (placed,) = tables.db.execute(count, (query.spec.name, _FEW + 1)).fetchone()
    radius = _FIRST_RADIUS_M if placed > _FEW else widest
    while query.limit is not None and radius < min(widest, WIDEST_M):
        yield radius
        radius *= _GROWTH
    yield widest


def _placed(
    tables: Tables, type_name: str, lon: float, lat: float, radius: float
) -> Iterable[tuple[int, float, float]]:
    select = "SELECT rowid, lon, lat FROM records WHERE type = ? AND cell "
    if radius > WIDEST_M:
        yield from tables.db.execute(select + "IS NOT NULL", (type_name,))
        return
    for first, last in cell_ranges(lon, lat, radius):
        yield from tables.db.execute(select + "BETWEEN ? AND ?", (type_name, first, last))


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
