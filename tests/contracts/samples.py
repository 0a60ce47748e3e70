"""Ready-made rows for the storage contract."""

import uuid
from typing import Any

import msgspec

from sync.ids import uuid7
from sync.messages import Outcome
from sync.storage import FeedPosition, FeedRow, LoggedChange, Store, StoredRecord, WriteBatch, WriteTransaction

START = FeedPosition()
STREET = "grid:440304001"
DEVICE = uuid.UUID("00000000-0000-7000-8000-0000000000d1")
EMPTY = msgspec.msgpack.encode({})


def an_id(number: int) -> uuid.UUID:
    """The `number`th id; they sort as their numbers do."""
    return uuid7(1_700_000_000_000 + number, bytes)


def a_record(number: int, **changed: Any) -> StoredRecord:
    """The `number`th record, at version `number` unless changed."""
    record = StoredRecord(
        id=an_id(number),
        type="finding",
        version=number,
        tx=0,
        scopes=(STREET + "002003004", "person:li.na"),
        owner="li.na",
        fields=msgspec.msgpack.encode({"text": f"盖板破损 {number}"}),
        marks=EMPTY,
        district="440304",
        type_version=1,
    )
    return msgspec.structs.replace(record, **changed)


def a_change(number: int, **changed: Any) -> LoggedChange:
    """A logged change that made the `number`th record."""
    change = LoggedChange(
        id=an_id(500_000 + number),
        device=DEVICE,
        seq=number,
        user="li.na",
        type="finding",
        record=an_id(number),
        district="440304",
        base=0,
        version=number,
        stamp=2**52 + number,
        outcome=Outcome.APPLIED,
        code=None,
        detail=None,
        attention=None,
        captured_ms=1_700_000_000_000,
        error_ms=None,
        received_ms=1_700_000_000_000 + number,
        deletes=False,
        fields=msgspec.msgpack.encode({"text": "盖板破损"}),
        before=EMPTY,
        type_version=3,
    )
    return msgspec.structs.replace(change, **changed)


def a_batch(
    records: list[StoredRecord] | None = None,
    changes: list[LoggedChange] | None = None,
    feed_added: list[FeedRow] | None = None,
    feed_removed: list[FeedRow] | None = None,
    sequences: dict[uuid.UUID, int] | None = None,
) -> WriteBatch:
    """A batch of these."""
    return WriteBatch(records or [], changes or [], feed_removed or [], feed_added or [], sequences or {})


async def put(store: Store, batch: WriteBatch) -> None:
    """Write a batch in a transaction of its own."""
    async with store.writing() as tx:
        await tx.lock_records([record.id for record in batch.records])
        await tx.write(batch)


async def add_entries(tx: WriteTransaction, count: int, feed: str = STREET, first_record: int = 1) -> list[FeedRow]:
    """Reserve versions and write the feed entries of `count` records with them."""
    version = await tx.reserve_versions(count)
    rows = [FeedRow(feed, tx.tx, version + step, an_id(first_record + step), False) for step in range(count)]
    await tx.write(a_batch(feed_added=rows))
    return rows


async def read_feed(store: Store, after: FeedPosition = START, feed: str = STREET) -> list[uuid.UUID]:
    """The records of all entries past `after`, of which there are at most 100."""
    async with store.reading() as tx:
        return [entry.record for entry in await tx.feed(feed, after, 100)]
