"""What one server process sees of the database: transactions that wait, collide, and may die at each step.

The promises are those of `sync.storage`.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import reduce

import msgspec

from client_sdk.simulation.database import Database, renewed
from client_sdk.simulation.locks import ConnectionLost, Key
from field_schemas.access import Grant
from sync.memory import NO_FIELDS, State
from sync.messages import MAX_INTEGER
from sync.storage import Collision, FeedEntry, FeedPosition, LoggedChange, Member, StoredRecord, WriteBatch

Pace = Callable[[], Awaitable[None]]
"""Lets time pass at each step of a transaction."""


class SimulatedStore:
    """See `sync.storage.Store`. `pace` is awaited at each step."""

    def __init__(self, database: Database, pace: Pace) -> None:
        self._database = database
        self._pace = pace
        self._writers: dict[int, SimulatedTransaction] = {}

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["SimulatedTransaction"]:
        """A snapshot, taken here."""
        await self._pace()
        database = self._database
        transaction = SimulatedTransaction(database, self._pace, database.state)
        transaction.bound = database.bound()
        yield transaction

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["SimulatedTransaction"]:
        """A transaction at READ COMMITTED: each step sees what is committed by then."""
        await self._pace()
        transaction = SimulatedTransaction(self._database, self._pace)
        self._database.begin(transaction)
        self._writers[transaction.tx] = transaction
        try:
            yield transaction
            await transaction.commit()
        finally:
            self._writers.pop(transaction.tx, None)
            self._database.end(transaction)

    def kill(self) -> None:
        """Lose the process: its open transactions end."""
        for transaction in self._writers.values():
            self._database.end(transaction)
        self._writers.clear()


class SimulatedTransaction:
    """See `sync.storage.WriteTransaction`. A `snapshot` makes it a reader."""

    def __init__(self, database: Database, pace: Pace, snapshot: State | None = None) -> None:
        self.tx = 0
        self.bound = 0
        self.alive = True
        self.touched: set[str] = set()
        self.written: list[WriteBatch] = []
        self._database = database
        self._pace = pace
        self._snapshot = snapshot
        self._edits: list[Callable[[State], State]] = []
        self._existing: set[uuid.UUID] = set()
        self._failed = False

    @property
    def state(self) -> State:
        """What the transaction sees now."""
        return self._snapshot or reduce(_edited, self._edits, self._database.state)

    async def epoch(self) -> uuid.UUID:
        return self.state.epoch

    async def records(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        state = await self._step()
        return {key: state.records[key] for key in ids if key in state.records}

    async def changes(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, LoggedChange]:
        state = await self._step()
        return {key: state.log[key] for key in ids if key in state.log}

    async def history(self, record: uuid.UUID) -> list[LoggedChange]:
        state = await self._step()
        found = [change for change in state.log.values() if change.record == record]
        return sorted(found, key=lambda one: (one.received_ms, one.device, one.seq, one.version))

    async def grants_of(self, user: str) -> tuple[Grant, ...]:
        await self._step()
        return self._database.grants.get(user, ())

    async def feeds_within(self, scope: str) -> list[str]:
        state = await self._step()
        return sorted(key for key, rows in state.feeds.items() if key.startswith(scope) and rows)

    async def feed(self, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        rows = (await self._step()).feeds.get(key, {})
        positions = sorted(position for position in rows if position > after and position.tx < self.bound)
        entries = [FeedEntry(*position, rows[position].record, rows[position].gone) for position in positions[:limit]]
        self._database.on_read(key, entries)
        return entries

    async def feed_holds(self, key: str, after: FeedPosition, count: int) -> bool:
        rows = (await self._step()).feeds.get(key, {})
        return sum(position > after and position.tx < self.bound for position in rows) >= count

    async def feed_newest(self, key: str) -> FeedPosition:
        return max((await self._step()).feeds.get(key, {}), default=FeedPosition())

    async def horizon(self) -> FeedPosition:
        return FeedPosition(self.bound - 1, MAX_INTEGER)

    async def lasting(self) -> FeedPosition:
        return await self.horizon()

    async def purged(self) -> FeedPosition:
        return (await self._step()).purged

    async def members(self, key: str, page: int = 10_000) -> AsyncIterator[list[Member]]:
        state = await self._step()
        rows = state.feeds.get(key, {}).values()
        held = [state.records[row.record] for row in rows if not row.gone and row.tx < self.bound]
        living = [Member(one.id, one.version, one.type, one.scopes) for one in held if not one.deleted]
        for start in range(0, len(living), page):
            yield living[start : start + page]

    async def scan(self, record_type: str, page: int = 1_000) -> AsyncIterator[list[StoredRecord]]:
        records = (await self._step()).records.values()
        living = [record for record in records if record.type == record_type and not record.deleted]
        living.sort(key=lambda record: record.id)
        for start in range(0, len(living), page):
            yield living[start : start + page]

    async def lock_devices(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        await self._lock("device", sorted(set(ids)))
        return {key: self.state.sequences.get(key, 0) for key in ids}

    async def lock_records(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        known = (await self._step()).records
        wanted = sorted(key for key in set(ids) if key in known)
        await self._lock("record", wanted)
        self._existing.update(wanted)
        records = self.state.records
        return {key: records[key] for key in wanted}

    async def reserve_versions(self, count: int) -> int:
        await self._step()
        return self._database.next_versions(count)

    async def write(self, batch: WriteBatch) -> None:
        new = [record.id for record in batch.records if record.id not in self._existing]
        changes = [change.id for change in batch.changes]
        await self._lock("record", new)
        await self._lock("change", changes)
        await self._lock("device", sorted(batch.sequences))
        state = self.state
        if any(key in state.records for key in new) or any(key in state.log for key in changes):
            self._failed = True
            raise Collision
        self.written.append(batch)
        self._edits.append(lambda state: state.after(batch))
        self._existing.update(new)
        self.touched.update(row.feed for row in batch.feed_added)

    async def renew(self, epoch: uuid.UUID, skip_versions: int) -> None:
        await self._step()
        self._database.skip_versions(skip_versions)
        self._edits.append(lambda state: renewed(state, epoch))

    async def purge(self, until: FeedPosition) -> int:
        before = await self._step()
        self._edits.append(lambda state: _purged(state, until))
        return _entries(before) - _entries(self.state)

    async def commit(self) -> None:
        """End well, unless a statement failed. ConnectionLost may mean either."""
        await self._step()
        if self._failed:
            return
        self._database.commit(self)
        await self._pace()

    async def _step(self) -> State:
        await self._pace()
        if not self.alive:
            raise ConnectionLost
        return self.state

    async def _lock(self, table: str, ids: Iterable[uuid.UUID]) -> None:
        await self._step()
        try:
            for key in ids:
                await self._database.locks.take(self.tx, Key(table, key))
                if not self.alive:
                    raise ConnectionLost
        except Collision:
            self._failed = True
            raise


def _edited(state: State, edit: Callable[[State], State]) -> State:
    return edit(state)


def _entries(state: State) -> int:
    return sum(len(rows) for rows in state.feeds.values())


def _purged(state: State, until: FeedPosition) -> State:
    """The contents without the traces of deleted and departed records up to `until`."""
    records = state.records
    feeds = {
        key: {
            position: row
            for position, row in feed.items()
            if position > until or not (row.gone or records[row.record].deleted)
        }
        for key, feed in state.feeds.items()
    }
    emptied = {
        key: msgspec.structs.replace(record, fields=NO_FIELDS, marks=NO_FIELDS)
        for key, record in records.items()
        if record.deleted and FeedPosition(record.tx, record.version) <= until
    }
    return msgspec.structs.replace(state, records={**records, **emptied}, feeds=feeds, purged=until)
