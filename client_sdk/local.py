"""The part of a device that needs no network: typed records, queries, and what became of own work."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from client_sdk.batch import Batch
from client_sdk.errors import Invalid, NotAllowed
from client_sdk.parts import Parts
from client_sdk.reports import ChangeVerdict, PendingChange
from client_sdk.store import asking, texts
from client_sdk.store.finding import Query, find
from client_sdk.store.records import RecordRow
from client_sdk.store.rescue import RescueReport
from client_sdk.store.writing import Author, LocalWrite, commit
from field_schemas.access import Grant
from field_schemas.places import Position
from field_schemas.record import Record, type_of
from sync.receipts import Receipt

R = TypeVar("R", bound=Record)
_plain = msgspec.msgpack.Encoder().encode


class LocalDevice:
    """Reads and writes the store. Each call is one transaction: once it returns, its effect is on disk."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._wrote = asyncio.Event()

    @property
    def id(self) -> uuid.UUID:
        """The device's id. Another one after another user signed in, or when a rescue could not save it."""
        return self._parts.sessions.identity.device

    @property
    def user(self) -> str | None:
        """The user this store belongs to, None before the first sign-in."""
        return self._parts.sessions.identity.user

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The user's grants as the server told them last."""
        account = self._parts.sessions.account
        return account.grants if account else ()

    @property
    def last_receipt(self) -> Receipt | None:
        """The server's last signed word on what it holds of this device's changes: the first `held` of them, as of
        `issued_ms`. Checked when it came; None where there is none that holds."""
        return self._parts.meta.last_receipt

    @property
    def rescue(self) -> RescueReport | None:
        """What was saved when the store was found damaged on opening, None when it was sound."""
        return self._parts.rescue

    async def create(self, record: R) -> R:
        """Store a new record; returned with its id. Raises NotAllowed or Invalid, then nothing is stored."""
        author, batch = self._author(), self._batch()
        created = batch.create(record)
        await self._commit(author, batch.writes)
        return created

    async def update(self, record: R, /, **fields: Any) -> R:
        """Set fields of `record`: values, but for counters the difference, for append fields a list of entries, for
        sets a `SetOperand`. Returns the record as it is then. Raises NotAllowed or Invalid, then nothing is stored.

        `record` is what the user looked at: edits of others that are newer than it count as concurrent.
        """
        author, batch = self._author(), self._batch()
        batch.update(record, **fields)
        (row,) = await self._commit(author, batch.writes)
        return self._typed(type(record), row.id, row.version, row.fields)

    async def delete(self, record: Record) -> None:
        """Delete `record`. Raises NotAllowed or Invalid, then nothing happens."""
        author, batch = self._author(), self._batch()
        batch.delete(record)
        await self._commit(author, batch.writes)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        """Collect writes; when the context ends well, they are stored together. Raises NotAllowed or Invalid."""
        author, batch = self._author(), self._batch()
        yield batch
        await self._commit(author, batch.writes)

    async def get(self, cls: type[R], record_id: uuid.UUID) -> R | None:
        """The record as the user sees it, None where the device has none."""
        row = await self._store.run(asking.record, record_id)
        if row is None or row.deleted or row.type != type_of(cls).name:
            return None
        return self._typed(cls, row.id, row.version, row.fields)

    async def find(
        self,
        cls: type[R],
        *,
        near: Position | tuple[float, float] | None = None,
        within_m: float | None = None,
        text: str | None = None,
        limit: int | None = None,
        **equals: Any,
    ) -> list[R]:
        """The records of a type that match everything asked, nearest first when `near` is given, else oldest first.

        `near` is a position, or (lon, lat) in WGS-84 degrees. `text` finds Chinese by any part, other words by
        their beginning; right after a first sync it may wait for seconds until all is indexed. `equals` compares
        fields. Raises Invalid for a field that the type does not have.
        """
        spec = type_of(cls)
        if unknown := equals.keys() - spec.fields.keys():
            raise Invalid("field_unknown", f"{spec.name} has no {', '.join(sorted(unknown))}")
        point = near.wgs84() if isinstance(near, Position) else near
        plain = msgspec.msgpack.decode(_plain(equals))
        if text is not None:
            await self._index_texts()
        rows = await self._store.run(find, Query(spec, point, within_m, text, plain, limit))
        return [self._typed(cls, row.id, row.version, row.fields) for row in rows]

    async def pending(self) -> list[PendingChange]:
        """The changes that were not sent yet, in order."""
        return await self._store.run(asking.pending)

    async def verdicts(self, record: Record | None = None) -> list[ChangeVerdict]:
        """What became of the own changes of `record`, or of all own changes, in order."""
        return await self._store.run(asking.verdicts, None if record is None else record.id)

    async def _index_texts(self) -> None:
        """Index what a snapshot brought, up to what is here by now; other work goes on between the steps."""
        goal = self._parts.meta.last_unindexed
        more = goal > 0
        while more:
            more = await self._store.run(texts.index_some, goal)

    def _batch(self) -> Batch:
        return Batch(self._parts.clock.now_ms, self._parts.random_bytes)

    async def _commit(self, author: Author, writes: Iterable[LocalWrite]) -> list[RecordRow]:
        rows = await self._store.run(commit, author, list(writes))
        self._wrote.set()
        return rows

    def _author(self) -> Author:
        """Who writes. To be asked before anything is awaited: by then the phone may be another user's."""
        sessions = self._parts.sessions
        if sessions.account is None:
            raise NotAllowed("token_missing", "nobody has signed in on this device yet")
        return Author(sessions.identity, sessions.account, self._parts.stamps, self._parts.clock)

    def _typed(self, cls: type[R], record_id: bytes, version: int, fields: bytes) -> R:
        return type_of(cls).typed(fields, uuid.UUID(bytes=record_id), version)
