"""The storage contract (sync/storage.py), for what keeps a store in order: members, horizon, purge and renewal."""

import uuid

from sync.storage import FeedPosition, FeedRow, Store, StoredRecord
from tests.conftest import EPOCH
from tests.contracts.samples import STREET, a_batch, a_record, an_id, read_feed

NEW_EPOCH = uuid.UUID("0190a5c0-0000-7000-8000-000000000002")
OTHER_STREET = "grid:440304002"


async def place(
    store: Store, number: int, feed: str = STREET, *, gone: bool = False, deleted: bool = False
) -> FeedRow:
    """Write the `number`th record and its entry in a feed, in a transaction of its own; the entry."""
    async with store.writing() as tx:
        version = await tx.reserve_versions(1)
        row = FeedRow(feed, tx.tx, version, an_id(number), gone)
        await tx.lock_records([row.record])
        record = a_record(number, version=version, tx=tx.tx, deleted=deleted)
        await tx.write(a_batch([record], feed_added=[row]))
    return row


async def members(store: Store, feed: str = STREET, page: int = 10_000) -> list[list[uuid.UUID]]:
    """The ids of a feed's members, page by page."""
    async with store.reading() as tx:
        return [[member.record for member in part] async for part in tx.members(feed, page)]


async def stored(store: Store, number: int) -> StoredRecord:
    """The `number`th record."""
    async with store.reading() as tx:
        return (await tx.records([an_id(number)]))[an_id(number)]


async def purge(store: Store, until: FeedPosition) -> int:
    """Purge in a transaction of its own."""
    async with store.writing() as tx:
        return await tx.purge(until)


async def horizon(store: Store) -> FeedPosition:
    """The horizon as a reader sees it."""
    async with store.reading() as tx:
        return await tx.horizon()


async def test_members_are_the_living(store: Store) -> None:
    """The members of a feed are the records it carries: none that left it, was deleted, or lies in another."""
    await place(store, 1)
    await place(store, 2, gone=True)
    await place(store, 3, deleted=True)
    await place(store, 4, OTHER_STREET)
    assert await members(store) == [[an_id(1)]]


async def test_members_say_what_digests_need(store: Store) -> None:
    """A member is told with its version, type and scopes."""
    row = await place(store, 1)
    async with store.reading() as tx:
        ((member,),) = [page async for page in tx.members(STREET)]
    assert member == (an_id(1), row.version, "finding", a_record(1).scopes)


