"""The part of a device that needs no network: typed records, queries, and what became of own work."""

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from client_sdk.attention import of_conflict, of_refusal
from client_sdk.batch import Batch
from client_sdk.errors import Invalid, NotAllowed
from client_sdk.parts import Parts
from client_sdk.reports import Attention, ChangeVerdict, PendingChange
from client_sdk.store import asking
from client_sdk.store.finding import Query, find
from client_sdk.store.records import RecordRow
from client_sdk.store.rescue import RescueReport
from client_sdk.store.writing import Author, Kind, LocalWrite, commit
from field_schemas.access import Grant
from field_schemas.places import Position
from field_schemas.record import FieldError, Record, type_of
from field_schemas.types.attention import Conflict, Refusal
from sync.ids import uuid7

R = TypeVar("R", bound=Record)
_plain = msgspec.msgpack.Encoder().encode


class LocalDevice:
    """Reads and writes the store. Each call is one transaction: once it returns, its effect is on disk."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store

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
    def rescue(self) -> RescueReport | None:
        """What was saved when the store was found damaged on opening, None when it was sound."""
        return self._parts.rescue

    async def create(self, record: R) -> R:
        """Store a new record; returned with its id. Raises NotAllowed or Invalid, then nothing is stored."""
        batch = self._batch()
        created = batch.create(record)
        await self._commit(batch.writes)
        return created

    async def update(self, record: R, /, **fields: Any) -> R:
        """Set fields of `record`: values, but for counters the difference, for append fields a list of entries, for
        sets a `SetOperand`. Returns the record as it is then. Raises NotAllowed or Invalid, then nothing is stored.

        `record` is what the user looked at: edits of others that are newer than it count as concurrent.
        """
        batch = self._batch()
        batch.update(record, **fields)
        (row,) = await self._commit(batch.writes)
        return self._typed(type(record), row.id, row.version, row.fields)

    async def delete(self, record: Record) -> None:
        """Delete `record`. Raises NotAllowed or Invalid, then nothing happens."""
        batch = self._batch()
        batch.delete(record)
        await self._commit(batch.writes)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        """Collect writes; when the context ends well, they are stored together. Raises NotAllowed or Invalid."""
        batch = self._batch()
        yield batch
        await self._commit(batch.writes)

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
        their beginning. `equals` compares fields. Raises Invalid for a field that the type does not have.
        """
        spec = type_of(cls)
        if unknown := equals.keys() - spec.fields.keys():
            raise Invalid("field_unknown", f"{spec.name} has no {', '.join(sorted(unknown))}")
        point = near.wgs84() if isinstance(near, Position) else near
        plain = msgspec.msgpack.decode(_plain(equals))
        rows = await self._store.run(find, Query(spec, point, within_m, text, plain, limit))
        return [self._typed(cls, row.id, row.version, row.fields) for row in rows]

    async def pending(self) -> list[PendingChange]:
        """The changes that were not sent yet, in order."""
        return await self._store.run(asking.pending)

    async def verdicts(self, record: Record | None = None) -> list[ChangeVerdict]:
        """What became of the own changes of `record`, or of all own changes, in order."""
        return await self._store.run(asking.verdicts, None if record is None else record.id)

    async def conflicts(self) -> list[Conflict]:
        """The open conflicts on this device."""
        return await self.find(Conflict, state="open")

    async def refusals(self) -> list[Refusal]:
        """The open refusals on this device."""
        return await self.find(Refusal, state="open")

    async def needs_attention(self, language: str = "zh") -> list[Attention]:
        """All open conflicts and refusals in the user's words, in Chinese ("zh...") or English."""
        conflicts, refusals = await self.conflicts(), await self.refusals()
        concerned = {one.record for one in conflicts} | {one.record for one in refusals}
        about = await self._store.run(asking.fields_of, concerned)
        registry = self._parts.registry
        return [
            *(of_conflict(registry, one, about.get(one.record), language) for one in conflicts),
            *(of_refusal(registry, one, about.get(one.record), language) for one in refusals),
        ]

    async def resolve(self, conflict: Conflict, values: dict[str, Any]) -> Conflict:
        """Settle a conflict by the `values` that shall hold. Raises NotAllowed or Invalid."""
        try:
            self._parts.registry.get(conflict.record_type).patch(values)
        except FieldError as error:
            raise Invalid(error.code, error.detail) from error
        return await self.update(conflict, resolution=values, state="resolved")

    async def resend(self, refusal: Refusal, **corrected: Any) -> None:
        """Make the refused change again, with `corrected` fields. Raises NotAllowed or Invalid."""
        batch = self._batch()
        batch.update(refusal, state="resent")
        again = await self._again(refusal, corrected)
        await self._commit([again, *batch.writes])

    async def dismiss(self, refusal: Refusal) -> Refusal:
        """Let the refused change be."""
        return await self.update(refusal, state="dismissed")

    async def _again(self, refusal: Refusal, corrected: dict[str, Any]) -> LocalWrite:
        """The refused change as a new one; the device's own copy knows more than the refusal, where it has one."""
        row, own = await self._store.run(asking.refused, refusal.record, refusal.change)
        if own is not None and own.delete and not corrected:
            kind, patch = Kind.DELETE, b"\x80"
        else:
            kind = Kind.CREATE if row is None else Kind.UPDATE
            fields = refusal.refused if own is None else msgspec.msgpack.decode(own.fields)
            try:
                patch = self._parts.registry.get(refusal.record_type).patch({**fields, **corrected})
            except FieldError as error:
                raise Invalid(error.code, error.detail) from error
        spec = self._parts.registry.get(refusal.record_type)
        change = uuid7(self._parts.clock.now_ms(), self._parts.random_bytes)
        return LocalWrite(kind, change, spec, refusal.record, patch, row.version if row else 0)

    def _batch(self) -> Batch:
        return Batch(self._parts.clock.now_ms, self._parts.random_bytes)

    async def _commit(self, writes: Iterable[LocalWrite]) -> list[RecordRow]:
        sessions = self._parts.sessions
        if sessions.account is None:
            raise NotAllowed("token_missing", "nobody has signed in on this device yet")
        author = Author(sessions.identity, sessions.account, self._parts.stamps, self._parts.clock)
        return await self._store.run(commit, author, list(writes))

    def _typed(self, cls: type[R], record_id: bytes, version: int, fields: bytes) -> R:
        return type_of(cls).typed(fields, uuid.UUID(bytes=record_id), version)
