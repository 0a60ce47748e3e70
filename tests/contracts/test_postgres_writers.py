"""PostgreSQL under concurrent writers: no two decide the same thing, and none breaks what others use."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable
from itertools import pairwise

import asyncpg
import msgspec
import pytest

from server.storage.database import Database
from sync.draft import Workspace
from sync.storage import Collision, Store
from tests.contracts.samples import (
    DEVICE,
    a_batch,
    a_change,
    a_record,
    an_id,
    put,
)
from tests.unit.builders import REGISTRY, Office, component, inspector, new_id


@pytest.fixture
async def watcher(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that watches the others."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def until_one_waits(watcher: asyncpg.Connection) -> None:
    """Return when a writer of this database waits for another's lock."""
    query = """
        SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
    """
    async with asyncio.timeout(20):
        while not await watcher.fetchval(query):
            pass


@pytest.mark.parametrize("held", [0, 4])
async def test_device_is_written_by_one(
    here: Database, there: Database, watcher: asyncpg.Connection, held: int
) -> None:
    """Writers of one device take turns, at its first push too: the second sees what the first noted."""
    if held:
        await put(here.store, a_batch(sequences={DEVICE: held}))

    async def second() -> dict[uuid.UUID, int]:
        async with there.store.writing() as tx:
            return await tx.lock_devices([DEVICE])

    async with here.store.writing() as first:
        assert await first.lock_devices([DEVICE]) == {DEVICE: held}
        waiting = asyncio.create_task(second())
        await until_one_waits(watcher)
        await first.write(a_batch(sequences={DEVICE: held + 2}))
    assert await waiting == {DEVICE: held + 2}


async def test_locked_record_is_the_newest(here: Database, there: Database, watcher: asyncpg.Connection) -> None:
    """Who waited for a record sees what the other wrote, and gets a larger version."""
    await put(here.store, a_batch([a_record(1)]))

    async def second() -> tuple[int, int]:
        async with there.store.writing() as tx:
            found = await tx.lock_records([an_id(1)])
            return found[an_id(1)].version, await tx.reserve_versions(1)

    async with here.store.writing() as first:
        await first.lock_records([an_id(1)])
        waiting = asyncio.create_task(second())
        await until_one_waits(watcher)
        version = await first.reserve_versions(1)
        await first.write(a_batch([a_record(1, version=version)]))
    seen, reserved = await waiting
    assert seen == version < reserved


async def test_a_history_is_not_kept_from_before_the_lock(here: Database, there: Database) -> None:
    """What another writes between a look at a record's history and its lock is in the next look."""
    one, two, record = Office(here.store), Office(there.store), new_id()
    await one.write(inspector("li"), "component", record, component())
    async with here.store.writing() as tx:
        work = Workspace(tx, REGISTRY)
        looked = await work.history(record)
        await two.write(inspector("wang"), "component", record, {"remark": "x"}, base=10**6)
        await work.draft(record)
        assert len(await work.history(record)) == len(looked) + 1 == 2


@pytest.mark.parametrize("batch", [a_batch([a_record(1)]), a_batch(changes=[a_change(1)])], ids=["record", "change"])
async def test_both_create_the_same(
    here: Database, there: Database, watcher: asyncpg.Connection, batch: object
) -> None:
    """When two create the same record, or log the same change, the second collides and leaves nothing."""
    assert isinstance(batch, type(a_batch()))
    everything = a_batch(batch.records, batch.changes, sequences={an_id(7): 1})

    async def second() -> None:
        async with there.store.writing() as tx:
            await tx.lock_records([an_id(1)])
            await tx.write(everything)

    async with here.store.writing() as first:
        await first.lock_records([an_id(1)])
        await first.write(batch)
        waiting = asyncio.create_task(second())
        await until_one_waits(watcher)
    with pytest.raises(Collision):
        await waiting
    async with there.store.writing() as tx:
        assert await tx.lock_devices([an_id(7)]) == {an_id(7): 0}


async def test_deadlock_is_a_collision(here: Database, there: Database) -> None:
    """When two wait for each other, one collides and the other goes on."""
    await put(here.store, a_batch([a_record(1), a_record(2)]))

    async def both(store: Store, first: int, then: int, met: asyncio.Barrier) -> str:
        try:
            async with store.writing() as tx:
                await tx.lock_records([an_id(first)])
                await met.wait()
                await tx.lock_records([an_id(then)])
                return "done"
        except Collision:
            return "collided"

    met = asyncio.Barrier(2)
    outcomes = await asyncio.gather(both(here.store, 1, 2, met), both(there.store, 2, 1, met))
    assert sorted(outcomes) == ["collided", "done"]


