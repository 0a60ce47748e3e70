"""Real servers over real HTTP, one a module and kind of database."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import URL

from tests.integration.http_server import HttpServer


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    """A running server of the module's own, with an empty store."""
    folder = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        with HttpServer(folder, f"sqlite:///{folder}/gridwalk.db") as running:
            yield running
        return
    yield from _on_postgres(request.getfixturevalue("postgres_server"), folder)


def _on_postgres(server_url: URL, folder: Path) -> Iterator[HttpServer]:
    name = f"gridwalk_http_{uuid.uuid4().hex[:8]}"
    asyncio.run(_administer(server_url, f"CREATE DATABASE {name}"))
    url = server_url.set(database=name).render_as_string(hide_password=False)
    with HttpServer(folder, url) as running:
        yield running
    asyncio.run(_administer(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _administer(server_url: URL, statement: str) -> None:
    connection = await asyncpg.connect(server_url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
