"""The device's side of verification: digests of its own copies. A page at a time, so that local work goes on."""

import uuid
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from client_sdk.store.thread import Tables
from field_schemas.scopes import feed_key
from sync.digest import Entry, RangeDigest, digest_ranges

PAGE = 10_000
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_COPIES = (
    "SELECT rowid, id, type, version, owner, coalesce(server, fields) FROM records"
    " WHERE rowid > ? AND version > 0 AND gone = 0{} ORDER BY rowid LIMIT ?"
)
_ALL = _COPIES.format("")
_IN_RANGES = _COPIES.format(" AND instr(?, substr(id, 11, 1)) > 0")


class DigestPage(msgspec.Struct, frozen=True):
    """Digests of some copies by feed; `strays` lie in no feed that was asked for. Go on after row `last`."""

    last: int | None
    digests: dict[str, dict[str, RangeDigest]]
    strays: list[uuid.UUID]


class EntryPage(msgspec.Struct, frozen=True):
    """Some copies with their versions. Go on after row `last`."""

    last: int | None
    entries: list[Entry]


def digest_page(tables: Tables, feeds: Collection[str], after: int) -> DigestPage:
    """The digests of the server's copies in the next rows past `after`, for each of `feeds`."""
    entries: dict[str, list[Entry]] = {}
    strays: list[uuid.UUID] = []
    last = None
    for rowid, entry, lies_in in _rows(tables, _ALL, (after, PAGE)):
        last = rowid
        within = lies_in.intersection(feeds)
        for feed in within:
            entries.setdefault(feed, []).append(entry)
        if not within:
            strays.append(entry[0])
    return DigestPage(last, {feed: digest_ranges(found) for feed, found in entries.items()}, strays)


def entry_page(tables: Tables, feed: str, ranges: Collection[str], after: int) -> EntryPage:
    """The copies of `feed` in the next rows past `after` that fall into `ranges` of two hex digits."""
    wanted = bytes.fromhex("".join(ranges))
    entries: list[Entry] = []
    last = None
    for rowid, entry, lies_in in _rows(tables, _IN_RANGES, (after, wanted, PAGE)):
        last = rowid
        if feed in lies_in:
            entries.append(entry)
    return EntryPage(last, entries)


def _rows(tables: Tables, select: str, parameters: tuple[Any, ...]) -> Iterator[tuple[int, Entry, set[str]]]:
    """(row, copy, its feeds) of the server's copies; those of unknown types are in no feed."""
    for rowid, record, name, version, owner, fields in tables.db.execute(select, parameters):
        scopes: tuple[str, ...] = ()
        if name in tables.registry:
            scopes = tables.registry.get(name).scopes(_decode(fields), owner)
        yield rowid, (uuid.UUID(bytes=record), version), set(map(feed_key, scopes))
