"""The queue of photos and videos, and fetched copies of others': rows here, bytes in a folder beside the store."""

import enum
import sqlite3
import uuid
from collections.abc import Collection, Iterable, Iterator

import msgspec

from field_schemas.media import MediaType

_COLUMNS = "digest, media_type, size, name, urgency, state, url, sent, code, detail, failures, asked_ms, wait_ms"


class Urgency(enum.IntEnum):
    """What is sent first: the smaller number."""

    EVIDENCE = 0
    PHOTO = 1
    VIDEO = 2


class Delivery(enum.StrEnum):
    """Where a file stands. Its bytes stay on the device until it is `held`."""

    WAITING = "waiting"
    HELD = "held"
    """The server has said that it holds the whole file under its digest."""
    REFUSED = "refused"
    """The server will not take it as it is."""


class MediaRules(msgspec.Struct, frozen=True):
    """What the user wants: nothing sent for now, and what goes over Wi-Fi alone."""

    paused: bool = False
    wifi_only: tuple[Urgency, ...] = ()


class QueuedMedia(msgspec.Struct, frozen=True):
    """One file of the queue. `sent` of `size` bytes are known to be held by the server, in the upload at `url`.

    `code` and `detail` say what the server answered last, where that was a problem. After `failures` in a row the
    file is left alone for `wait_ms` from `asked_ms` (UTC) on.
    """

    digest: str
    media_type: MediaType
    size: int
    name: str
    urgency: Urgency
    state: Delivery = Delivery.WAITING
    url: str | None = None
    sent: int = 0
    code: str | None = None
    detail: str | None = None
    failures: int = 0
    asked_ms: int = 0
    wait_ms: int = 0


class MediaUse(msgspec.Struct, frozen=True):
    """A field of a record that names a file."""

    record: uuid.UUID
    field: str


