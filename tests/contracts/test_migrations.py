"""Migrations lead every database to the schema that the tables declare."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from server.storage.database import Database, open_database
from server.storage.migrate import initialise, migrate, pending
from server.storage.schema import metadata
from server.storage.sql import StoreEmpty


@pytest.fixture
async def database(bare_database_url: str) -> AsyncIterator[Database]:
    """A database without any table."""
    database = open_database(bare_database_url, 2)
    yield database
    await database.close()


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_migrations_make_what_is_declared(database: Database) -> None:
    """After all steps the database has exactly the declared tables, columns and indexes."""
    await migrate(database.engine)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_pending(database: Database) -> None:
    """Steps are pending until they are applied, and not afterwards."""
    assert await pending(database.engine)
    await migrate(database.engine)
    assert not await pending(database.engine)


async def test_migrating_again_changes_nothing(database: Database) -> None:
    """A database that has all steps keeps its contents."""
    await migrate(database.engine)
    await initialise(database.engine, uuid.UUID(int=1))
    await migrate(database.engine)
    async with database.store.reading() as tx:
        assert await tx.epoch() == uuid.UUID(int=1)


async def test_rows_of_an_older_process_are_of_the_first_version(database: Database) -> None:
    """What a process that does not know the column `type_version` writes counts as version 1 of its type."""
    await migrate(database.engine)
    columns = "id, type, version, tx, scopes, fields, marks, district, deleted"
    values = f"'{uuid.UUID(int=1)}', 'note', 1, 0, '[]', '', '', '', false"
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql(f"INSERT INTO records ({columns}) VALUES ({values})")
        assert (await connection.exec_driver_sql("SELECT type_version FROM records")).scalar() == 1


async def test_two_processes_migrate_at_once(bare_database_url: str) -> None:
    """Processes that start together on a new database take turns; both succeed."""
    databases = [open_database(bare_database_url, 1) for _ in range(3)]
    await asyncio.gather(*(migrate(database.engine) for database in databases))
    assert not await pending(databases[0].engine)
    for database in databases:
        await database.close()


async def test_initialise_keeps_a_store(database: Database) -> None:
    """The first epoch stays, whoever else starts on the database."""
    await migrate(database.engine)
    await initialise(database.engine, uuid.UUID(int=1))
    await asyncio.gather(*(initialise(database.engine, uuid.UUID(int=number)) for number in (2, 3)))
    async with database.store.reading() as tx:
        assert await tx.epoch() == uuid.UUID(int=1)


async def test_store_that_was_not_initialised(database: Database) -> None:
    """A migrated database without a store says so."""
    await migrate(database.engine)
    async with database.store.reading() as tx:
        with pytest.raises(StoreEmpty):
            await tx.epoch()


async def test_other_databases_are_refused() -> None:
    """Only SQLite files and PostgreSQL are databases for a store."""
    for url in ("mysql://host/db", "sqlite://", "sqlite:///:memory:", "gridwalk.db"):
        with pytest.raises(ValueError, match="sqlite:///path"):
            open_database(url)


async def test_failed_migration_leaves_nothing(database: Database) -> None:
    """Steps are applied all or none: a failure at the last table leaves no other behind."""
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE refresh_tokens (digest INTEGER)")
    with pytest.raises(Exception, match="refresh_tokens"):
        await migrate(database.engine)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == ["refresh_tokens"]
