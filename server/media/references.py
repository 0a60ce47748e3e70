"""Which records name which media: noted before a push is decided, so that no crash forgets one.

What is noted of a push that is then refused, or never decided, keeps a blob longer than needed and gives nobody
access: that takes a record that may be read and names it, and an author who holds the bytes (server.media.library).
What was written by another way than a push is found later by looking through the records; the log tells who wrote
it.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from field_schemas.media import digests_in, media_fields
from field_schemas.registry import Registry
from server.media.tables import media_references
from server.storage.database import Database
from server.storage.upsert import upsert
from sync.clock import Milliseconds
from sync.messages import Change, Outcome
from sync.storage import ReadTransaction, StoredRecord

_json = msgspec.json.Decoder(dict[str, Any]).decode
_msgpack = msgspec.msgpack.Decoder(dict[str, Any]).decode
TASK = "task"
"""The field by which a record says which task it belongs to."""
LINKS = (TASK, "about", "finding", "case", "record")
"""The fields by which records name others of one matter."""
_ESCAPED = b"\\u00"
"""By which JSON can spell a plain letter otherwise."""


class Reference(msgspec.Struct, frozen=True):
    """A field of a record that, by the word of `user`, names a blob."""

    digest: str
    record: uuid.UUID
    field: str
    user: str


class References:
    """The references in a database, by the types of `registry` that can name media."""

    def __init__(self, database: Database, registry: Registry, now_ms: Milliseconds) -> None:
        self._database = database
        self._now_ms = now_ms
        self.fields = {spec.name: fields for spec in registry if (fields := media_fields(spec))}
        self._places = {spec.name: spec.place for spec in registry if spec.name in self.fields}
        self._spelled = {name: [field.encode() for field in fields] for name, fields in self.fields.items()}

    async def note_pushed(self, user: str, changes: Iterable[Change], *, as_json: bool) -> None:
        """Note what the changes of a push name."""
        found = [one for change in changes for one in self._named(user, change, as_json)]
        if found:
            async with self._database.engine.begin() as connection:
                await note(connection, found, self._now_ms())

    async def note_decided(self, changes: Iterable[Change]) -> None:
        """After the changes of a push were decided: have media checked again whose record they moved."""
        await self.look_again({change.record for change in changes if change.base and change.type in self.fields})

    async def look_again(self, records: Collection[uuid.UUID]) -> None:
        """Have media checked again where its record is not what it was when that was checked."""
        checked = (media_references.c.check_ms.is_(None), media_references.c.basis.is_not(None))
        wanted = select(media_references.c.record, media_references.c.basis).distinct()
        if not records:
            return
        async with self._database.read_engine.connect() as connection:
            rows = await connection.execute(wanted.where(media_references.c.record.in_(records), *checked))
            bases = [tuple(row) for row in rows]
        if not bases:
            return
        async with self._database.store.reading() as tx:
            now = {key: self.basis(record) for key, record in (await tx.records({key for key, _ in bases})).items()}
        moved = {key for key, basis in bases if now.get(key) != basis}
        if moved:
            due = update(media_references).where(media_references.c.record.in_(moved), *checked)
            async with self._database.engine.begin() as connection:
                await connection.execute(due.values(check_ms=self._now_ms(), checks=0))

    def basis(self, record: StoredRecord) -> str:
        """A digest of what its media is compared with of a record, and of where the verdict goes."""
        values = _msgpack(record.fields)
        place = self._places.get(record.type)
        compared = (record.scopes, values.get(place) if place else None, [values.get(link) for link in LINKS])
        return hashlib.sha256(msgspec.msgpack.encode(compared, order="deterministic")).hexdigest()

    async def note_standing(self, tx: ReadTransaction, page: Sequence[StoredRecord]) -> None:
        """Note what records name now and nobody was noted to have said."""
        standing = [(digest, record, field) for record in page for digest, field in self._standing(record)]
        if not standing:
            return
        known = (media_references.c.digest, media_references.c.record, media_references.c.field)
        wanted = select(*known).where(media_references.c.record.in_({record.id for _, record, _ in standing}))
        async with self._database.read_engine.connect() as connection:
            noted = {tuple(row) for row in await connection.execute(wanted)}
        found = [
            Reference(digest, record.id, field, await _author(tx, record.id, digest))
            for digest, record, field in standing
            if (digest, record.id, field) not in noted
        ]
        if found:
            async with self._database.engine.begin() as connection:
                await note(connection, found, self._now_ms())

    def _standing(self, record: StoredRecord) -> Iterator[tuple[str, str]]:
        """The digests that a record names now, with the field."""
        values = _msgpack(record.fields)
        for field in self.fields.get(record.type, ()):
            for digest in digests_in(values.get(field)):
                yield digest, field

    def _named(self, user: str, change: Change, as_json: bool) -> Iterator[Reference]:
        spelled = self._spelled.get(change.type)
        if spelled is None:
            return
        raw = bytes(change.fields)
        if not any(field in raw for field in spelled) and not (as_json and _ESCAPED in raw):
            return
        values = _fields_of(raw, as_json)
        for field in self.fields[change.type]:
            for digest in digests_in(values.get(field)):
                yield Reference(digest, change.record, field, user)


async def note(connection: AsyncConnection, found: Sequence[Reference], now_ms: int) -> None:
    """Note references; those that are known stay as they are."""
    rows = [{**msgspec.structs.asdict(one), "noted_ms": now_ms, "check_ms": now_ms, "checks": 0} for one in found]
    await connection.execute(upsert(connection, media_references).on_conflict_do_nothing(), rows)


async def _author(tx: ReadTransaction, record: uuid.UUID, digest: str) -> str:
    """Who wrote a digest into a record first; "", who vouches for nothing, where the log does not tell."""
    for change in await tx.history(record):
        if change.outcome is not Outcome.REFUSED and digest in digests_in(_msgpack(change.fields)):
            return change.user
    return ""


def _fields_of(raw: bytes, as_json: bool) -> dict[str, Any]:
    """The fields of a change; none where they cannot be read, which gets the change refused."""
    try:
        return _json(raw) if as_json else _msgpack(raw)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return {}
