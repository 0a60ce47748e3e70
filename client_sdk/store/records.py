"""The table of records with its indexes by place and by text."""

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from client_sdk.store.searchtext import indexed
from field_schemas.places import place_cell
from field_schemas.record import RecordType
from field_schemas.registry import Registry

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_COLUMNS = "id, type, version, owner, round, gone, deleted, fields, server"
_PARAMETERS = 1_000
_UPSERT = """
INSERT INTO records (id, type, version, owner, round, gone, deleted, fields, server, cell, lon, lat, rowid)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (rowid) DO UPDATE SET type = excluded.type, version = excluded.version, owner = excluded.owner,
    round = excluded.round, gone = excluded.gone, deleted = excluded.deleted, fields = excluded.fields,
    server = excluded.server, cell = excluded.cell, lon = excluded.lon, lat = excluded.lat
"""


_ADD = """
INSERT INTO records (id, type, version, owner, round, fields, cell, lon, lat, gone, deleted, rowid)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?) ON CONFLICT (id) DO NOTHING
"""
# A damaged store may hold text of rows that are lost.
_ADD_TEXT = "INSERT OR REPLACE INTO search (rowid, text) VALUES (?, ?)"
Place = tuple[int | None, float | None, float | None]
"""The columns cell, lon, lat."""


class NewRow(NamedTuple):
    """A record as the server said it, with its index columns."""

    id: bytes
    type: str
    version: int
    owner: str | None
    round: int
    fields: bytes
    place: Place


class Added(NamedTuple):
    """What `add_new` did: the rows past `after` up to `last` are new; the records `standing` were here before."""

    after: int
    last: int
    standing: set[bytes]


class RecordRow(NamedTuple):
    """One record. `version` is the server's, 0 while only this device knows it (see `schema` for the rest)."""

    id: bytes
    type: str
    version: int
    owner: str | None
    round: int
    gone: bool
    deleted: bool
    fields: bytes
    server: bytes | None

    @property
    def server_fields(self) -> bytes | None:
        """What the server said, None where it said nothing."""
        if self.server is not None:
            return self.server
        return self.fields if self.version else None

    def decoded(self) -> dict[str, Any]:
        """The fields as the user sees them."""
        return _decode(self.fields)


class Known(NamedTuple):
    """Where a record's row is, and of what version and round it is."""

    rowid: int
    version: int
    round: int