async def test_members_by_pages(store: Store) -> None:
    """Members come in pages of the size asked for, each once, and no page is empty."""
    for number in range(1, 6):
        await place(store, number)
    pages = await members(store, page=2)
    assert sorted(record for page in pages for record in page) == [an_id(number) for number in range(1, 6)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert await members(store, OTHER_STREET) == []


async def test_the_horizon_passes_what_has_ended(store: Store) -> None:
    """Every entry of a transaction that has ended lies at or before the horizon, and later ones lie past it."""
    before = await place(store, 1)
    settled = await horizon(store)
    after = await place(store, 2)
    assert FeedPosition(before.tx, before.version) <= settled < FeedPosition(after.tx, after.version)


async def test_nothing_is_purged_at_first(store: Store) -> None:
    """A new store remembers all deletions."""
    async with store.reading() as tx:
        assert await tx.purged() == FeedPosition()


async def test_a_purge_drops_traces(store: Store) -> None:
    """A purge drops the entries of deleted and departed records, says how many, and leaves the living alone."""
    await place(store, 1)
    await place(store, 2, gone=True)
    await place(store, 3, deleted=True)
    assert await purge(store, await horizon(store)) == 2
    assert await read_feed(store) == [an_id(1)]
    assert await members(store) == [[an_id(1)]]


async def test_a_purge_stops_where_it_is_told(store: Store) -> None:
    """A trace at the bound goes, one past it stays."""
    first = await place(store, 1, deleted=True)
    await place(store, 2, deleted=True)
    assert await purge(store, FeedPosition(first.tx, first.version)) == 1
    assert await read_feed(store) == [an_id(2)]
    assert (await stored(store, 2)).fields == a_record(2).fields


async def test_a_purge_is_noted(store: Store) -> None:
    """How far was purged can be read afterwards."""
    row = await place(store, 1, deleted=True)
    until = FeedPosition(row.tx, row.version)
    await purge(store, until)
    async with store.reading() as tx:
        assert await tx.purged() == until


async def test_purged_records_stay_deleted(store: Store) -> None:
    """A purged record is still there, deleted and empty, so that nothing brings it back."""
    await place(store, 1, deleted=True)
    await purge(store, await horizon(store))
    record = await stored(store, 1)
    assert record.deleted
    assert (record.fields, record.marks) == (b"\x80", b"\x80")


async def test_purging_again_finds_nothing(store: Store) -> None:
    """What is gone is not counted again."""
    await place(store, 1, deleted=True)
    await purge(store, await horizon(store))
    assert await purge(store, await horizon(store)) == 0


async def test_a_failed_purge_leaves_no_trace(store: Store) -> None:
    """A purge whose transaction fails did not happen."""
    await place(store, 1, deleted=True)
    try:
        async with store.writing() as tx:
            await tx.purge(await tx.horizon())
            raise InterruptedError
    except InterruptedError:
        pass
    assert await read_feed(store) == [an_id(1)]
    async with store.reading() as tx:
        assert await tx.purged() == FeedPosition()


async def test_renewal_gives_another_epoch(store: Store) -> None:
    """After a renewal the contents have the new identity, for everyone."""
    async with store.writing() as tx:
        assert await tx.epoch() == EPOCH
        await tx.renew(NEW_EPOCH, 10)
        assert await tx.epoch() == NEW_EPOCH
    async with store.reading() as reader:
        assert await reader.epoch() == NEW_EPOCH


async def test_renewal_skips_versions(store: Store) -> None:
    """Versions after a renewal lie past all that may have been given before, and past those skipped."""
    before = await place(store, 1)
    async with store.writing() as tx:
        await tx.renew(NEW_EPOCH, 2**32)
    assert (await place(store, 2)).version > before.version + 2**32


async def test_renewal_begins_all_feeds_anew(store: Store) -> None:
    """After a renewal entries are read from the start in the old order, and new ones come after them."""
    for number in (1, 2):
        await place(store, number)
    async with store.writing() as tx:
        await tx.renew(NEW_EPOCH, 10)
    async with store.reading() as tx:
        entries = await tx.feed(STREET, FeedPosition(), 10)
        settled = await tx.horizon()
    assert [(entry.position.tx, entry.record) for entry in entries] == [(0, an_id(1)), (0, an_id(2))]
    late = await place(store, 3)
    assert entries[-1].position <= settled < FeedPosition(late.tx, late.version)
    assert (await stored(store, 1)).tx == 0


async def test_renewal_forgets_how_far_was_purged(store: Store) -> None:
    """Positions of before a renewal mean nothing after it, that of the last purge included."""
    await place(store, 1, deleted=True)
    await purge(store, await horizon(store))
    async with store.writing() as tx:
        await tx.renew(NEW_EPOCH, 10)
    async with store.reading() as tx:
        assert await tx.purged() == FeedPosition()


async def test_a_renewed_record_can_be_written(store: Store) -> None:
    """A record of before a renewal is locked and replaced as ever, in the place of its old entry."""
    old = await place(store, 1)
    async with store.writing() as tx:
        await tx.renew(NEW_EPOCH, 10)
    async with store.writing() as tx:
        held = (await tx.lock_records([an_id(1)]))[an_id(1)]
        version = await tx.reserve_versions(1)
        removed = FeedRow(STREET, held.tx, old.version, an_id(1), False)
        added = FeedRow(STREET, tx.tx, version, an_id(1), False)
        record = a_record(1, version=version, tx=tx.tx)
        await tx.write(a_batch([record], feed_removed=[removed], feed_added=[added]))
    assert await read_feed(store) == [an_id(1)]


async def test_a_purge_in_portions(store: Store) -> None:
    """Purging step by step leaves what purging at once leaves, and each step counts its own."""
    rows = [await place(store, number, deleted=number % 2 == 0) for number in range(1, 7)]
    bounds = [FeedPosition(row.tx, row.version) for row in rows]
    assert [await purge(store, bound) for bound in bounds] == [0, 1, 0, 1, 0, 1]
    assert await read_feed(store) == [an_id(number) for number in (1, 3, 5)]
    async with store.reading() as tx:
        assert await tx.purged() == bounds[-1]


async def test_a_purge_that_ended_midway(store: Store) -> None:
    """Of a purge in portions that was interrupted, what was done is noted, and the rest goes by the next."""
    first, second = [await place(store, number, deleted=True) for number in (1, 2)]
    await purge(store, FeedPosition(first.tx, first.version))
    try:
        async with store.writing() as tx:
            await tx.purge(FeedPosition(second.tx, second.version))
            raise InterruptedError
    except InterruptedError:
        pass
    async with store.reading() as tx:
        assert await tx.purged() == (first.tx, first.version)
    assert await read_feed(store) == [an_id(2)]
    assert await purge(store, await horizon(store)) == 1
