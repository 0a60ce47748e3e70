"""`python -m tests.bench.bare DATABASE_URL PORT`: a Litestar endpoint that stores and reads batches, and no more.

No accounts, no rules, no log, no feeds, no scopes: what HTTP, decoding and the bare rows cost on the same server.
"""

import asyncio
import sqlite3
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import asyncpg
import msgspec
import uvicorn
from litestar import Litestar, Request, Response, post
from sqlalchemy.engine import make_url

from sync.messages import Change, PushRequest
from tests.bench.raw import CREATE_RECORDS, INSERT_SQLITE, UPSERT_POSTGRES

CONNECTIONS = 8
_decode = msgspec.msgpack.Decoder(PushRequest).decode
_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Page(msgspec.Struct):
    """Ask for records after an id."""

    after: uuid.UUID
    limit: int


_decode_page = msgspec.msgpack.Decoder(Page).decode


class Rows(Protocol):
    """Where the rows are."""

    async def open(self) -> None:
        """Make the table."""

    async def insert(self, changes: list[Change]) -> None:
        """One durable transaction."""

    async def page(self, page: Page) -> list[tuple[Any, msgspec.Raw]]:
        """Id and fields of records."""


class PostgresRows:
    """One upsert of whole columns a batch."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(self._dsn, min_size=CONNECTIONS, max_size=CONNECTIONS)
        await self._pool.execute(CREATE_RECORDS.format(table="bare", id="uuid", bytes="bytea"))

    async def insert(self, changes: list[Change]) -> None:
        columns = zip(*((one.record, one.type, one.seq, bytes(one.fields)) for one in changes), strict=True)
        await self._pool.execute(UPSERT_POSTGRES.format(table="bare"), *columns)

    async def page(self, page: Page) -> list[tuple[Any, msgspec.Raw]]:
        statement = "SELECT id, fields FROM bare WHERE id > $1 ORDER BY id LIMIT $2"
        return [(row[0], msgspec.Raw(row[1])) for row in await self._pool.fetch(statement, page.after, page.limit)]


class SqliteRows:
    """One transaction a batch, one after the other; reads beside them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writing = ThreadPoolExecutor(1)
        self._reading = ThreadPoolExecutor(1)

    async def open(self) -> None:
        await self._in(self._writing, self._connect_writer)
        await self._in(self._reading, self._connect_reader)

    async def insert(self, changes: list[Change]) -> None:
        rows = [(one.record.bytes, one.type, one.seq, bytes(one.fields)) for one in changes]
        await self._in(self._writing, self._insert, rows)

    async def page(self, page: Page) -> list[tuple[Any, msgspec.Raw]]:
        rows: list[tuple[Any, msgspec.Raw]] = await self._in(self._reading, self._page, page)
        return rows

    async def _in(self, pool: ThreadPoolExecutor, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    def _connect_writer(self) -> None:
        self._writer = sqlite3.connect(self._path, isolation_level=None)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("PRAGMA synchronous=FULL")
        self._writer.execute(CREATE_RECORDS.format(table="bare", id="BLOB", bytes="BLOB"))

    def _connect_reader(self) -> None:
        self._reader = sqlite3.connect(self._path)

    def _insert(self, rows: list[tuple[bytes, str, int, bytes]]) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.executemany(INSERT_SQLITE.format(table="bare"), rows)
        self._writer.execute("COMMIT")

    def _page(self, page: Page) -> list[tuple[Any, msgspec.Raw]]:
        statement = "SELECT id, fields FROM bare WHERE id > ? ORDER BY id LIMIT ?"
        rows = self._reader.execute(statement, (page.after.bytes, page.limit)).fetchall()
        return [(row[0], msgspec.Raw(row[1])) for row in rows]


def bare_app(rows: Rows) -> Litestar:
    """POST /push stores the records of a PushRequest; POST /pull answers a page."""

    # Typed body parameters cost half of the throughput (docs/performance.md).
    @post("/push", status_code=200)
    async def push(request: Request[Any, Any, Any]) -> Response[bytes]:
        changes = _decode(await request.body()).changes
        await rows.insert(changes)
        return Response(_encode(len(changes)), media_type="application/msgpack")

    @post("/pull", status_code=200)
    async def pull(request: Request[Any, Any, Any]) -> Response[bytes]:
        page = await rows.page(_decode_page(await request.body()))
        return Response(_encode(page), media_type="application/msgpack")

    return Litestar([push, pull], on_startup=[rows.open], openapi_config=None)


def rows_at(url: str) -> Rows:
    """The rows in the database at `url`."""
    parsed = make_url(url)
    return SqliteRows(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else PostgresRows(url)


if __name__ == "__main__":
    uvicorn.run(
        bare_app(rows_at(sys.argv[1])),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )
