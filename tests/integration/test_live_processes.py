"""Live pokes between server processes over one database, and how a process parts from its listeners."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from client_sdk.demo.stage import Stage
from client_sdk.torture.servers import USER, Servers
from client_sdk.torture.wire import LoadDevice, Unanswered, encoder
from field_schemas.access import Grant, Role
from server import live_postgres
from server.live import Announcement, Hub, Word, reader_of
from server.live_postgres import PostgresNews
from server.storage.database import open_database
from sync.messages import PushRequest
from tests.postgres import postgres_database
from tests.unit.builders import component

PROCESSES = 2
FOUND_WITHIN_S = 30
STREET = "grid:440304001"
NEVER = 60.0


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server_and_template(request: pytest.FixtureRequest) -> tuple[URL, str] | None:
    """Where a PostgreSQL database can be made, and from what; None for an SQLite file."""
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(
    server_and_template: tuple[URL, str] | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Servers]:
    """Two processes over one database."""
    async with AsyncExitStack() as stack:
        url = None
        if server_and_template is not None:
            url = await stack.enter_async_context(postgres_database(*server_and_template))
        running = Servers(tmp_path_factory.mktemp("servers"), url, PROCESSES)
        try:
            await running.start()
            yield running
        finally:
            await running.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_change_at_one_process_pokes_listeners_at_the_other(servers: Servers) -> None:
    """A device that listens at one process pulls at once what another device pushed to the other process."""
    author, listener = (LoadDevice(url, USER) for url in servers.urls)
    async with author, listener:
        for device in (author, listener):
            await device.sign_in(servers.password)
        cursor = (await listener.pull(None, 100)).cursor
        heard = asyncio.Event()
        change = author.change("component", component())

        async def push_when_heard() -> None:
            await heard.wait()
            await author.push(encoder.encode(PushRequest([change])))

        pushing = asyncio.create_task(push_when_heard())
        async with asyncio.timeout(FOUND_WITHIN_S), aclosing(listener.pokes()) as pokes:
            found = False
            while not found:
                await anext(pokes)
                page = await listener.pull(cursor, 100)
                heard.set()
                cursor, found = page.cursor, any(one.id == change.record for one in page.records)
        await pushing


async def rest_of(line: AsyncIterator[str]) -> list[str]:
    """The lines up to the end of the stream."""
    heard: list[str] = []
    with suppress(Unanswered):
        while True:
            heard.append(await anext(line))
    return heard


async def test_a_process_that_ends_says_when_to_come_back(tmp_path: Path) -> None:
    """At SIGTERM every listener is told to come back, each at a time of its own, and the process ends soon."""
    stage = Stage(tmp_path)
    await stage.command("init")
    await stage.add_user(USER, ("inspector", STREET))
    await stage.start_server()
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(LoadDevice(stage.url, USER)) for _ in range(3)]
        for device in devices:
            await device.sign_in(stage.password)
        lines = [await stack.enter_async_context(aclosing(device.live())) for device in devices]
        for line in lines:
            assert await anext(line)
        ending = asyncio.create_task(stage.stop_server())
        said = [await rest_of(line) for line in lines]
        await ending
    assert all("event: bye" in heard for heard in said)
    assert "Cancel" not in stage.log_tail()


@asynccontextmanager
async def news(engine: AsyncEngine) -> AsyncIterator[tuple[Hub, PostgresNews]]:
    """News over PostgreSQL that run, for one listener's hub."""
    hub = Hub()
    made = PostgresNews(engine, hub)
    running = asyncio.create_task(made.run())
    try:
        yield hub, made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_poke_waits_until_it_can_be_pulled(postgres_url: str) -> None:
    """A commit that an older open transaction still hides from pulls is told of when that one has ended."""
    database = open_database(postgres_url, 3)
    reader = reader_of("li", uuid.uuid4(), uuid.uuid4(), [Grant(STREET, Role.INSPECTOR)], 0)
    async with news(database.engine) as (hub, told):
        listener = hub.join(reader)
        async with database.engine.begin() as older:
            await older.execute(text("SELECT pg_current_xact_id()"))
            async with database.store.writing() as tx:
                number = tx.tx
            told.announce(Announcement(number, frozenset({STREET})))
            # The first poke is the one that every new line starts with, and the start of the news.
            before = [await listener.next(NEVER), await listener.next(0.3)]
        async with asyncio.timeout(FOUND_WITHIN_S):
            assert await listener.next(NEVER) is Word.POKE
    assert before[-1] is Word.BEAT
    await database.close()


@pytest.mark.parametrize("option", ["ssl=disable", "prepared_statement_cache_size=0"])
async def test_options_of_the_url_are_the_engines(postgres_url: str, option: str) -> None:
    """Whatever options the database's URL has that the pool understands, commits are told of."""
    name, _, value = option.partition("=")
    url = make_url(postgres_url).update_query_dict({name: value}).render_as_string(hide_password=False)
    database = open_database(url, 1)
    reader = reader_of("li", uuid.uuid4(), uuid.uuid4(), [Grant(STREET, Role.INSPECTOR)], 0)
    async with news(database.engine) as (hub, told):
        listener = hub.join(reader)
        await listener.next(NEVER)
        told.announce(Announcement(0, frozenset({STREET})))
        async with asyncio.timeout(FOUND_WITHIN_S):
            assert await listener.next(NEVER) is Word.POKE
    await database.close()


async def test_a_connection_that_is_dead_without_saying_so_is_replaced(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the way to the database swallows everything, the connection is made anew."""
    monkeypatch.setattr(live_postgres, "_BEAT_S", 0.05)
    monkeypatch.setattr(live_postgres, "_PATIENCE_S", 0.2)
    url = make_url(postgres_url)
    real = Path(str(url.query["host"])) / f".s.PGSQL.{url.port or 5432}"
    again = asyncio.Event()
    made: list[None] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if b"SELECT 1" not in data:
                writer.write(data)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(None)
        if len(made) > 1:
            again.set()
        behind, before = await asyncio.open_unix_connection(str(real))
        with suppress(OSError):
            await asyncio.gather(pass_on(reader, before), pass_on(behind, writer))
        before.close()
        writer.close()

    proxy = await asyncio.start_unix_server(accept, tmp_path / real.name)
    database = open_database(url.update_query_dict({"host": str(tmp_path)}).render_as_string(hide_password=False), 1)
    async with news(database.engine), asyncio.timeout(FOUND_WITHIN_S):
        await again.wait()
    proxy.close()
    await database.close()
