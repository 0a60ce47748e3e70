"""A store in memory, for tests and simulation: the same contract, no durability."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from field_schemas.access import Grant
from sync.storage import (
    Collision,
    FeedEntry,
    FeedPosition,
    FeedRow,
    LoggedChange,
    Member,
    StoredRecord,
    WriteBatch,
)

NO_FIELDS = msgspec.msgpack.encode({})


class State(msgspec.Struct, frozen=True):
    """The contents at one moment. Never changed in place, so a reader may keep it."""

    epoch: uuid.UUID
    records: Mapping[uuid.UUID, StoredRecord] = {}
    log: Mapping[uuid.UUID, LoggedChange] = {}
    feeds: Mapping[str, Mapping[FeedPosition, FeedRow]] = {}
    sequences: Mapping[uuid.UUID, int] = {}
    purged: FeedPosition = FeedPosition()

    def after(self, batch: WriteBatch) -> "State":
        """The contents with `batch` written."""
        feeds = dict(self.feeds)
        for key in {row.feed for row in (*batch.feed_removed, *batch.feed_added)}:
            rows = dict(feeds.get(key, {}))
            for row in batch.feed_removed:
                if row.feed == key:
                    rows.pop(FeedPosition(row.tx, row.version), None)
            rows.update({FeedPosition(row.tx, row.version): row for row in batch.feed_added if row.feed == key})
            feeds[key] = rows
        return State(
            epoch=self.epoch,
            purged=self.purged,
            records={**self.records, **{record.id: record for record in batch.records}},
            log={**self.log, **{change.id: change for change in batch.changes}},
            feeds=feeds,
            sequences={**self.sequences, **batch.sequences},
        )


class MemoryStore:
    """Records, log and feeds in dictionaries; one writer at a time."""

    def __init__(self, epoch: uuid.UUID) -> None:
        self.state = State(epoch)
        self.grants: dict[str, tuple[Grant, ...]] = {}
        self.last_version = 0
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["MemoryTransaction"]:
        """A snapshot, taken here."""
        yield MemoryTransaction(self)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["MemoryTransaction"]:
        """A transaction; what it writes appears to others when it ends well."""
        async with self._lock:
            transaction = MemoryTransaction(self)
            yield transaction
            self.state = transaction.state


class MemoryTransaction:
    """See `sync.storage.WriteTransaction`."""

    tx = 0

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.state = store.state
        self.touched: set[str] = set()
        self._locked: set[uuid.UUID] = set()

    async def epoch(self) -> uuid.UUID:
        return self.state.epoch

    async def records(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        return {key: self.state.records[key] for key in ids if key in self.state.records}

    async def changes(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, LoggedChange]:
        return {key: self.state.log[key] for key in ids if key in self.state.log}

    async def history(self, record: uuid.UUID) -> list[LoggedChange]:
        found = [change for change in self.state.log.values() if change.record == record]
        return sorted(found, key=lambda change: change.received_ms)

    async def grants_of(self, user: str) -> tuple[Grant, ...]:
        return self._store.grants.get(user, ())

    async def feeds_within(self, scope: str) -> list[str]:
        return sorted(key for key, rows in self.state.feeds.items() if key.startswith(scope) and rows)

    async def feed(self, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        rows = self.state.feeds.get(key, {})
        positions = sorted(position for position in rows if position > after)[:limit]
        return [FeedEntry(*position, rows[position].record, rows[position].gone) for position in positions]

    async def horizon(self) -> FeedPosition:
        return FeedPosition(0, self._store.last_version)

    async def purged(self) -> FeedPosition:
        return self.state.purged

    async def members(self, key: str, page: int = 10_000) -> AsyncIterator[list[Member]]:
        held = [self.state.records[row.record] for row in self.state.feeds.get(key, {}).values() if not row.gone]
        living = [Member(one.id, one.version, one.type, one.scopes) for one in held if not one.deleted]
        for start in range(0, len(living), page):
            yield living[start : start + page]

    async def scan(self, record_type: str, page: int = 1_000) -> AsyncIterator[list[StoredRecord]]:
        living = sorted(
            (record for record in self.state.records.values() if record.type == record_type and not record.deleted),
            key=lambda record: record.id,
        )
        for start in range(0, len(living), page):
            yield living[start : start + page]

    async def lock_devices(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        return {key: self.state.sequences.get(key, 0) for key in ids}

    async def lock_records(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        self._locked.update(ids)
        return await self.records(ids)

    async def reserve_versions(self, count: int) -> int:
        first = self._store.last_version + 1
        self._store.last_version += count
        return first

    async def write(self, batch: WriteBatch) -> None:
        known = self.state.records.keys() - self._locked
        if any(record.id in known for record in batch.records):
            raise Collision
        if any(change.id in self.state.log for change in batch.changes):
            raise Collision
        self.state = self.state.after(batch)
        self._locked.update(record.id for record in batch.records)
        self.touched.update(row.feed for row in batch.feed_added)

    async def renew(self, epoch: uuid.UUID, skip_versions: int) -> None:
        self.state = msgspec.structs.replace(self.state, epoch=epoch, purged=FeedPosition())
        self._store.last_version += skip_versions

    async def purge(self, until: FeedPosition) -> int:
        records = dict(self.state.records)
        feeds = {key: dict(rows) for key, rows in self.state.feeds.items()}
        purged = 0
        for rows in feeds.values():
            for position, row in list(rows.items()):
                record = records[row.record]
                if position <= until and (row.gone or record.deleted):
                    del rows[position]
                    purged += 1
                    if record.deleted:
                        records[row.record] = msgspec.structs.replace(record, fields=NO_FIELDS, marks=NO_FIELDS)
        self.state = msgspec.structs.replace(self.state, records=records, feeds=feeds, purged=until)
        return purged
