"""PostgreSQL under concurrent writers: no cursor skips an entry."""

import asyncio
import uuid

import msgspec
import pytest

from server.storage import sql
from server.storage.database import Database
from server.storage.postgres import PostgresTransaction
from sync.storage import FeedPosition, Store, WriteTransaction
from sync.stretch import Stretch, Stretches
from tests.contracts.samples import (
    START,
    STREET,
    a_batch,
    a_record,
    add_entries,
    an_id,
    read_feed,
)


async def add_record(writer: WriteTransaction, number: int) -> None:
    """The `number`th record, and its entry in the street."""
    await writer.write(a_batch(records=[a_record(number)]))
    await add_entries(writer, 1, first_record=number)


def ids_of(stretches: list[Stretch]) -> list[uuid.UUID]:
    """The records of stretches."""
    return [record.id for stretch in stretches for kind in stretch.kinds for record in kind.records]


async def position_after(store: Store) -> FeedPosition:
    """How far a reader of the street gets now."""
    async with store.reading() as tx:
        return max((entry.position for entry in await tx.feed(STREET, START, 100)), default=START)


async def test_earlier_number_commits_later(here: Database, there: Database) -> None:
    """Between the commits of two writers, the reader of the later number's entry does not pass the earlier's."""
    async with here.store.writing() as slow:
        slow_version = await slow.reserve_versions(1)
        async with there.store.writing() as quick:
            (quick_row,) = await add_entries(quick, 1, first_record=2)
        between = await position_after(here.store)
        late_row = msgspec.structs.replace(quick_row, tx=slow.tx, version=slow_version, record=an_id(1))
        await slow.write(a_batch(feed_added=[late_row]))
    assert slow_version < quick_row.version
    assert sorted(await read_feed(here.store, between)) == [an_id(1), an_id(2)]


async def test_earlier_transaction_takes_the_later_version(here: Database, there: Database) -> None:
    """The order in which versions are taken does not matter either: nothing is passed while one is open."""
    async with here.store.writing() as slow:
        async with there.store.writing() as quick:
            await add_entries(quick, 1, first_record=2)
        between = await position_after(here.store)
        await add_entries(slow, 1, first_record=1)
    assert sorted(await read_feed(here.store, between)) == [an_id(1), an_id(2)]


async def test_reader_opened_before_a_commit(here: Database, there: Database) -> None:
    """A reader whose view is older than a commit does not move past it."""
    async with here.store.writing() as writer:
        rows = await add_entries(writer, 1)
        async with there.store.reading() as reader:
            before = await reader.feed(STREET, START, 100)
    assert (before, len(rows)) == ([], 1)
    assert await read_feed(there.store) == [an_id(1)]


async def test_readers_hold_no_cursor_back(here: Database, there: Database) -> None:
    """However long a reader stays open, entries committed meanwhile are given to others."""
    async with there.store.reading() as reader:
        await reader.epoch()
        async with here.store.writing() as writer:
            await add_entries(writer, 1)
        assert await read_feed(here.store) == [an_id(1)]


async def test_transaction_that_fails_holds_nothing_back(here: Database) -> None:
    """After a rollback the feed goes on; the numbers of the failed transaction stay unused."""

    async def fail() -> None:
        async with here.store.writing() as writer:
            await add_entries(writer, 3)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with here.store.writing() as writer:
        await add_entries(writer, 1, first_record=9)
    assert await read_feed(here.store) == [an_id(9)]


async def test_readers_among_many_writers(here: Database, there: Database) -> None:
    """A reader who follows a feed while three write to it receives every entry exactly once."""
    writers = 3
    received: list[uuid.UUID] = []

    async def write(number: int) -> None:
        for step in range(8):
            async with here.store.writing() as tx:
                await add_entries(tx, 1 + step % 3, first_record=1_000 * (number + 1) + 10 * step)

    async def follow(done: asyncio.Event) -> None:
        after, last_round = START, False
        while not last_round:
            last_round = done.is_set()
            async with there.store.reading() as tx:
                entries = await tx.feed(STREET, after, 4)
            received.extend(entry.record for entry in entries)
            after = entries[-1].position if entries else after
            last_round = last_round and not entries

    done = asyncio.Event()
    follower = asyncio.create_task(follow(done))
    await asyncio.gather(*(write(number) for number in range(writers)))
    done.set()
    await follower
    assert len(received) == len(set(received))
    assert set(received) == set(await read_feed(here.store))
    assert len(received) == writers * sum(1 + step % 3 for step in range(8))


async def test_page_reads_no_more_than_itself(here: Database) -> None:
    """A page of a long feed is read off the index in its order, also before statistics were ever gathered."""
    async with here.store.writing() as tx:
        await add_entries(tx, 5_000)
    async with here.store.reading() as reader:
        assert isinstance(reader, PostgresTransaction)
        plan = await reader._driver.fetch(f"EXPLAIN {sql.FEED}", STREET, 0, 0, 2**62, 100)
    assert not [line for (line,) in plan if "Sort" in line]


async def test_what_is_not_settled_is_not_kept(here: Database, there: Database) -> None:
    """A writer who commits behind a later one is seen by readers who had been given what the later one wrote."""
    kept = Stretches(length=1)
    async with here.store.writing() as slow:
        async with there.store.writing() as quick:
            await add_record(quick, 2)
        async with there.store.reading() as reader:
            early = await kept.read(reader, STREET, START, 10)
            unsettled = await reader.feed_newest(STREET)
        await add_record(slow, 1)
    async with there.store.reading() as reader:
        late = await kept.read(reader, STREET, START, 10)
    assert (ids_of(early), unsettled > START) == ([], True)
    assert sorted(ids_of(late)) == [an_id(1), an_id(2)]


async def test_a_write_by_another_process_is_seen(here: Database, there: Database) -> None:
    """What one process keeps is not used after another has written to the feed."""
    kept = Stretches(length=1)
    for number in (1, 2, 3):
        async with here.store.writing() as writer:
            await add_record(writer, number)
        async with there.store.reading() as reader:
            found = await kept.read(reader, STREET, START, 10)
        assert sorted(ids_of(found)) == [an_id(one) for one in range(1, number + 1)]