async def test_versions_under_contention(here: Database) -> None:
    """Blocks of versions reserved at the same time never overlap."""

    async def reserve(count: int) -> list[range]:
        blocks = []
        for _ in range(10):
            async with here.store.writing() as tx:
                first = await tx.reserve_versions(count)
            blocks.append(range(first, first + count))
        return blocks

    taken = await asyncio.gather(*(reserve(count) for count in (1, 700, 2_000, 5_000)))
    blocks = sorted((block for blocks in taken for block in blocks), key=lambda block: block.start)
    assert all(lower.stop <= upper.start for lower, upper in pairwise(blocks))


async def cancelled(work: Awaitable[None], watcher: asyncpg.Connection, times: int) -> None:
    """Start `work`, cancel it when it waits for a lock, `times` over, and see it end."""
    task = asyncio.ensure_future(work)
    await until_one_waits(watcher)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancelled_writer(here: Database, there: Database, watcher: asyncpg.Connection, times: int) -> None:
    """A writer cancelled half-way, even while it rolls back, leaves nothing, and its only connection serves on."""

    async def work() -> None:
        async with there.store.writing() as tx:
            await tx.write(a_batch([a_record(1)], [a_change(1)]))
            await tx.lock_devices([DEVICE])

    async with here.store.writing() as holder:
        await holder.lock_devices([DEVICE])
        await cancelled(work(), watcher, times)
    async with there.store.writing() as tx:
        assert await tx.lock_records([an_id(1)]) == {}
        assert await tx.lock_devices([DEVICE]) == {DEVICE: 0}


async def test_lost_connections(there: Database, watcher: asyncpg.Connection) -> None:
    """Connections the server closed while they were idle are replaced, unnoticed."""
    await put(there.store, a_batch([a_record(1)]))
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'gridwalk'"
    assert await watcher.fetch(others)
    async with there.store.reading() as tx:
        assert list(await tx.records([an_id(1)])) == [an_id(1)]


async def test_lost_while_writing(there: Database, watcher: asyncpg.Connection) -> None:
    """A writer whose connection dies fails, and the next one works."""

    async def work() -> None:
        async with there.store.writing() as tx:
            await tx.write(a_batch([a_record(1)]))
            await watcher.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'gridwalk'"
            )
            await tx.lock_devices([DEVICE])

    with pytest.raises(Exception, match=r"clos|terminat"):
        await work()
    async with there.store.reading() as tx:
        assert await tx.records([an_id(1)]) == {}


async def test_same_push_at_two_servers(here: Database, there: Database) -> None:
    """A batch that a device sends to two servers at once gets one set of verdicts and happens once."""
    li, record = inspector("li"), new_id()
    offices = Office(here.store), Office(there.store)
    batch = [
        offices[0].change(li, "component", record, component()),
        offices[0].change(li, "component", record, {"inspections": 1}),
    ]
    answers = await asyncio.gather(*(office.submit(li, *batch) for office in offices))
    assert answers[0] == answers[1]
    assert (await offices[0].fields(record))["inspections"] == 1


async def test_versions_after_a_late_lock(here: Database, there: Database) -> None:
    """A record locked after versions were reserved still gets a version larger than its own."""
    async with here.store.writing() as tx:
        work = Workspace(tx, REGISTRY)
        await work.reserve(5)
        await put(there.store, a_batch([a_record(1)]))
        async with there.store.writing() as other:
            version = await other.reserve_versions(1)
            await other.lock_records([an_id(1)])
            await other.write(a_batch([msgspec.structs.replace(a_record(1), version=version)]))
        draft = await work.draft(an_id(1))
        assert draft is not None
        assert await work.version() > draft.version == version


async def test_durable(here: Database) -> None:
    """Commits wait for the disk, and a transaction whose process hangs does not stay open for ever."""
    async with here.engine.connect() as connection:
        settings = [
            (await connection.exec_driver_sql(f"SHOW {name}")).scalar()
            for name in ("synchronous_commit", "fsync", "idle_in_transaction_session_timeout")
        ]
    assert settings == ["on", "on", "1min"]
