"""A purge goes in short transactions: writers come in between, and one that is killed is gone on with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.retention import Retention
from server.storage.database import Database, open_database
from server.storage.traces import count_traces, portions
from sync.storage import FeedPosition, FeedRow, Store, WriteTransaction
from tests.contracts.samples import START, STREET, a_batch, a_record, an_id, read_feed

TRACES, AT_ONCE = 10, 3


class Counting:
    """A store that counts its writing transactions, and fails in place of the one numbered `fails_at`."""

    def __init__(self, store: Store, fails_at: int = 0) -> None:
        self._store = store
        self._fails_at = fails_at
        self.writes = 0
        self.reading = store.reading

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[WriteTransaction]:
        self.writes += 1
        async with self._store.writing() as tx:
            yield tx
            if self.writes == self._fails_at:
                raise InterruptedError


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database of each kind in which every second of twenty records is deleted, all written at once."""
    database = open_database(database_url, 4)
    async with database.store.writing() as tx:
        first = await tx.reserve_versions(2 * TRACES)
        numbers = range(2 * TRACES)
        await tx.write(
            a_batch(
                [a_record(n, version=first + n, tx=tx.tx, deleted=n % 2 == 0) for n in numbers],
                feed_added=[FeedRow(STREET, tx.tx, first + n, an_id(n), False) for n in numbers],
            )
        )
    yield database
    await database.close()


def retention(database: Database, store: Counting) -> Retention:
    """The retention of `database`, writing by `store`, with nobody to wait for."""
    counted = Database(store, database.engine, database.read_engine)
    return Retention(counted, 1, lambda: 0, AT_ONCE)


async def settled(database: Database) -> tuple[FeedPosition, FeedPosition]:
    """How far was purged, and how far could be."""
    async with database.store.reading() as tx:
        return await tx.purged(), await tx.horizon()


async def test_bounded_transactions(database: Database) -> None:
    """Ten traces go in four transactions of three at most, though one transaction had written them all."""
    store = Counting(database.store)
    done = await retention(database, store).purge()
    assert done is not None
    assert (done.traces, store.writes) == (TRACES, 4)
    assert len(await read_feed(database.store)) == TRACES
    assert (await settled(database))[0] == done.until


async def test_no_portion_is_larger(database: Database) -> None:
    """From each bound to the next there are at most as many traces as were asked for; the last bound is the end."""
    _, horizon = await settled(database)
    bounds = await portions(database.read_engine, horizon, AT_ONCE)
    assert [await count_traces(database.read_engine, bound) for bound in bounds] == [3, 6, 9, 10]
    assert bounds[-1] == horizon


async def test_gone_on_with_after_a_kill(database: Database) -> None:
    """A purge that ends in its third transaction has done two of them; the next purge does the rest and no more."""
    with pytest.raises(InterruptedError):
        await retention(database, Counting(database.store, fails_at=3)).purge()
    assert START < (await settled(database))[0] < (await settled(database))[1]
    done = await retention(database, Counting(database.store)).purge()
    assert done is not None
    assert done.traces == TRACES - 2 * AT_ONCE


async def test_a_dry_run_writes_nothing(database: Database) -> None:
    """A dry run counts without a writing transaction."""
    store = Counting(database.store)
    done = await retention(database, store).purge(dry_run=True)
    assert done is not None
    assert (done.traces, store.writes) == (TRACES, 0)


async def test_writers_come_in_between(database: Database) -> None:
    """A writer that comes while a purge runs is through before the purge ends, and what it wrote stays."""
    order: list[str] = []

    class Crowded(Counting):
        @asynccontextmanager
        async def writing(self) -> AsyncIterator[WriteTransaction]:
            async with super().writing() as tx:
                yield tx
            order.append("purge")
            await asyncio.create_task(self.another())

        async def another(self) -> None:
            async with self._store.writing() as tx:
                number = 100 + self.writes
                version = await tx.reserve_versions(1)
                row = FeedRow(STREET, tx.tx, version, an_id(number), True)
                await tx.write(a_batch([a_record(number, version=version, tx=tx.tx)], feed_added=[row]))
            order.append("writer")

    await retention(database, Crowded(database.store)).purge()
    assert order == ["purge", "writer"] * 4
    assert len(await read_feed(database.store)) == TRACES + 4
