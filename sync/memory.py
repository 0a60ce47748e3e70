"""A store in memory, for tests and simulation: the same contract, no durability."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from sync.storage import (
    Collision,
    FeedEntry,
    FeedPosition,
    FeedRow,
    LoggedChange,
    StoredRecord,
    WriteBatch,
)


class MemoryStore:
    """Records, log and feeds in dictionaries; one writer at a time."""

    def __init__(self, epoch: uuid.UUID) -> None:
        self.epoch_id = epoch
        self.records: dict[uuid.UUID, StoredRecord] = {}
        self.log: dict[uuid.UUID, LoggedChange] = {}
        self.feeds: dict[str, dict[FeedPosition, FeedRow]] = {}
        self.sequences: dict[uuid.UUID, int] = {}
        self.last_version = 0
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["MemoryTransaction"]:
        """A view; nothing is written between two awaits of a reader that does not let go."""
        yield MemoryTransaction(self)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["MemoryTransaction"]:
        """A transaction; what it writes appears when it ends well."""
        async with self._lock:
            transaction = MemoryTransaction(self)
            yield transaction
            for batch in transaction.batches:
                self._apply(batch)

    def _apply(self, batch: WriteBatch) -> None:
        for record in batch.records:
            self.records[record.id] = record
        for change in batch.changes:
            self.log[change.id] = change
        for row in batch.feed_removed:
            self.feeds.get(row.feed, {}).pop(FeedPosition(row.tx, row.version), None)
        for row in batch.feed_added:
            self.feeds.setdefault(row.feed, {})[FeedPosition(row.tx, row.version)] = row
        self.sequences.update(batch.sequences)


class MemoryTransaction:
    """See `sync.storage.WriteTransaction`."""

    tx = 0

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.batches: list[WriteBatch] = []

    async def epoch(self) -> uuid.UUID:
        return self._store.epoch_id

    async def records(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        return {key: self._store.records[key] for key in ids if key in self._store.records}

    async def changes(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, LoggedChange]:
        return {key: self._store.log[key] for key in ids if key in self._store.log}

    async def history(self, record: uuid.UUID) -> list[LoggedChange]:
        found = [change for change in self._store.log.values() if change.record == record]
        return sorted(found, key=lambda change: change.received_ms)

    async def feeds_within(self, scope: str) -> list[str]:
        return sorted(key for key, rows in self._store.feeds.items() if key.startswith(scope) and rows)

    async def feed(self, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        rows = self._store.feeds.get(key, {})
        positions = sorted(position for position in rows if position > after)[:limit]
        return [FeedEntry(position, rows[position].record, rows[position].gone) for position in positions]

    async def scan(self, record_type: str, page: int = 1_000) -> AsyncIterator[list[StoredRecord]]:
        living = sorted(
            (record for record in self._store.records.values() if record.type == record_type and not record.deleted),
            key=lambda record: record.id,
        )
        for start in range(0, len(living), page):
            yield living[start : start + page]

    async def lock_devices(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        return {key: self._store.sequences.get(key, 0) for key in ids}

    async def lock_records(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        return await self.records(ids)

    async def reserve_versions(self, count: int) -> int:
        first = self._store.last_version + 1
        self._store.last_version += count
        return first

    async def write(self, batch: WriteBatch) -> None:
        written = {change.id for earlier in self.batches for change in earlier.changes}
        if any(change.id in self._store.log or change.id in written for change in batch.changes):
            raise Collision
        self.batches.append(batch)
