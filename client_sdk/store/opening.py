"""Opening a store: new, sound, or damaged."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from client_sdk.errors import StoreDamaged
from client_sdk.identity import new_identity
from client_sdk.store.damage import UNREADABLE, speaks_of_damage, suspect_mark
from client_sdk.store.media_files import folder_of, found_in
from client_sdk.store.outbox import pending_payloads, read_framed
from client_sdk.store.refreshing import refresh
from client_sdk.store.rescue import RescueReport, Salvage, salvage, set_aside, uses_in
from client_sdk.store.schema import connect
from client_sdk.store.thread import Tables
from client_sdk.store.wal import last_commit
from field_schemas.registry import Registry
from sync.ids import RandomBytes

_SMALL_BYTES = 16 * 2**20


def open_store(
    path: Path, registry: Registry, now_ms: int, random_bytes: RandomBytes
) -> tuple[Tables, RescueReport | None]:
    """The tables of the store at `path`, with an identity; a report when a damaged file had to be replaced.

    Raises StoreInUse, and what SQLite raises where the file cannot be opened or written at all.
    """
    _finish_replacing(path)
    kept_log = _keep_log(path)
    report = None
    try:
        tables = _sound(path, kept_log, registry)
    except StoreDamaged:
        report = _replace(path, kept_log, registry, now_ms, random_bytes)
        tables = Tables(connect(path), registry)
    except BaseException:
        # The log is in use, or still to be read: the copy may be of half a write.
        kept_log.unlink(missing_ok=True)
        raise
    kept_log.unlink(missing_ok=True)
    suspect_mark(path).unlink(missing_ok=True)
    if tables.meta.identity is None:
        tables.meta.identity = new_identity(now_ms, random_bytes)
    return tables, report


def _keep_log(path: Path) -> Path:
    """A copy of the write-ahead log as it was found; SQLite deletes a log that it cannot use."""
    kept = path.with_name(path.name + "-wal.kept")
    log = path.with_name(path.name + "-wal")
    if log.exists():
        shutil.copyfile(log, kept)
    return kept


def _sound(path: Path, kept_log: Path, registry: Registry) -> Tables:
    """The tables of an undamaged or new store. Raises StoreDamaged."""
    size = path.stat().st_size if path.exists() else 0
    try:
        # First of all: what is open elsewhere is not damaged, only busy.
        db = connect(path)
    except UNREADABLE as error:
        raise _judged(error) from error
    try:
        if suspect_mark(path).exists():
            raise StoreDamaged("an operation met damage")
        _check(db, last_commit(kept_log), thorough=size < _SMALL_BYTES)
        tables = Tables(db, registry)
        meta = tables.meta
        _ = meta.identity, meta.account, meta.progressed, meta.anchor, meta.stamp, meta.receipt, meta.verified_ms
        _ = meta.unindexed
        for data in pending_payloads(db):
            read_framed(data)
    except UNREADABLE as error:
        db.close()
        raise _judged(error) from error
    except BaseException:
        db.close()
        raise
    return tables


def _check(db: sqlite3.Connection, committed: int, *, thorough: bool) -> None:
    _, accepted, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if committed < 0 or accepted < committed:
        raise StoreDamaged(f"the log holds {committed} frames, {accepted} are readable")
    if thorough:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreDamaged(verdict)


def _judged(error: Exception) -> Exception:
    return StoreDamaged(str(error)) if speaks_of_damage(error) else error


def _replace(path: Path, kept_log: Path, registry: Registry, now_ms: int, random_bytes: RandomBytes) -> RescueReport:
    """Put a new store with what can be rescued in the place of the damaged one.

    The new one is complete before the old one moves, so that being killed at any point costs nothing.
    """
    found = salvage(path, kept_log)
    fresh = _fresh(path)
    for suffix in ("", "-wal"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    with closing(connect(fresh)) as db:
        db.execute("BEGIN IMMEDIATE")
        tables = Tables(db, registry)
        _take_over(tables, found, now_ms, random_bytes)
        _adopt_media(tables, found, folder_of(path))
        db.execute("COMMIT")
    aside = set_aside(path, kept_log)
    fresh.rename(path)
    return RescueReport(
        aside,
        found.identity is not None,
        tuple(framed.change.id for framed in found.unsent()),
        found.lost_sequences(),
    )


def _finish_replacing(path: Path) -> None:
    """Carry on where a rescue was killed between its two renames."""
    if not path.exists() and _fresh(path).exists():
        _fresh(path).rename(path)


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".rescued")


def _take_over(tables: Tables, found: Salvage, now_ms: int, random_bytes: RandomBytes) -> None:
    """Give the new store what was rescued; the server knows changes by their ids, so new numbers do no harm."""
    changes = found.unsent()
    identity = found.identity
    if identity is None:
        user = changes[0].user if changes else None
        identity = msgspec.structs.replace(new_identity(now_ms, random_bytes), user=user)
    tables.meta.identity = identity
    if found.account is not None and found.account.user == identity.user:
        tables.meta.account = found.account
    first = changes[0].change.seq if changes and found.identity else 1
    for seq, framed in enumerate(changes, first):
        tables.outbox.add(msgspec.structs.replace(framed, change=msgspec.structs.replace(framed.change, seq=seq)))
    if changes:
        tables.meta.stamp = max(framed.change.stamp for framed in changes)
    for record in tables.outbox.live_records():
        refresh(tables, record)


def _adopt_media(tables: Tables, found: Salvage, folder: Path) -> None:
    """Send what the damaged store could not be asked about: whole files say by themselves what they are."""
    for item, uses in found.media:
        tables.media.add(item, uses)
        tables.media.note(item)
    for item in found_in(folder, tables.media.wanted_files()):
        tables.media.add(item, uses_in(found.unsent(), item.digest))
