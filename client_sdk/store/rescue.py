"""Saving unsent work and the device's identity out of a damaged store."""

import mmap
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from client_sdk.identity import Identity
from client_sdk.store.damage import UNREADABLE, set_aside_name
from client_sdk.store.frames import CHANGE, IDENTITY, scan
from client_sdk.store.media import MediaTables, MediaUse, QueuedMedia
from client_sdk.store.meta import Account, Meta
from client_sdk.store.outbox import Framed, read_framed
from field_schemas.media import digests_in

T = TypeVar("T")
_PROBES = 20_000


class RescueReport(msgspec.Struct, frozen=True):
    """What became of a damaged store.

    `damaged_file` is where it lies now. `changes` are the rescued changes, `lost_sequences` the sequence numbers of
    changes of which nothing could be read, sent or not. Without `identity_kept` the device enrols anew.
    """

    damaged_file: Path
    identity_kept: bool
    changes: tuple[uuid.UUID, ...]
    lost_sequences: tuple[int, ...]


class Salvage(msgspec.Struct):
    """What could be read: unsent changes (perhaps with some that were sent), and who the device was."""

    identity: Identity | None = None
    account: Account | None = None
    changes: dict[uuid.UUID, Framed] = {}
    known_sequences: set[int] = set()
    last_seq: int = 0
    sent: set[uuid.UUID] = set()
    media: list[tuple[QueuedMedia, list[MediaUse]]] = []

    def unsent(self) -> list[Framed]:
        """The rescued changes of the store's user, in order."""
        user = self.identity.user if self.identity else None
        waiting = [framed for key, framed in self.changes.items() if key not in self.sent]
        if user is None and waiting:
            user = max(waiting, key=lambda framed: framed.change.stamp).user
        own = (framed for framed in waiting if framed.user == user)
        return sorted(own, key=lambda framed: (framed.change.seq, framed.change.stamp))

    def lost_sequences(self) -> tuple[int, ...]:
        """The numbers that were given to changes of which nothing was read."""
        last = max(self.last_seq, *self.known_sequences, 0)
        return tuple(sorted(set(range(1, last + 1)) - self.known_sequences))


def set_aside(path: Path, kept_log: Path) -> Path:
    """Rename the damaged store, and the copy of its log with it; its new name."""
    number = 1
    while (aside := set_aside_name(path, number)).exists():
        number += 1
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    path.touch()
    path.rename(aside)
    if kept_log.exists():
        kept_log.rename(aside.with_name(aside.name + "-wal.kept"))
    return aside


def salvage(path: Path, kept_log: Path) -> Salvage:
    """Everything readable in the store at `path`; `kept_log` is a copy of its log made before SQLite touched it."""
    found = Salvage()
    # The files first: SQLite removes the log when it closes the store.
    for file in (path, path.with_name(path.name + "-wal"), kept_log):
        _read_raw(file, found)
    with suppress(*UNREADABLE), closing(sqlite3.connect(path, isolation_level=None)) as db:
        _read_tables(db, found)
    return found


def uses_in(changes: Iterable[Framed], digest: str) -> list[MediaUse]:
    """Which fields of which records the changes name a file in."""
    return [
        MediaUse(framed.change.record, field)
        for framed in changes
        for field, value in msgspec.msgpack.decode(framed.change.fields, type=dict[str, Any]).items()
        if digest in digests_in(value)
    ]


def _read_raw(path: Path, found: Salvage) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for payload in scan(data, IDENTITY):
            with suppress(msgspec.MsgspecError):
                found.identity = msgspec.msgpack.decode(payload, type=Identity)
        for payload in scan(data, CHANGE):
            with suppress(msgspec.MsgspecError):
                _keep(found, msgspec.msgpack.decode(payload, type=Framed))


def _read_tables(db: sqlite3.Connection, found: Salvage) -> None:
    meta = Meta(db)
    found.identity = _attempt(lambda: meta.identity) or found.identity
    found.account = _attempt(lambda: meta.account)
    found.last_seq = _attempt(lambda: meta.last_seq) or 0
    media = MediaTables(db)
    found.media = _attempt(lambda: [(item, media.uses_of(item.digest)) for item in media.all()]) or []
    for seq, outcome, data in _rows(db):
        framed = _attempt(lambda data=data: read_framed(data))  # type: ignore[misc]
        if outcome is not None:
            found.known_sequences.add(seq)
        if framed is not None:
            _keep(found, framed)
            if outcome is not None:
                found.sent.add(framed.change.id)


def _keep(found: Salvage, framed: Framed) -> None:
    found.changes[framed.change.id] = framed
    found.known_sequences.add(framed.change.seq)


def _rows(db: sqlite3.Connection) -> Iterator[tuple[int, str | None, bytes]]:
    """The readable outbox rows: from both ends up to the damage, then one by one between."""
    select = "SELECT seq, outcome, change FROM outbox "
    low, high = 0, 0
    for row in _until_damage(db.execute, select + "ORDER BY seq"):
        low = row[0]
        yield row
    for row in _until_damage(db.execute, select + "WHERE seq > ? ORDER BY seq DESC", (low,)):
        high = row[0]
        yield row
    top = high or low + _PROBES
    for seq in range(low + 1, min(top, low + _PROBES)):
        yield from _until_damage(db.execute, select + "WHERE seq = ?", (seq,))


def _until_damage(
    execute: Callable[..., Iterable[tuple[int, str | None, bytes]]], sql: str, parameters: tuple[int, ...] = ()
) -> Iterator[tuple[int, str | None, bytes]]:
    with suppress(*UNREADABLE):
        yield from execute(sql, parameters)


def _attempt(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except UNREADABLE:
        return None
