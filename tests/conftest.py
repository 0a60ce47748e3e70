"""Databases for tests: a real SQLite file, a real PostgreSQL, and stores on them.

PostgreSQL starts when the first test needs it, or is the one at GRIDWALK_TEST_DATABASE_URL (whose user may create
databases). Every test has a database of its own, migrated and with an empty store.
"""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import URL

from client_sdk.simulation.database import Database as SimulatedDatabase
from client_sdk.simulation.transactions import SimulatedStore
from server.storage.database import open_database
from server.storage.migrate import initialise, migrate
from sync.memory import MemoryStore
from sync.storage import Store
from tests.postgres import administer, postgres_database, running_postgres, url_text

# How long an example takes is the machine's matter: what is measured is measured by the benchmarks.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

EPOCH = uuid.UUID("0190a5c0-0000-7000-8000-000000000001")
"""The epoch of the stores that tests get."""
CONNECTIONS = 6


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """The URL of a PostgreSQL database whose user may create others."""
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: URL) -> Iterator[str]:
    """The name of a migrated database with an empty store, to be copied."""
    name = f"gridwalk_template_{uuid.uuid4().hex[:8]}"
    asyncio.run(administer(postgres_server, f"CREATE DATABASE {name}"))
    asyncio.run(prepared(url_text(postgres_server.set(database=name))))
    yield name
    asyncio.run(administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def postgres_url(postgres_server: URL, postgres_template: str) -> AsyncIterator[str]:
    """A PostgreSQL database of the test's own."""
    async with postgres_database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture
async def bare_postgres_url(postgres_server: URL) -> AsyncIterator[str]:
    """A PostgreSQL database without any table."""
    async with postgres_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file with an empty store, to be copied."""
    path = tmp_path_factory.mktemp("template") / "gridwalk.db"
    asyncio.run(prepared(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An SQLite database of the test's own."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'gridwalk.db')}"


@pytest.fixture
def bare_sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite database that does not exist, in a folder that does not exist."""
    return f"sqlite:///{tmp_path / 'new' / 'gridwalk.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def bare_database_url(request: pytest.FixtureRequest) -> str:
    """A database without any table, of each kind."""
    url: str = request.getfixturevalue(f"bare_{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of the test's own, of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["memory", "simulated", "sqlite", "postgres"])
def made_store(request: pytest.FixtureRequest) -> Store | str:
    """An empty store of each backend, or the URL of its database."""
    match request.param:
        case "memory":
            return MemoryStore(EPOCH)
        case "simulated":
            return SimulatedStore(SimulatedDatabase(EPOCH), no_pause)
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def store(made_store: Store | str) -> AsyncIterator[Store]:
    """An empty store, on each backend."""
    if not isinstance(made_store, str):
        yield made_store
        return
    database = open_database(made_store, CONNECTIONS)
    yield database.store
    await database.close()


async def no_pause() -> None:
    """The pace of a simulated store whose steps take no time, but let others have a turn."""
    await asyncio.sleep(0)


async def prepared(url: str) -> None:
    """Make a database that is empty ready for a server."""
    database = open_database(url, 1)
    await migrate(database.engine)
    await initialise(database.engine, EPOCH)
    await database.close()
