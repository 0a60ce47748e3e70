"""The store on PostgreSQL: many writers in many processes, and cursors that no late commit slips behind.

How feed positions stay free of gaps is told in docs/decisions/0002-gap-free-cursor.md. Statements go straight to
the driver, and a batch of any size is one round trip each: by COPY where rows are new, which takes a quarter of the
work of arrays, else by whole columns as arrays.
"""

# ruff: noqa: S608 - statements are put together from constants only; values travel as parameters
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from field_schemas.access import Grant
from server.storage import sql
from server.storage.tables import VERSION_BLOCK
from sync.ids import by_number
from sync.messages import MAX_INTEGER
from sync.storage import Collision, FeedEntry, FeedPosition, LoggedChange, Member, StoredRecord, WriteBatch

_RECORD_TYPES = "uuid[] text[] int8[] int8[] text[] text[] bytea[] bytea[] text[] bool[] int8[]"


def _unnest(types: str) -> str:
    parameters = ", ".join(f"${place}::{kind}" for place, kind in enumerate(types.split(), start=1))
    return f"unnest({parameters})"


_SERVER_SETTINGS = {
    "application_name": "gridwalk",
    # Compiling expressions never pays for queries as short as these.
    "jit": "off",
    # A process that hangs in a transaction holds back all cursors.
    "idle_in_transaction_session_timeout": "60s",
}
_HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text::int8"
# A bitmap scan would read and sort all the rest of a feed for each page of it.
_IN_ORDER = "set_config('enable_bitmapscan', 'off', true)"
_PURGED = "SELECT ROW(purged_tx, purged_version) FROM store"
_BEGIN_READ = f"SELECT 0, {_HORIZON}, ({sql.EPOCH}), ({_PURGED}), {_IN_ORDER}"
# A writer sees what others commit meanwhile.
_BEGIN_WRITE = f"SELECT pg_current_xact_id()::text::int8, {_HORIZON}, ({sql.EPOCH}), NULL, {_IN_ORDER}"
_RECORDS = f"SELECT {sql.RECORD_COLUMNS} FROM records WHERE id = ANY($1::uuid[])"
_CHANGES = f"SELECT {sql.CHANGE_COLUMNS} FROM changes WHERE id = ANY($1::uuid[])"
_LOCK_RECORDS = f"{_RECORDS} ORDER BY id FOR UPDATE"
_LOCK_DEVICES = "SELECT device, held FROM device_sequences WHERE device = ANY($1::uuid[]) ORDER BY device FOR UPDATE"
_ADD_DEVICES = "INSERT INTO device_sequences SELECT unnest($1::uuid[]), 0 ON CONFLICT DO NOTHING"
_RENEW = "UPDATE store SET epoch = $1, purged_tx = 0, purged_version = 0"
_FROM_TX_0 = ("UPDATE feed SET tx = 0", "UPDATE records SET tx = 0")
_SKIP_VERSIONS = "SELECT setval('record_versions', nextval('record_versions') + $1)"
_RESERVE = "SELECT nextval('record_versions') FROM generate_series(1, $1::int)"
_REPLACE_RECORDS = f"""
    INSERT INTO records ({sql.RECORD_COLUMNS}) SELECT * FROM {_unnest(_RECORD_TYPES)} {sql.REPLACE_RECORD}
"""
_REMOVE_FROM_FEED = f"""
    DELETE FROM feed USING {_unnest("text[] int8[] int8[]")} AS old(feed, tx, version)
    WHERE feed.feed = old.feed AND feed.tx = old.tx AND feed.version = old.version
"""
_HOLD_SEQUENCES = f"""
    INSERT INTO device_sequences (device, held) SELECT * FROM {_unnest("uuid[] int8[]")} {sql.REPLACE_SEQUENCE}
"""


_CONNECTION_LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
)


def postgres_engine(url: URL, connections: int) -> AsyncEngine:
    """An engine of at most `connections`."""
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=connections,
        max_overflow=0,
        connect_args={"server_settings": _SERVER_SETTINGS},
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def check(connection: Any, _record: object, _proxy: object) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    return engine