class Records:
    """Reads and writes records inside a transaction of the caller."""

    def __init__(self, db: sqlite3.Connection, registry: Registry) -> None:
        self._db = db
        self._registry = registry

    def get(self, record: uuid.UUID) -> RecordRow | None:
        """The row of a record, deleted ones included."""
        return self.get_bytes(record.bytes)

    def get_bytes(self, record: bytes) -> RecordRow | None:
        """As `get`, by the id's bytes."""
        select = f"SELECT {_COLUMNS} FROM records WHERE id = ?"  # noqa: S608 constant
        row = self._db.execute(select, (record,)).fetchone()
        return RecordRow(*row) if row else None

    def known(self, ids: Sequence[bytes]) -> dict[bytes, Known]:
        """What is here of the records."""
        found: dict[bytes, Known] = {}
        for start in range(0, len(ids), _PARAMETERS):
            some = ids[start : start + _PARAMETERS]
            marks = ",".join("?" * len(some))
            select = f"SELECT id, rowid, version, round FROM records WHERE id IN ({marks})"  # noqa: S608 only marks
            found.update((row[0], Known(*row[1:])) for row in self._db.execute(select, some))
        return found

    def put(self, row: RecordRow) -> None:
        """Insert or replace one record and its index entries."""
        self.put_many([row])

    def put_many(self, rows: list[RecordRow]) -> None:
        """Insert or replace records; each at most once in `rows`."""
        known = self.known([row.id for row in rows])
        old = [(one.rowid,) for one in known.values()]
        (last,) = self._db.execute("SELECT coalesce(max(rowid), 0) FROM records").fetchone()
        upserts: list[tuple[Any, ...]] = []
        texts: list[tuple[int, str]] = []
        for row in rows:
            if row.id in known:
                rowid = known[row.id].rowid
            else:
                last = rowid = last + 1
            place, text = self._indexed(row)
            upserts.append((*row, *place, rowid))
            if text:
                texts.append((rowid, text))
        self._db.executemany(_UPSERT, upserts)
        self._db.executemany("DELETE FROM search WHERE rowid = ?", old)
        self._db.executemany(_ADD_TEXT, texts)

    def add_new(self, rows: Sequence[NewRow]) -> Added:
        """Insert those of the records that are not here, without their texts. Each is at most once in `rows`."""
        (last,) = self._db.execute("SELECT coalesce(max(rowid), 0) FROM records").fetchone()
        numbered = list(enumerate(rows, last + 1))
        added = self._db.executemany(_ADD, ((*row[:6], *row.place, rowid) for rowid, row in numbered)).rowcount
        standing: set[bytes] = set()
        if added < len(rows):
            known = self.known([row.id for row in rows])
            standing = {record for record, one in known.items() if one.rowid <= last}
        return Added(last, last + len(rows), standing)

    def index_texts(self, after: int, last: int, limit: int) -> int:
        """Put the texts of the next rows past `after`, up to `last`, into the index; how far that leads."""
        select = "SELECT rowid, type, fields FROM records WHERE rowid > ? AND rowid <= ? AND deleted = 0 LIMIT ?"
        rows = self._db.execute(select, (after, last, limit)).fetchall()
        texts = [(rowid, self._text(name, _decode(fields))) for rowid, name, fields in rows]
        self._db.executemany(_ADD_TEXT, [one for one in texts if one[1]])
        return rows[-1][0] if len(rows) == limit else last

    def drop(self, ids: Iterable[bytes]) -> int:
        """Remove records; how many there were."""
        rowids = [(rowid,) for record in ids if (rowid := self._rowid(record)) is not None]
        self._db.executemany("DELETE FROM search WHERE rowid = ?", rowids)
        self._db.executemany("DELETE FROM records WHERE rowid = ?", rowids)
        return len(rowids)

    def of_earlier_rounds(self, current: int) -> list[bytes]:
        """The records whose server copy is of contents before round `current`."""
        return [
            row[0] for row in self._db.execute("SELECT id FROM records WHERE round < ? AND version > 0", (current,))
        ]

    def of_type(self, name: str) -> list[RecordRow]:
        """All records of a type, deleted ones included."""
        select = f"SELECT {_COLUMNS} FROM records WHERE type = ?"  # noqa: S608 constant
        return [RecordRow(*row) for row in self._db.execute(select, (name,))]

    def any_holds(self, text: str) -> bool:
        """Whether the fields of any record that is not deleted hold `text`; all records are looked at."""
        select = "SELECT 1 FROM records WHERE deleted = 0 AND instr(fields, ?) LIMIT 1"
        return self._db.execute(select, (text.encode(),)).fetchone() is not None

    def server_copies(self) -> Iterator[tuple[bytes, str, str | None, dict[str, Any]]]:
        """(id, type, owner, fields) of all records as the server said them."""
        select = "SELECT id, type, owner, coalesce(server, fields) FROM records WHERE version > 0"
        for record, name, owner, fields in self._db.execute(select):
            yield record, name, owner, _decode(fields)

    def _rowid(self, record: bytes) -> int | None:
        row = self._db.execute("SELECT rowid FROM records WHERE id = ?", (record,)).fetchone()
        return None if row is None else int(row[0])

    def _indexed(self, row: RecordRow) -> tuple[Place, str]:
        """(cell, lon, lat) and text for the indexes, empty for what queries must not find."""
        if row.deleted or row.type not in self._registry:
            return (None, None, None), ""
        fields = row.decoded()
        return place_in(self._registry.get(row.type), fields), self._text(row.type, fields)

    def _text(self, name: str, fields: dict[str, Any]) -> str:
        return indexed(self._registry.get(name).text_of(fields)) if name in self._registry else ""


def place_in(spec: RecordType[Any], fields: dict[str, Any]) -> Place:
    """Where a record with these fields lies, for the index by place."""
    try:
        position = spec.position(fields)
    except msgspec.ValidationError:
        # A later version of the type writes places otherwise: the record stays, only not on the map.
        position = None
    if position is None:
        return None, None, None
    return place_cell(*position), *position
