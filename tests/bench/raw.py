"""Baselines: the databases alone, doing the bare inserts and reads, durable, with rows of the same size."""

import asyncio
import itertools
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from client_sdk.torture.wire import new_id
from tests.bench.running import Place
from tests.bench.turns import Contestant, Work

BATCH = 100
CREATE_RECORDS = "CREATE TABLE IF NOT EXISTS {table} (id {id} PRIMARY KEY, type text, version bigint, fields {bytes})"
_CREATE_LOG = """
CREATE TABLE IF NOT EXISTS log (
    id {id} PRIMARY KEY, device {id}, seq bigint, record {id}, stamp bigint, outcome text, fields {bytes})
"""
_CREATE_LOG_INDEX = "CREATE INDEX IF NOT EXISTS log_of_record ON log (record)"
_CREATE_FEED = (
    "CREATE TABLE IF NOT EXISTS feed (feed text, version bigint, record {id}, PRIMARY KEY (feed, version, record))"
)
INSERT_SQLITE = "INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)"
UPSERT_POSTGRES = """
INSERT INTO {table} SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[])
ON CONFLICT (id) DO UPDATE SET version = excluded.version, fields = excluded.fields
"""
_LOG_SQLITE = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)"
_LOG_POSTGRES = """
INSERT INTO log SELECT * FROM
    unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[], $6::text[], $7::bytea[])
"""
_FEED_SQLITE = "INSERT INTO feed VALUES (?, ?, ?)"
_FEED_POSTGRES = "INSERT INTO feed SELECT * FROM unnest($1::text[], $2::bigint[], $3::uuid[])"
_DEVICE = uuid.uuid4()

Table = list[tuple[Any, ...]]
Batch = tuple[Table, Table, Table]
"""Rows of records, and of the log and the feed, which may be empty."""
_versions = itertools.count(1)


def batches(count: int, body: bytes, *, logged: bool) -> Iterator[Batch]:
    """`count` batches of rows like those of pushed records; `logged`: with a row of the log and of a feed each."""
    for _ in range(count):
        records: Table = [(new_id(), "finding", next(_versions), body) for _ in range(BATCH)]
        if logged:
            log: Table = [(new_id(), _DEVICE, row[2], row[0], row[2], "applied", body) for row in records]
            yield records, log, [("grid:440304006001001", row[2], row[0]) for row in records]
        else:
            yield records, [], []


@asynccontextmanager
async def inserting(
    place: Place, body: bytes, clients: int, each: int, *, logged: bool = False
) -> AsyncIterator[Contestant]:
    """Durable transactions of BATCH rows, `each` by every client: on SQLite one client does the work of all."""
    if place.on_postgres:
        async with _postgres(place.bare_url, clients) as pool:
            yield Contestant(lambda: _postgres_inserts(pool, clients, each, body, logged))
    else:
        path = place.folder / "raw.db"
        await asyncio.to_thread(_create_sqlite, path)
        yield Contestant(lambda: _sqlite_inserts(path, list(batches(clients * each, body, logged=logged))))


@asynccontextmanager
async def reading(place: Place, clients: int, records: int, times: int) -> AsyncIterator[Contestant]:
    """`records` rows read at once, by all clients at once, so many times each, from what `inserting` wrote."""
    if place.on_postgres:
        async with _postgres(place.bare_url, clients) as pool:
            yield Contestant(lambda: _postgres_reads(pool, clients, records, times))
    else:
        yield Contestant(lambda: _sqlite_reads(place.folder / "raw.db", records, clients * times))


def _create_sqlite(path: Path) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    names = {"id": "BLOB", "bytes": "BLOB"}
    for statement in (CREATE_RECORDS.format(table="raw", **names), _CREATE_LOG.format(**names)):
        database.execute(statement)
    database.execute(_CREATE_LOG_INDEX)
    database.execute(_CREATE_FEED.format(**names) + " WITHOUT ROWID")
    database.close()


def _sqlite_inserts(path: Path, work: list[Batch]) -> Work:
    ready = [tuple(map(_with_bytes, batch)) for batch in work]
    statements = (INSERT_SQLITE.format(table="raw"), _LOG_SQLITE, _FEED_SQLITE)

    def insert() -> int:
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA synchronous=FULL")
        for batch in ready:
            database.execute("BEGIN IMMEDIATE")
            for statement, rows in zip(statements, batch, strict=True):
                database.executemany(statement, rows)
            database.execute("COMMIT")
        database.close()
        return len(ready) * BATCH

    return _in_thread(insert)


def _with_bytes(rows: Table) -> Table:
    return [tuple(value.bytes if isinstance(value, uuid.UUID) else value for value in row) for row in rows]


def _sqlite_reads(path: Path, records: int, times: int) -> Work:
    def read() -> int:
        database = sqlite3.connect(path)
        statement = "SELECT id, fields FROM raw WHERE id > ? ORDER BY id LIMIT ?"
        count = sum(len(database.execute(statement, (b"", records)).fetchall()) for _ in range(times))
        database.close()
        return count

    return _in_thread(read)


def _in_thread(work: Callable[[], int]) -> Work:
    return lambda: asyncio.to_thread(work)


@asynccontextmanager
async def _postgres(dsn: str, clients: int) -> AsyncIterator[Any]:
    names = {"id": "uuid", "bytes": "bytea"}
    async with asyncpg.create_pool(dsn, min_size=clients, max_size=clients) as pool:
        for statement in (CREATE_RECORDS.format(table="raw", **names), _CREATE_LOG.format(**names)):
            await pool.execute(statement)
        await pool.execute(_CREATE_LOG_INDEX)
        await pool.execute(_CREATE_FEED.format(**names))
        yield pool


def _postgres_inserts(pool: Any, clients: int, each: int, body: bytes, logged: bool) -> Work:
    statements = (UPSERT_POSTGRES.format(table="raw"), _LOG_POSTGRES, _FEED_POSTGRES)
    columns = [
        [[list(zip(*table, strict=True)) for table in batch] for batch in batches(each, body, logged=logged)]
        for _ in range(clients)
    ]

    async def one(work: list[list[list[tuple[Any, ...]]]]) -> int:
        async with pool.acquire() as connection:
            for batch in work:
                async with connection.transaction():
                    for statement, table in zip(statements, batch, strict=True):
                        if table:
                            await connection.execute(statement, *table)
        return len(work) * BATCH

    async def insert() -> int:
        return sum(await asyncio.gather(*map(one, columns)))

    return insert


def _postgres_reads(pool: Any, clients: int, records: int, times: int) -> Work:
    statement = "SELECT id, fields FROM raw WHERE id > $1 ORDER BY id LIMIT $2"

    async def one() -> int:
        async with pool.acquire() as connection:
            return sum([len(await connection.fetch(statement, uuid.UUID(int=0), records)) for _ in range(times)])

    async def read() -> int:
        return sum(await asyncio.gather(*(one() for _ in range(clients))))

    return read