@asynccontextmanager
async def _transaction(
    engine: AsyncEngine, begin: str, lasting: "_Lasting", **options: Any
) -> AsyncIterator["PostgresTransaction"]:
    """A transaction whose first statement is `begin`.

    A connection that the server closed while it was idle may show it only at that statement. Nothing was done on
    it then, so another one is taken.
    """
    begun = False
    while not begun:
        try:
            async with engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    async with driver.transaction(**options):
                        tx, horizon, epoch, purged, _ = await driver.fetchrow(begin)
                        transaction = PostgresTransaction(driver, tx, horizon, epoch, purged, lasting)
                        begun = True
                        yield transaction
                finally:
                    # Cancelled again while it rolled back: nobody knows what the connection is at.
                    if driver.is_closed() or driver.is_in_transaction():
                        await connection.invalidate()
        except _CONNECTION_LOST:
            if begun:
                raise


@contextmanager
def _collisions() -> Iterator[None]:
    try:
        yield
    except (
        asyncpg.UniqueViolationError,
        asyncpg.DeadlockDetectedError,
        asyncpg.SerializationError,
    ) as error:
        raise Collision from error


class _Lasting:
    """The largest transaction id that this process knows to be on disk.

    After a crash PostgreSQL gives the ids again that only transactions without a trace had: rolled back, or idle.
    """

    tx = 0

    def note(self, tx: int) -> None:
        """Take note of a transaction that wrote something and has committed."""
        self.tx = max(self.tx, tx)