class MediaTables:
    """Reads and writes the tables of media inside a transaction of the caller."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, item: QueuedMedia, uses: Iterable[MediaUse]) -> None:
        """Let a file that `uses` name wait to be sent; one that is here already again, with what its upload is at."""
        self._db.execute(
            "INSERT INTO media (digest, media_type, size, name, urgency) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (digest) DO UPDATE SET state = 'waiting', urgency = min(urgency, excluded.urgency),"
            " code = NULL, detail = NULL",
            (item.digest, item.media_type, item.size, item.name, int(item.urgency)),
        )
        rows = [(item.digest, use.record.bytes, use.field) for use in uses]
        self._db.executemany("INSERT OR IGNORE INTO media_uses VALUES (?, ?, ?)", rows)

    def note_use(self, digest: str, use: MediaUse) -> None:
        """Note that a field names a file, if it is one that was attached here."""
        insert = "INSERT OR IGNORE INTO media_uses SELECT digest, ?, ? FROM media WHERE digest = ?"
        self._db.execute(insert, (use.record.bytes, use.field, digest))

    def find(self, digest: str) -> QueuedMedia | None:
        """The file with this digest."""
        return next(self._rows("digest = ?", (digest,)), None)

    def all(self) -> list[QueuedMedia]:
        """All files that were attached here, in that order."""
        return list(self._rows("true ORDER BY id", ()))

    def next_due(self, now_ms: int, barred: Collection[Urgency] = ()) -> QueuedMedia | None:
        """The most urgent file that is to be sent now, without what is `barred`.

        A clock that was set back since a file was left alone cannot tell for how long, so that file is due.
        """
        allowed = ",".join(str(int(one)) for one in Urgency if one not in barred) or "NULL"
        due = f"state = 'waiting' AND urgency IN ({allowed}) AND NOT ? BETWEEN asked_ms AND asked_ms + wait_ms - 1"
        return next(self._rows(f"{due} ORDER BY urgency, id LIMIT 1", (now_ms,)), None)

    def next_due_ms(self, now_ms: int) -> int | None:
        """When the first of the files is due that are left alone now."""
        row = self._db.execute(
            "SELECT min(asked_ms + wait_ms) FROM media WHERE state = 'waiting' AND asked_ms <= ?"
            " AND asked_ms + wait_ms > ?",
            (now_ms, now_ms),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def waiting_count(self) -> int:
        """How many files the server does not hold yet, but for those it refused."""
        return int(self._db.execute("SELECT count(*) FROM media WHERE state = 'waiting'").fetchone()[0])

    def only_here_count(self) -> int:
        """How many files may be on this device alone: the server refused them, or does not hold them yet."""
        only_here = "state = 'waiting' OR state = 'refused' AND code IS NOT 'media_lost'"
        return int(self._db.execute(f"SELECT count(*) FROM media WHERE {only_here}").fetchone()[0])  # noqa: S608

    def note(self, item: QueuedMedia) -> None:
        """Write down where a file stands now."""
        self._db.execute(
            "UPDATE media SET (state, url, sent, code, detail) = (?, ?, ?, ?, ?),"
            " (failures, asked_ms, wait_ms) = (?, ?, ?) WHERE digest = ?",
            (
                *(str(item.state), item.url, item.sent, item.code, item.detail),
                *(item.failures, item.asked_ms, item.wait_ms, item.digest),
            ),
        )

    def try_now(self) -> None:
        """Let nothing be left alone any more, and let what the server refused wait again.

        What the server has lost stays marked as sent: the copy here was freed, so it is only asked for.
        """
        self._db.execute(
            "UPDATE media SET state = 'waiting', url = NULL, sent = iif(code = 'media_lost', size, 0)"
            " WHERE state = 'refused'"
        )
        self._db.execute("UPDATE media SET failures = 0, wait_ms = 0 WHERE state = 'waiting'")

    def ask_again(self) -> None:
        """Let what the server held wait to be asked for by its digest: its contents were replaced."""
        self._db.execute("UPDATE media SET state = 'waiting', url = NULL WHERE state = 'held'")

    def uses_of(self, digest: str) -> list[MediaUse]:
        """Which fields name a file."""
        rows = self._db.execute("SELECT record, field FROM media_uses WHERE digest = ?", (digest,))
        return [MediaUse(uuid.UUID(bytes=record), field) for record, field in rows]

    def withdraw(self, digest: str) -> None:
        """Forget a file that need not be sent any more."""
        self._db.execute("DELETE FROM media_uses WHERE digest = ?", (digest,))
        self._db.execute("DELETE FROM media WHERE digest = ?", (digest,))

    def add_copy(self, name: str, record: uuid.UUID, size: int, now_ms: int) -> None:
        """Note a fetched file; it stays while `record` is on this device."""
        self._db.execute(
            "INSERT OR REPLACE INTO media_copies VALUES (?, ?, ?, ?)", (name, record.bytes, size, now_ms)
        )

    def trim_copies(self, largest: int) -> bool:
        """Drop copies, those not looked at for the longest first, beyond `largest` bytes; whether there were any."""
        dropped = self._db.execute(
            "DELETE FROM media_copies WHERE name IN (SELECT name FROM (SELECT name, sum(size)"
            " OVER (ORDER BY used_ms DESC, name) AS total FROM media_copies) WHERE total > ?)",
            (largest,),
        )
        return dropped.rowcount > 0

    def forget(self, records: Iterable[bytes]) -> bool:
        """Drop the copies of records that are not on this device any more; whether there were any."""
        if self._db.execute("SELECT 1 FROM media_copies LIMIT 1").fetchone() is None:
            return False
        dropped = self._db.executemany("DELETE FROM media_copies WHERE record = ?", [(one,) for one in records])
        return dropped.rowcount > 0

    def wanted_files(self) -> set[str]:
        """The names of all files that must stay: what the server does not hold, and copies."""
        own = self._db.execute("SELECT digest FROM media WHERE state != 'held'")
        copies = self._db.execute("SELECT name FROM media_copies")
        return {file_name(digest) for (digest,) in own} | {name for (name,) in copies}

    def _rows(self, condition: str, parameters: tuple[object, ...]) -> Iterator[QueuedMedia]:
        select = f"SELECT {_COLUMNS} FROM media WHERE {condition}"  # noqa: S608 constants and marks
        for row in self._db.execute(select, parameters):
            yield msgspec.convert(dict(zip(QueuedMedia.__struct_fields__, row, strict=True)), QueuedMedia)


def file_name(digest: str) -> str:
    """What a file is called in the folder: its digest, as file systems take it."""
    return digest.replace(":", "-")
