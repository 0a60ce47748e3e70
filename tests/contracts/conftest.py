"""One database as server processes see it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.storage.database import Database, open_database
from tests.contracts.media_desk import Desk


@pytest.fixture
async def here(postgres_url: str) -> AsyncIterator[Database]:
    """The database as one server process sees it."""
    database = open_database(postgres_url, 4)
    yield database
    await database.close()


@pytest.fixture
async def there(postgres_url: str) -> AsyncIterator[Database]:
    """The same database as another server process sees it, which has but one connection."""
    database = open_database(postgres_url, 1)
    yield database
    await database.close()


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """Media on each database."""
    database = open_database(database_url, 4)
    made = Desk(database, tmp_path / "data")
    await made.enrol(made.li)
    made.queue.start()
    yield made
    await made.queue.stop()
    made.media.close()
    await database.close()
