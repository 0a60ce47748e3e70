"""Opening a database by its URL."""

import sqlite3
from pathlib import Path

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from server.storage.postgres import PostgresStore, postgres_engine
from server.storage.sqlite import SqliteStore, sqlite_engine
from sync.storage import Store


class DatabaseUnreachable(Exception):
    """The database cannot be used; the cause says why."""


class Database:
    """An open database: the store of synced records, and engines for the tables beside it.

    Transactions of `engine` may read and write. Those of `read_engine` only read: on SQLite they neither wait for
    a writer nor hold one up; on PostgreSQL both are the same engine.
    """

    def __init__(self, store: Store, engine: AsyncEngine, read_engine: AsyncEngine) -> None:
        self.store = store
        self.engine = engine
        self.read_engine = read_engine

    async def close(self) -> None:
        """Close all connections; none may be in use."""
        await self.read_engine.dispose()
        await self.engine.dispose()


def open_database(url: str, connections: int = 8) -> Database:
    """The database at `sqlite:///path` or `postgresql://...`, by at most `connections` connections at once.

    Nothing is connected yet; a missing folder of an SQLite file is made. Raises ValueError for another URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("not a database URL; use sqlite:///path or postgresql://...") from error
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, connections)
    if parsed.get_backend_name() == "postgresql":
        engine = postgres_engine(parsed, connections)
        return Database(PostgresStore(engine), engine, engine)
    raise ValueError(f"{parsed.get_backend_name()} is not supported; use sqlite:///path or postgresql://...")


async def reach(url: str) -> None:
    """Connect to the database once. Raises DatabaseUnreachable."""
    try:
        database = open_database(url, 1)
        if database.engine.dialect.name == "sqlite":
            # Opened in the driver's own thread, a file that cannot be opened would print a traceback there.
            sqlite3.connect(str(make_url(url).database)).close()
    except (ValueError, OSError, sqlite3.Error) as error:
        raise DatabaseUnreachable from error
    try:
        async with database.engine.connect():
            pass
    except (SQLAlchemyError, OSError, asyncpg.PostgresError) as error:
        raise DatabaseUnreachable from error
    finally:
        await database.close()


def _open_sqlite(url: URL, connections: int) -> Database:
    if url.database in (None, "", ":memory:"):
        raise ValueError("an SQLite database needs a file, as in sqlite:///path")
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    reader = sqlite_engine(url, connections, "BEGIN")
    writer = sqlite_engine(url, 1, "BEGIN IMMEDIATE")
    return Database(SqliteStore(reader, writer), writer, reader)
