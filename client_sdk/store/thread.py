"""The one thread that touches the store's file."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from client_sdk.errors import StoreDamaged
from client_sdk.store.damage import met_damage, set_aside_files, suspect_mark
from client_sdk.store.media import MediaTables
from client_sdk.store.media_files import drop_unfinished, folder_of, sweep
from client_sdk.store.meta import Meta
from client_sdk.store.outbox import Outbox
from client_sdk.store.records import Records
from client_sdk.store.unusable import machine_errors
from field_schemas.registry import Registry

P = ParamSpec("P")
T = TypeVar("T")


class Tables:
    """Everything an operation may work on; only within the store's thread, within its transaction."""

    def __init__(self, db: sqlite3.Connection, registry: Registry) -> None:
        self.db = db
        self.registry = registry
        self.meta = Meta(db)
        self.records = Records(db, registry)
        self.outbox = Outbox(db)
        self.media = MediaTables(db)
        self.to_scrub = False
        self.to_sweep = False

    def drop_records(self, ids: Collection[bytes]) -> int:
        """Remove records, and the photos of them that were fetched; how many records there were."""
        self.to_sweep |= self.media.forget(ids)
        return self.records.drop(ids)

    def wipe(self) -> None:
        """Empty everything so that the file holds no trace of it once the transaction is on disk."""
        self.db.execute("PRAGMA secure_delete = ON")
        types = self.meta.types
        self.meta.receipt = None
        for table in ("meta", "records", "outbox", "search", "media", "media_uses", "media_copies"):
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608 constants above
        self.meta.types = types
        self.to_sweep = self.to_scrub = True


class StoreThread:
    """Runs operations one after the other: each is one function and one transaction.

    A caller that is cancelled either prevented its operation or finds it carried out, never half of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gridwalk-store")
        self._tables: Tables | None = None

    async def open(self, opening: Callable[[], Tables]) -> None:
        """Let `opening` make the tables, in the thread that will use them. Raises StoreUnusable."""

        def begin() -> None:
            with machine_errors(self._path):
                self._tables = opening()

        await asyncio.get_running_loop().run_in_executor(self._pool, begin)

    async def run(self, operation: Callable[Concatenate[Tables, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out `operation` in a transaction that is on disk when this returns.

        Raises StoreDamaged, StorageFull, StoreUnusable.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, self._transaction, lambda tables: operation(tables, *args, **kwargs)
        )

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._finish))

    def _finish(self) -> None:
        self._pool.submit(self._close).result()
        self._pool.shutdown()

    def _close(self) -> None:
        if self._tables is not None:
            self._tables.db.close()
            self._tables = None

    def _sweep(self, tables: Tables) -> None:
        """Remove the files of media that are not needed here any more."""
        if tables.to_sweep:
            sweep(folder_of(self._path), tables.media.wanted_files())
            tables.to_sweep = False

    def _scrub(self, tables: Tables) -> None:
        """Overwrite what a wipe deleted, in the file and its log, and remove damaged stores that were set aside and
        photos that were being fetched."""
        if not tables.to_scrub:
            return
        for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            tables.db.execute(statement).fetchall()
        for file in set_aside_files(self._path):
            file.unlink()
        drop_unfinished(folder_of(self._path))
        tables.to_scrub = False

    def _transaction(self, operation: Callable[[Tables], T]) -> T:
        if self._tables is None:
            raise RuntimeError("the store is closed")
        try:
            with machine_errors(self._path):
                return self._committed(self._tables, operation)
        except Exception as error:
            if met_damage(error):
                suspect_mark(self._path).touch()
                raise StoreDamaged(f"{self._path}: {error}; open it again to rescue it") from error
            raise

    def _committed(self, tables: Tables, operation: Callable[[Tables], T]) -> T:
        tables.db.execute("BEGIN IMMEDIATE")
        try:
            result = operation(tables)
            tables.db.execute("COMMIT")
            self._sweep(tables)
            self._scrub(tables)
        except BaseException:
            if tables.db.in_transaction:
                tables.db.execute("ROLLBACK")
            tables.to_sweep = False
            raise
        return result
