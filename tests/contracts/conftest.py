"""One PostgreSQL database as two server processes see it."""

from collections.abc import AsyncIterator

import pytest

from server.storage.database import Database, open_database


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
