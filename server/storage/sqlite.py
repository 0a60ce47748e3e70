"""The store on SQLite: one file, one writer at a time, readers on snapshots beside it.

The write transaction holds the database's write lock from its first statement, so the order of versions is the
order of commits and feed positions need no transaction number: `tx` is always 0.
"""

# ruff: noqa: S608 - statements are put together from constants only; values travel as parameters
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any, NamedTuple, cast

import aiosqlite
import msgspec
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from field_schemas.access import Grant
from server.storage import sql
from sync.storage import Collision, FeedEntry, FeedPosition, FeedRow, LoggedChange, Member, StoredRecord, WriteBatch

_BUSY_SECONDS = 10
_PRAGMAS = (
    f"busy_timeout = {_BUSY_SECONDS * 1000}",
    "synchronous = FULL",
    "foreign_keys = ON",
)
_DUPLICATE = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")
_ALL_TX = 1
"""A bound on `tx` that every entry lies below."""


def _numbered(statement: str) -> str:
    return statement.replace("$", "?")


def _insert(table: str, columns: str, suffix: str = "") -> str:
    places = ", ".join(repeat("?", columns.count(",") + 1))
    return f"INSERT INTO {table} ({columns}) VALUES ({places}) {suffix}"


# A list of ids travels as one blob cut into pieces of 16 bytes: one statement for any number of them.
_IDS = """
    WITH RECURSIVE ids(id, rest) AS (
        SELECT substr(?1, 1, 16), 17
        UNION ALL SELECT substr(?1, rest, 16), rest + 16 FROM ids WHERE rest <= length(?1)
    )
"""
_RECORDS = f"{_IDS} SELECT {sql.RECORD_COLUMNS} FROM ids CROSS JOIN records USING (id)"
_CHANGES = f"{_IDS} SELECT {sql.CHANGE_COLUMNS} FROM ids CROSS JOIN changes USING (id)"
_DEVICES = f"{_IDS} SELECT device, held FROM ids CROSS JOIN device_sequences ON device = id"
_FEED = _numbered(sql.FEED)
_FEED_HOLDS = _numbered(sql.FEED_HOLDS)
_FEED_NEWEST = _numbered(sql.FEED_NEWEST)
_FEEDS_WITHIN = _numbered(sql.FEEDS_WITHIN)
_HISTORY = _numbered(sql.HISTORY)
_SCAN_FIRST = _numbered(sql.SCAN_FIRST)
_SCAN_NEXT = _numbered(sql.SCAN_NEXT)
_MEMBERS = _numbered(sql.MEMBERS)
_GRANTS = _numbered(sql.GRANTS)
_STANDING = "SELECT epoch, last_version, purged_tx, purged_version FROM store"
_RENEW = "UPDATE store SET epoch = ?1, last_version = last_version + ?2, purged_tx = 0, purged_version = 0"
_PURGE_FEED = _numbered(sql.PURGE_FEED)
_PURGE_RECORDS = _numbered(sql.PURGE_RECORDS)
_PURGE_NOTED = _numbered(sql.PURGE_NOTED)
_RESERVE = "UPDATE store SET last_version = last_version + ?1 RETURNING last_version - ?1 + 1"
_CREATE_RECORD = _insert("records", sql.RECORD_COLUMNS)
_REPLACE_RECORD = _insert("records", sql.RECORD_COLUMNS, sql.REPLACE_RECORD)
_LOG_CHANGE = _insert("changes", sql.CHANGE_COLUMNS)
_ADD_TO_FEED = _insert("feed", ", ".join(sql.FEED_FIELDS))
_REMOVE_FROM_FEED = "DELETE FROM feed WHERE feed = ? AND tx = ? AND version = ?"
_HOLD_SEQUENCE = _insert("device_sequences", "device, held", sql.REPLACE_SEQUENCE)