class PostgresStore:
    """See `sync.storage.Store`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._lasting = _Lasting()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["PostgresTransaction"]:
        """A snapshot, taken here."""
        begun = _transaction(self._engine, _BEGIN_READ, self._lasting, isolation="repeatable_read", readonly=True)
        async with begun as transaction:
            yield transaction

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["PostgresTransaction"]:
        """A transaction at READ COMMITTED: what it locks, it sees in the newest state."""
        begun = _transaction(self._engine, _BEGIN_WRITE, self._lasting, isolation="read_committed")
        async with begun as transaction:
            yield transaction
        if transaction.touched:
            self._lasting.note(transaction.tx)


class PostgresTransaction:
    """See `sync.storage.WriteTransaction`. No transaction below `horizon` was still open when this one began."""

    def __init__(
        self,
        driver: Any,
        tx: int,
        horizon: int,
        epoch: uuid.UUID | None,
        purged: tuple[int, int] | None,
        lasting: _Lasting,
    ) -> None:
        self.tx = tx
        self.touched: set[str] = set()
        self._driver = driver
        self._horizon = horizon
        self._epoch = epoch
        self._purged = purged
        self._lasting = lasting
        self._existing: set[uuid.UUID] = set()

    async def epoch(self) -> uuid.UUID:
        if self._epoch is None:
            raise sql.StoreEmpty
        return self._epoch

    async def records(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        wanted = list(ids)
        return _records(await self._driver.fetch(_RECORDS, wanted)) if wanted else {}

    async def changes(self, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, LoggedChange]:
        wanted = list(ids)
        rows = await self._driver.fetch(_CHANGES, wanted) if wanted else []
        return {row[0]: _change_of(row) for row in rows}

    async def history(self, record: uuid.UUID) -> list[LoggedChange]:
        return [_change_of(row) for row in await self._driver.fetch(sql.HISTORY, record)]

    async def grants_of(self, user: str) -> tuple[Grant, ...]:
        return sql.grants_of(await self._driver.fetch(sql.GRANTS, _text(user)))

    async def feeds_within(self, scope: str) -> list[str]:
        return [key for (key,) in await self._driver.fetch(sql.FEEDS_WITHIN, *sql.prefix_range(_text(scope)))]

    async def feed(self, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        rows = await self._driver.fetch(sql.FEED, _text(key), *after, self._horizon, limit)
        entries = sql.feed_entries(rows, (row[2] for row in rows))
        if entries:
            # What others have committed is on disk when it is seen.
            self._lasting.note(entries[-1].tx)
        return entries

    async def feed_holds(self, key: str, after: FeedPosition, count: int) -> bool:
        return bool(await self._driver.fetch(sql.FEED_HOLDS, _text(key), *after, self._horizon, count - 1))

    async def feed_newest(self, key: str) -> FeedPosition:
        newest = await self._driver.fetchrow(sql.FEED_NEWEST, _text(key))
        return FeedPosition(*newest) if newest else FeedPosition()

    async def horizon(self) -> FeedPosition:
        return FeedPosition(self._horizon - 1, MAX_INTEGER)

    async def lasting(self) -> FeedPosition:
        return FeedPosition(min(self._horizon - 1, self._lasting.tx), MAX_INTEGER)

    async def purged(self) -> FeedPosition:
        return FeedPosition(*(self._purged or await self._driver.fetchval(_PURGED)))

    async def members(self, key: str, page: int = 10_000) -> AsyncIterator[list[Member]]:
        after = FeedPosition()
        while rows := await self._driver.fetch(sql.MEMBERS, _text(key), *after, self._horizon, page):
            yield [sql.member_of(row[0], row) for row in rows]
            after = FeedPosition(rows[-1][4], rows[-1][1])

    async def scan(self, record_type: str, page: int = 1_000) -> AsyncIterator[list[StoredRecord]]:
        rows = await self._driver.fetch(sql.SCAN_FIRST, record_type, page)
        while rows:
            yield [sql.record_of(row[0], row) for row in rows]
            full = len(rows) == page
            rows = await self._driver.fetch(sql.SCAN_NEXT, record_type, page, rows[-1][0]) if full else []

    async def lock_devices(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        wanted = sorted(set(ids), key=by_number)
        if not wanted:
            return {}
        with _collisions():
            rows = await self._driver.fetch(_LOCK_DEVICES, wanted)
            if len(rows) < len(wanted):
                await self._driver.execute(_ADD_DEVICES, wanted)
                rows = await self._driver.fetch(_LOCK_DEVICES, wanted)
        return dict(rows)

    async def lock_records(self, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, StoredRecord]:
        wanted = sorted(set(ids), key=by_number)
        if not wanted:
            return {}
        with _collisions():
            found = _records(await self._driver.fetch(_LOCK_RECORDS, wanted))
        self._existing.update(found)
        return found

    async def reserve_versions(self, count: int) -> int:
        blocks = -(-count // VERSION_BLOCK)
        while True:
            steps = [step for (step,) in await self._driver.fetch(_RESERVE, blocks)]
            # Others may have taken a step in between; the versions skipped then stay unused.
            if steps[-1] - steps[0] == (blocks - 1) * VERSION_BLOCK:
                return int(steps[0])

    async def write(self, batch: WriteBatch) -> None:
        new, old = sql.record_rows(batch.records, self._existing)
        with _collisions():
            await self._copy("records", sql.RECORD_FIELDS, new)
            await self._copy("changes", sql.CHANGE_FIELDS, [_change_values(change) for change in batch.changes])
            await self._many(_REPLACE_RECORDS, old)
            await self._many(
                _REMOVE_FROM_FEED, [(_text(row.feed), row.tx, row.version) for row in batch.feed_removed]
            )
            added = [(_text(row.feed), row.tx, row.version, row.record, row.gone) for row in batch.feed_added]
            await self._copy("feed", sql.FEED_FIELDS, added)
            await self._many(_HOLD_SEQUENCES, list(batch.sequences.items()))
        self._existing.update(record.id for record in batch.records)
        self.touched.update(row.feed for row in batch.feed_added)

    async def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            await self._driver.copy_records_to_table(table, columns=columns, records=rows)

    async def renew(self, epoch: uuid.UUID, skip_versions: int) -> None:
        for statement in _FROM_TX_0:
            await self._driver.execute(statement)
        await self._driver.execute(_RENEW, epoch)
        await self._driver.fetch(_SKIP_VERSIONS, skip_versions)
        self._epoch = epoch

    async def purge(self, until: FeedPosition) -> int:
        done = await self._driver.execute(sql.PURGE_FEED, *until)
        await self._driver.execute(sql.PURGE_RECORDS, *until, sql.NO_FIELDS)
        await self._driver.execute(sql.PURGE_NOTED, *until)
        return int(done.rpartition(" ")[2])

    async def _many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            await self._driver.execute(statement, *zip(*rows, strict=True))


def _text(value: str) -> str:
    # PostgreSQL's text holds every character but this one, and devices may send it in any.
    return value.replace("\x00", "\ufffd") if "\x00" in value else value


def _change_values(change: LoggedChange) -> tuple[Any, ...]:
    # Only what was refused, which has a detail, can bring a text of its own: names of no known type.
    if change.detail is not None:
        change = msgspec.structs.replace(change, type=_text(change.type), detail=_text(change.detail))
    return sql.change_row(change)


def _records(rows: Iterable[Any]) -> dict[uuid.UUID, StoredRecord]:
    return {(key := row[0]): sql.record_of(key, row) for row in rows}


def _change_of(row: Any) -> LoggedChange:
    return sql.change_of(row, row[0], row[1], row[5], row[13])
