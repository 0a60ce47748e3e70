"""Bringing a database to the present schema, and giving a new one its store."""

import uuid

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from server.storage.tables import store

_LOCK = 0x67726964
"""The advisory lock of migrations on PostgreSQL."""


async def migrate(engine: AsyncEngine) -> None:
    """Apply the steps that are missing, all or none; processes that start at once take turns.

    `engine` is `Database.engine`, whose transactions on SQLite hold the write lock from their start.
    """
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await connection.run_sync(_upgrade)


async def pending(engine: AsyncEngine) -> bool:
    """Whether steps are missing."""
    heads = set(ScriptDirectory.from_config(_config()).get_heads())
    async with engine.connect() as connection:
        return heads != await connection.run_sync(_applied)


async def initialise(engine: AsyncEngine, epoch: uuid.UUID) -> None:
    """Give a migrated database its store, of identity `epoch`; one that has a store keeps it."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    row = insert(store).values(id=1, epoch=epoch, last_version=0).on_conflict_do_nothing()
    async with engine.begin() as connection:
        if (await connection.execute(select(store.c.id))).first() is None:
            await connection.execute(row)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "server.storage:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _applied(connection: Connection) -> set[str]:
    return set(MigrationContext.configure(connection).get_current_heads())
