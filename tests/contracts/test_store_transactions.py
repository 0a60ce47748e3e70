"""The storage contract (sync/storage.py), for transactions: every backend keeps each promise."""

import pytest

from sync.storage import Collision, FeedRow, Store
from tests.conftest import EPOCH
from tests.contracts.samples import (
    DEVICE,
    STREET,
    a_batch,
    a_change,
    a_record,
    add_entries,
    an_id,
    put,
    read_feed,
)


class Interrupted(Exception):
    """What a test raises inside a transaction."""


async def test_epoch(store: Store) -> None:
    """A store tells the identity of its contents to readers and writers alike."""
    async with store.reading() as reader:
        assert await reader.epoch() == EPOCH
    async with store.writing() as writer:
        assert await writer.epoch() == EPOCH


async def test_sequences(store: Store) -> None:
    """The sequence held of a device is the one noted last, 0 for a device never heard of."""
    other = an_id(1)
    async with store.writing() as tx:
        assert await tx.lock_devices([DEVICE, other]) == {DEVICE: 0, other: 0}
        await tx.write(a_batch(sequences={DEVICE: 5}))
    async with store.writing() as tx:
        await tx.lock_devices([DEVICE])
        await tx.write(a_batch(sequences={DEVICE: 8}))
    async with store.writing() as tx:
        assert await tx.lock_devices([other, DEVICE]) == {DEVICE: 8, other: 0}
        assert await tx.lock_devices([]) == {}


async def test_lock_records_reads_them(store: Store) -> None:
    """Locking records gives those that exist, as they stand."""
    await put(store, a_batch([a_record(1)]))
    async with store.writing() as tx:
        assert await tx.lock_records([an_id(2), an_id(1)]) == {an_id(1): a_record(1)}
        assert await tx.lock_records([]) == {}


async def test_versions(store: Store) -> None:
    """Reserved versions are consecutive, nobody else's, and larger than all before, in any amount."""
    last = 0
    for count in (1, 1, 64, 65, 2_000, 1):
        async with store.writing() as tx:
            first = await tx.reserve_versions(count)
            again = await tx.reserve_versions(1)
        assert last < first
        assert first + count - 1 < again
        last = again


async def test_transaction_number_grows(store: Store) -> None:
    """A transaction's number is no smaller than those of all that ended before it."""
    numbers = []
    for _ in range(3):
        async with store.writing() as tx:
            numbers.append(tx.tx)
    assert numbers == sorted(numbers)


async def test_change_logged_before(store: Store) -> None:
    """A change that is in the log cannot be logged again; nothing of such a batch is written."""
    await put(store, a_batch(changes=[a_change(1)]))
    with pytest.raises(Collision):
        await put(store, a_batch([a_record(2)], [a_change(2), a_change(1)]))
    async with store.reading() as tx:
        assert await tx.records([an_id(2)]) == {}
        assert await tx.changes([a_change(2).id]) == {}


async def test_change_logged_twice_in_one_transaction(store: Store) -> None:
    """A change cannot be logged twice in one transaction."""
    async with store.writing() as tx:
        await tx.write(a_batch(changes=[a_change(1)]))
        with pytest.raises(Collision):
            await tx.write(a_batch(changes=[a_change(1)]))


async def test_transaction_that_raises_leaves_no_trace(store: Store) -> None:
    """What a transaction wrote before it raised is not there, and the next one works."""

    async def work() -> None:
        async with store.writing() as tx:
            await tx.lock_devices([DEVICE])
            await tx.write(a_batch([a_record(1)], [a_change(1)], [FeedRow(STREET, tx.tx, 1, an_id(1), False)]))
            await tx.write(a_batch(sequences={DEVICE: 3}))
            raise Interrupted

    with pytest.raises(Interrupted):
        await work()
    async with store.writing() as tx:
        assert await tx.lock_devices([DEVICE]) == {DEVICE: 0}
        assert await tx.records([an_id(1)]) == {}
        assert await tx.changes([a_change(1).id]) == {}
    assert await read_feed(store) == []


async def test_nothing_shows_before_the_end(store: Store) -> None:
    """What a transaction writes is invisible to readers until it has ended well."""
    async with store.writing() as tx:
        await tx.write(a_batch([a_record(1)], [a_change(1)]))
        async with store.reading() as reader:
            assert await reader.records([an_id(1)]) == {}
            assert await reader.changes([a_change(1).id]) == {}
    async with store.reading() as reader:
        assert list(await reader.records([an_id(1)])) == [an_id(1)]


async def test_reader_keeps_its_view(store: Store) -> None:
    """A reader sees the store as it was when the view was opened, however much is written meanwhile."""
    await put(store, a_batch([a_record(1)]))
    async with store.reading() as reader:
        await put(store, a_batch([a_record(1, version=2), a_record(2)]))
        found = await reader.records([an_id(1), an_id(2)])
    assert found == {an_id(1): a_record(1)}


async def test_touched_feeds(store: Store) -> None:
    """A transaction knows all feeds it added entries to, also when it writes several times, and no others."""
    async with store.writing() as tx:
        await add_entries(tx, 2)
        await add_entries(tx, 1, "person:li.na", first_record=3)
        assert tx.touched == {STREET, "person:li.na"}
    async with store.writing() as tx:
        await tx.write(a_batch(sequences={DEVICE: 5}))
        assert tx.touched == set()
