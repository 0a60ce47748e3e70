"""Baselines: the databases alone, doing the bare inserts and reads, durable, with rows of the same size."""

import asyncio
import itertools
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from client_sdk.torture.wire import new_id
from tests.bench.figures import rate
from tests.bench.running import Place

ROWS = 20_000
BATCH = 100
Row = tuple[uuid.UUID, str, int, bytes]
Columns = tuple[tuple[Any, ...], ...]


def rows(count: int, body: bytes) -> Iterator[list[Row]]:
    """Batches of rows like stored records."""
    versions = itertools.count(1)
    for _ in range(count // BATCH):
        yield [(new_id(), "finding", next(versions), body) for _ in range(BATCH)]


async def inserts(place: Place, body: bytes, clients: int) -> float:
    """Rows/s in durable transactions of BATCH, into the baseline's database."""
    if place.on_postgres:
        return await postgres_upserts(place.bare_url, body, clients)
    return await sqlite_inserts(place.folder, body)


async def reads(place: Place, clients: int) -> float:
    """Rows/s read of what `inserts` wrote."""
    return await (postgres_reads(place.bare_url, clients) if place.on_postgres else sqlite_reads(place.folder))


async def sqlite_inserts(folder: Path, body: bytes) -> float:
    """Rows/s in transactions of BATCH, synchronous=FULL."""
    database = sqlite3.connect(folder / "raw.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE raw (id BLOB PRIMARY KEY, type TEXT, version INTEGER, fields BLOB) WITHOUT ROWID")

    database.close()

    def prepare() -> list[list[tuple[bytes, str, int, bytes]]]:
        return [[(row[0].bytes, *row[1:]) for row in batch] for batch in rows(ROWS, body)]

    return await rate(lambda batches: asyncio.to_thread(_insert_sqlite, folder / "raw.db", batches), prepare)


def _insert_sqlite(path: Path, prepared: list[list[tuple[bytes, str, int, bytes]]]) -> int:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous=FULL")
    for batch in prepared:
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT OR REPLACE INTO raw VALUES (?, ?, ?, ?)", batch)
        database.execute("COMMIT")
    database.close()
    return len(prepared) * BATCH


async def sqlite_reads(folder: Path) -> float:
    """Rows/s read in pages of 10,000."""

    def read(_: None) -> int:
        database = sqlite3.connect(folder / "raw.db")
        after, count = b"", 0
        while page := database.execute(
            "SELECT id, fields FROM raw WHERE id > ? ORDER BY id LIMIT 10000", (after,)
        ).fetchall():
            after = page[-1][0]
            count += len(page)
        database.close()
        return count

    return await rate(lambda nothing: asyncio.to_thread(read, nothing), lambda: None)


UPSERT = """
INSERT INTO raw SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[])
ON CONFLICT (id) DO UPDATE SET version = excluded.version, fields = excluded.fields
"""


async def postgres_upserts(dsn: str, body: bytes, clients: int) -> float:
    """Rows/s by unnest upsert, BATCH a transaction, `clients` connections at once."""
    pool = await asyncpg.create_pool(dsn, min_size=clients, max_size=clients)
    await pool.execute("CREATE TABLE raw (id uuid PRIMARY KEY, type text, version bigint, fields bytea)")

    def prepare() -> list[list[Columns]]:
        return [[tuple(zip(*batch, strict=True)) for batch in rows(ROWS // clients, body)] for _ in range(clients)]

    async def one(batches: list[Columns]) -> int:
        async with pool.acquire() as connection:
            for columns in batches:
                await connection.execute(UPSERT, *columns)
        return len(batches) * BATCH

    async def all_clients(work: list[list[Columns]]) -> int:
        return sum(await asyncio.gather(*map(one, work)))

    result = await rate(all_clients, prepare)
    await pool.close()
    return result


async def postgres_reads(dsn: str, clients: int) -> float:
    """Rows/s read in pages of 10,000 by `clients` connections at once."""
    pool = await asyncpg.create_pool(dsn, min_size=clients, max_size=clients)

    async def one() -> int:
        after, count = uuid.UUID(int=0), 0
        async with pool.acquire() as connection:
            while page := await connection.fetch(
                "SELECT id, fields FROM raw WHERE id > $1 ORDER BY id LIMIT 10000", after
            ):
                after = page[-1]["id"]
                count += len(page)
        return count

    async def all_clients(_: None) -> int:
        return sum(await asyncio.gather(*(one() for _ in range(clients))))

    result = await rate(all_clients, lambda: None)
    await pool.close()
    return result