def sqlite_engine(url: URL, connections: int, begin: str) -> AsyncEngine:
    """An engine of at most `connections`, whose transactions start with the statement `begin`."""
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"), poolclass=AsyncAdaptedQueuePool, pool_size=connections, max_overflow=0
    )
    event.listen(engine.sync_engine, "connect", _configure)

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _configure(connection: Any, _record: object) -> None:
    # The driver is not to begin transactions by itself: it does so late, and only before writes.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    # Processes that switch a new file at the same moment are turned away, not made to wait.
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        else:
            return


async def _driver(connection: AsyncConnection) -> aiosqlite.Connection:
    return cast("aiosqlite.Connection", (await connection.get_raw_connection()).driver_connection)


class SqliteStore:
    """See `sync.storage.Store`. `writer` has one connection, for which this process' writers queue."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine) -> None:
        self._reader = reader
        self._writer = writer

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["SqliteTransaction"]:
        """A snapshot, taken here."""
        async with self._reader.connect() as connection:
            driver = await _driver(connection)
            # Each call of the driver is a word with another thread. SQLAlchemy would need three to begin, and end it
            # twice: what only reads ends well with the ROLLBACK by which the pool takes the connection back.
            await driver.execute_fetchall("BEGIN")
            transaction = SqliteTransaction(driver)
            await transaction.pin()
            yield transaction

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["SqliteTransaction"]:
        """A transaction that holds the write lock."""
        async with self._writer.begin() as connection:
            yield SqliteTransaction(await _driver(connection))


class _Standing(NamedTuple):
    """What the row of `store` says."""

    epoch: uuid.UUID
    last_version: int
    purged: FeedPosition


class SqliteTransaction:
    """See `sync.storage.WriteTransaction`."""

    tx = 0

    def __init__(self, driver: aiosqlite.Connection) -> None:
        self._driver = driver
        self.touched: set[str] = set()
        self._standing: _Standing | None = None
        self._existing: set[uuid.UUID] = set()

    async def _rows(self, statement: str, *parameters: Any) -> list[Any]:
        return list(await self._driver.execute_fetchall(statement, parameters))

    async def _many(self, statement: str, rows: list[Any]) -> None:
        if rows:
            await self._driver.executemany(statement, rows)

    async def pin(self) -> None:
        """Read how the store stands, by which a snapshot is taken."""
        for epoch, last_version, *purged in await self._rows(_STANDING):
            self._standing = _Standing(uuid.UUID(bytes=epoch), last_version, FeedPosition(*purged))

    async def _stands(self) -> "_Standing":
        # Others change nothing meanwhile: a reader has its snapshot, a writer the write lock.
        if self._standing is None:
            await self.pin()
        if self._standing is None:
            raise sql.StoreEmpty
        return self._standing

    async def epoch(self) -> uuid.UUID:
        return (await self._stands()).epoch

    async def records(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        wanted = b"".join([record_id.bytes for record_id in dict.fromkeys(ids)])
        rows = await self._rows(_RECORDS, wanted) if wanted else []
        keys = _uuids([row[0] for row in rows])
        return {key: sql.record_of(key, row) for key, row in zip(keys, rows, strict=True)}

    async def changes(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, LoggedChange]:
        wanted = b"".join({change_id.bytes for change_id in ids})
        rows = await self._rows(_CHANGES, wanted) if wanted else []
        return {change.id: change for change in map(_change_of, rows)}

    async def history(self, record: uuid.UUID) -> list[LoggedChange]:
        return [_change_of(row) for row in await self._rows(_HISTORY, record.bytes)]

    async def grants_of(self, user: str) -> tuple[Grant, ...]:
        return sql.grants_of(await self._rows(_GRANTS, user))

    async def feeds_within(self, scope: str) -> list[str]:
        return [key for (key,) in await self._rows(_FEEDS_WITHIN, *sql.prefix_range(scope))]

    async def feed(self, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        rows = await self._rows(_FEED, key, *after, _ALL_TX, limit)
        return sql.feed_entries(rows, _uuids(row[2] for row in rows))

    async def feed_holds(self, key: str, after: FeedPosition, count: int) -> bool:
        return bool(await self._rows(_FEED_HOLDS, key, *after, _ALL_TX, count - 1))

    async def feed_newest(self, key: str) -> FeedPosition:
        return max([FeedPosition(*row) for row in await self._rows(_FEED_NEWEST, key)], default=FeedPosition())

    async def horizon(self) -> FeedPosition:
        return FeedPosition(0, (await self._stands()).last_version)

    async def lasting(self) -> FeedPosition:
        return await self.horizon()

    async def purged(self) -> FeedPosition:
        return (await self._stands()).purged

    async def members(self, key: str, page: int = 10_000) -> AsyncIterator[list[Member]]:
        after = FeedPosition()
        while rows := await self._rows(_MEMBERS, key, *after, _ALL_TX, page):
            yield [
                sql.member_of(record, row) for record, row in zip(_uuids(row[0] for row in rows), rows, strict=True)
            ]
            after = FeedPosition(rows[-1][4], rows[-1][1])

    async def scan(self, record_type: str, page: int = 1_000) -> AsyncIterator[list[StoredRecord]]:
        rows = await self._rows(_SCAN_FIRST, record_type, page)
        while rows:
            yield [sql.record_of(key, row) for key, row in zip(_uuids(row[0] for row in rows), rows, strict=True)]
            rows = await self._rows(_SCAN_NEXT, record_type, page, rows[-1][0]) if len(rows) == page else []

    async def lock_devices(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        rows = await self._rows(_DEVICES, b"".join(device.bytes for device in ids)) if ids else []
        return dict.fromkeys(ids, 0) | {uuid.UUID(bytes=device): held for device, held in rows}

    async def lock_records(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        found = await self.records(ids)
        self._existing.update(found)
        return found

    async def reserve_versions(self, count: int) -> int:
        self._standing = None
        for (first,) in await self._rows(_RESERVE, count):
            return int(first)
        raise sql.StoreEmpty

    async def write(self, batch: WriteBatch) -> None:
        new, old = sql.record_rows(batch.records, self._existing)
        try:
            await self._many(_CREATE_RECORD, _with_bytes(new))
            await self._many(_LOG_CHANGE, [_change_values(change) for change in batch.changes])
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname in _DUPLICATE:
                raise Collision from error
            raise
        await self._many(_REPLACE_RECORD, _with_bytes(old))
        await self._many(_REMOVE_FROM_FEED, [(row.feed, row.tx, row.version) for row in batch.feed_removed])
        await self._many(_ADD_TO_FEED, [_feed_values(row) for row in batch.feed_added])
        await self._many(_HOLD_SEQUENCE, [(device.bytes, held) for device, held in batch.sequences.items()])
        self._existing.update(record.id for record in batch.records)
        self.touched.update(row.feed for row in batch.feed_added)

    async def renew(self, epoch: uuid.UUID, skip_versions: int) -> None:
        await self._rows(_RENEW, epoch.bytes, skip_versions)
        self._standing = None

    async def purge(self, until: FeedPosition) -> int:
        async with self._driver.execute(_PURGE_FEED, until) as cursor:
            purged = cursor.rowcount
        await self._rows(_PURGE_RECORDS, *until, sql.NO_FIELDS)
        await self._rows(_PURGE_NOTED, *until)
        self._standing = None
        return purged


def _uuids(values: Iterable[bytes]) -> list[uuid.UUID]:
    # Ten times as fast as uuid.UUID, which counts on a page of 10,000.
    return msgspec.convert(list(values), list[uuid.UUID])


def _change_of(row: Sequence[Any]) -> LoggedChange:
    change, device, record = _uuids((row[0], row[1], row[5]))
    return sql.change_of(row, change, device, record, uuid.UUID(bytes=row[13]) if row[13] else None)


def _with_bytes(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(row[0].bytes, *row[1:]) for row in rows]


def _change_values(change: LoggedChange) -> list[Any]:
    values = list(sql.change_row(change))
    for column in (0, 1, 5):
        values[column] = values[column].bytes
    values[13] = change.attention.bytes if change.attention else None
    return values


def _feed_values(row: FeedRow) -> tuple[str, int, int, bytes, bool]:
    return row.feed, row.tx, row.version, row.record.bytes, row.gone
