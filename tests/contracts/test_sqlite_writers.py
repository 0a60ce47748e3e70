"""SQLite with several writers: they take turns, in one process and across processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from server.storage.database import Database, open_database
from server.storage.tables import device_sequences
from tests.contracts.samples import DEVICE, a_batch, a_change, a_record, add_entries, an_id, put, read_feed


@pytest.fixture
async def here(sqlite_url: str) -> AsyncIterator[Database]:
    """The database as one server process sees it."""
    database = open_database(sqlite_url, 2)
    yield database
    await database.close()


@pytest.fixture
async def there(sqlite_url: str) -> AsyncIterator[Database]:
    """The same database by connections of its own, as another server process has them."""
    database = open_database(sqlite_url, 1)
    yield database
    await database.close()


async def test_durable(here: Database) -> None:
    """Every connection writes ahead and waits for the disk at each commit."""
    for engine in (here.engine, here.read_engine):
        async with engine.connect() as connection:
            settings = [
                (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert settings == ["wal", 2, 1, 10_000]


async def test_all_writers_get_their_turn(here: Database, there: Database) -> None:
    """Writers of one process and of another all succeed, and no two get the same version."""

    async def write(database: Database, number: int) -> int:
        async with database.store.writing() as tx:
            (row,) = await add_entries(tx, 1, first_record=number)
        return row.version

    versions = await asyncio.gather(*(write((here, there)[number % 2], number) for number in range(12)))
    assert sorted(versions) == list(range(1, 13))
    assert sorted(await read_feed(here.store)) == [an_id(number) for number in range(12)]


async def test_reader_beside_a_writer(here: Database) -> None:
    """A writer and readers do not wait for each other."""
    async with here.store.reading() as reader:
        assert await reader.records([an_id(1)]) == {}
        await put(here.store, a_batch([a_record(1)]))
        async with here.store.writing() as writer:
            await writer.write(a_batch([a_record(2)]))
            assert await reader.records([an_id(1)]) == {}


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancelled_writer(here: Database, times: int) -> None:
    """A writer cancelled half-way, even while it rolls back, leaves nothing, and the next one works."""
    written = asyncio.Event()

    async def work() -> None:
        async with here.store.writing() as tx:
            await tx.write(a_batch([a_record(1)], [a_change(1)], sequences={DEVICE: 1}))
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await written.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    async with here.store.writing() as tx:
        assert await tx.lock_records([an_id(1)]) == {}
        assert await tx.lock_devices([DEVICE]) == {DEVICE: 0}


async def test_cancelled_in_a_statement(here: Database) -> None:
    """A writer cancelled while the database works on its statement leaves nothing, and the next one works."""
    writing = asyncio.Event()

    async def work() -> None:
        async with here.store.writing() as tx:
            await tx.write(a_batch([a_record(1)]))
            writing.set()
            await tx.write(a_batch([a_record(number) for number in range(2, 5_000)]))

    task = asyncio.create_task(work())
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with here.store.reading() as tx:
        assert [page async for page in tx.scan("finding")] == []


async def test_waiting_writer_cancelled(here: Database) -> None:
    """A writer cancelled while it waits for its turn does not disturb the others."""
    async with here.store.writing() as first:
        task = asyncio.create_task(put(here.store, a_batch([a_record(2)])))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await first.write(a_batch([a_record(1)]))
    async with here.store.reading() as tx:
        assert list(await tx.records([an_id(1), an_id(2)])) == [an_id(1)]


async def test_tables_beside_the_store(here: Database) -> None:
    """Other modules write by `engine` and read by `read_engine`, with SQLAlchemy's statements."""
    async with here.engine.begin() as connection:
        await connection.execute(device_sequences.insert(), {"device": DEVICE, "held": 4})
    async with here.read_engine.connect() as connection:
        rows = (await connection.execute(select(device_sequences))).all()
    assert [tuple(row) for row in rows] == [(DEVICE, 4)]


async def test_folder_is_made(tmp_path: Path) -> None:
    """Opening a database in a folder that does not exist makes the folder."""
    await open_database(f"sqlite:///{tmp_path}/a/b/gridwalk.db").close()
    assert (tmp_path / "a" / "b").is_dir()
