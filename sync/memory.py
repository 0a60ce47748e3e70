"""A store in memory, for tests and simulation: the same contract, no durability."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from field_schemas.access import Grant
from field_schemas.registry import Registry
from sync.authority import Actor
from sync.errors import SyncError
from sync.messages import Snapshot, SnapshotBlock, SnapshotRequest, SnapshotResponse
from sync.snapshot import (
    Moment,
    SnapshotKey,
    cursor_behind,
    cuts,
    encode_block,
    is_of_use,
    key_of,
    may_read,
    moment_of,
)
from sync.storage import (
    Collision,
    FeedEntry,
    FeedPosition,
    FeedRow,
    LoggedChange,
    Member,
    ReadTransaction,
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


class MadeSnapshot(msgspec.Struct, frozen=True):
    """A snapshot and what it is of."""

    key: SnapshotKey
    made: Moment
    blocks: list[bytes]
    records: list[int]
    apart: list[uuid.UUID]

    @property
    def content(self) -> str:
        """A name of what the blocks hold."""
        return hashlib.sha256(b"".join(self.blocks)).hexdigest()[:16]


class MemorySnapshots:
    """Snapshots in memory, each made when first asked for and then kept; `known` are those there are already."""

    def __init__(
        self, registry: Registry, block_records: int, known: Mapping[str, MadeSnapshot] | None = None
    ) -> None:
        self.kept = dict(known or {})
        self._registry = registry
        self._block_records = block_records

    async def ask(
        self, tx: ReadTransaction, reader: Actor, request: SnapshotRequest, now_ms: int, snapshot_from: int
    ) -> SnapshotResponse:
        """The snapshot for `reader`. Raises SyncError `scope_denied`."""
        key = await key_of(tx, self._registry, reader, request, now_ms, snapshot_from)
        digest = key.digest(self._registry)
        kept = self.kept.get(digest)
        if kept is None or not await is_of_use(tx, kept.made):
            kept = self.kept[digest] = await self._make(tx, key, now_ms)
        cursor = cursor_behind(key, kept.made, reader, request, now_ms)
        blocks = [
            SnapshotBlock(len(block), records, hashlib.sha256(block).hexdigest())
            for block, records in zip(kept.blocks, kept.records, strict=True)
        ]
        return SnapshotResponse(Snapshot(f"{digest}-{kept.content}", cursor, blocks, kept.apart, key.epoch))

    async def content(self, tx: ReadTransaction, reader: Actor, snapshot: str, now_ms: int) -> bytes:
        """The whole content. Raises SyncError `not_found` or `scope_denied`."""
        digest, _, content = snapshot.partition("-")
        kept = self.kept.get(digest)
        if kept is None or kept.content != content:
            raise SyncError("not_found", f"there is no snapshot {snapshot}")
        if not await may_read(tx, kept.key, reader, now_ms):
            raise SyncError("scope_denied", "the snapshot was made for readers of other roles")
        return b"".join(kept.blocks)

    async def _make(self, tx: ReadTransaction, key: SnapshotKey, now_ms: int) -> MadeSnapshot:
        made = MadeSnapshot(key, await moment_of(tx), [], [], [])
        async for cut in cuts(tx, self._registry, key, now_ms, self._block_records):
            made.apart.extend(cut.apart)
            if cut.records:
                made.blocks.append(encode_block(cut.records))
                made.records.append(len(cut.records))
        return made


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

    async def feed_holds(self, key: str, after: FeedPosition, count: int) -> bool:
        return sum(position > after for position in self.state.feeds.get(key, {})) >= count

    async def feed_newest(self, key: str) -> FeedPosition:
        return max(self.state.feeds.get(key, {}), default=FeedPosition())

    async def horizon(self) -> FeedPosition:
        return FeedPosition(0, self._store.last_version)

    async def lasting(self) -> FeedPosition:
        return await self.horizon()

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
