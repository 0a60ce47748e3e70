"""PostgreSQL crashes and recovers: nothing it has acknowledged is lost, and no cursor is ahead of what comes then."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import asyncpg
import pytest
from sqlalchemy.engine import URL

from server.storage.database import open_database
from sync.cursor import Cursor
from tests.conftest import prepared
from tests.postgres import new_cluster, postgres_database
from tests.unit.builders import Office, component, inspector, new_id


@pytest.fixture(scope="module")
def cluster() -> Iterator[URL]:
    """A cluster of its own, which nobody else misses when it crashes."""
    with new_cluster() as url:
        yield url


@pytest.fixture
async def url(cluster: URL) -> AsyncIterator[str]:
    """A database in that cluster, ready for a server."""
    async with postgres_database(cluster) as made:
        await prepared(made)
        yield made


async def crash(url: str) -> None:
    """Kill a process of the cluster, which has it recover as from a power cut, and return when it is back."""
    doomed, witness = await asyncpg.connect(url), await asyncpg.connect(url)
    os.kill(await doomed.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    async with asyncio.timeout(60):
        with suppress(asyncpg.PostgresError, OSError):
            while True:
                await witness.fetchval("SELECT 1")
        while not await _answers(url):
            pass


async def _answers(url: str) -> bool:
    with suppress(OSError, asyncpg.PostgresError):
        await (await asyncpg.connect(url)).close()
        return True
    return False


async def test_ids_that_a_crash_gives_again_are_not_told(url: str) -> None:
    """Transactions that wrote nothing leave no trace on disk: what is written under their ids after a crash is not
    behind anybody's cursor."""
    before = open_database(url, 2)
    office, wang = Office(before.store), inspector("wang")
    await office.write(inspector("li"), "component", new_id(), component())
    for _ in range(20):
        with suppress(KeyError):
            async with before.store.writing():
                raise KeyError
    told = (await office.read(wang)).cursor
    await crash(url)
    with suppress(asyncpg.PostgresError):
        await before.close()
    after, late = open_database(url, 2), new_id()
    office = Office(after.store)
    await office.write(inspector("zhao"), "component", late, component(code="4403040102000002"))
    async with after.store.reading() as tx:
        assert Cursor.decode(told).furthest <= await tx.horizon()
    assert late in {one.id for one in (await office.read(wang, told)).records}
    await after.close()
