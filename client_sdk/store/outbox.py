"""The outbox: every change this device made, with its verdict once there is one. Sequence numbers have no holes."""

import itertools
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from client_sdk.store.frames import CHANGE, frame, unframe
from sync.messages import Change, Outcome, Verdict

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_COLUMNS = "seq, created_ms, live, outcome, version, code, detail, attention, change"
_BATCH_CHANGES = 500
_BATCH_BYTES = 500_000


class Framed(msgspec.Struct, frozen=True, array_like=True):
    """What a change's frame holds: enough to send it even when nothing else of the store can be read."""

    user: str
    created_ms: int
    change: Change


class OutboxRow(NamedTuple):
    """A change with what became of it: `outcome` None until the server's verdict."""

    seq: int
    created_ms: int
    live: bool
    outcome: Outcome | None
    version: int
    code: str | None
    detail: str | None
    attention: uuid.UUID | None
    change: Change


class Outbox:
    """Reads and writes the outbox inside a transaction of the caller."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def next_seq(self) -> int:
        """The number the next change gets."""
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
        return int(last) + 1

    def add(self, framed: Framed) -> None:
        """Append a change; its number must be the next."""
        change = framed.change
        self._db.execute(
            "INSERT INTO outbox (seq, id, record, type, created_ms, change) VALUES (?, ?, ?, ?, ?, ?)",
            (
                change.seq,
                change.id.bytes,
                change.record.bytes,
                change.type,
                framed.created_ms,
                frame(CHANGE, _encode(framed)),
            ),
        )
        # On another page than the outbox: damage there does not hide that there was more.
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('last_seq', ?)", (_encode(change.seq),))

    def pending_count(self) -> int:
        """How many changes have no verdict yet."""
        return int(self._db.execute("SELECT count(*) FROM outbox WHERE outcome IS NULL").fetchone()[0])

    def pending(self) -> Iterator[OutboxRow]:
        """The changes without a verdict, in order."""
        return self._rows("outcome IS NULL ORDER BY seq", ())

    def of_record(self, record: uuid.UUID) -> Iterator[OutboxRow]:
        """All own changes of a record, in order."""
        return self._rows("record = ? ORDER BY seq", (record.bytes,))

    def all(self) -> Iterator[OutboxRow]:
        """All own changes, in order."""
        return self._rows("true ORDER BY seq", ())

    def find(self, change: uuid.UUID) -> OutboxRow | None:
        """The change with this id."""
        return next(self._rows("id = ?", (change.bytes,)), None)

    def live(self, record: bytes) -> list[Change]:
        """The changes that the record as seen holds on top of what the server said, in order."""
        return [row.change for row in self._rows("record = ? AND live = 1 ORDER BY seq", (record,))]

    def live_records(self) -> set[bytes]:
        """The records that have such changes."""
        return {row[0] for row in self._db.execute("SELECT DISTINCT record FROM outbox WHERE live = 1")}

    def has_unsent(self, record: bytes) -> bool:
        """Whether the record has changes without a verdict."""
        select = "SELECT 1 FROM outbox WHERE record = ? AND live = 1 AND outcome IS NULL"
        return self._db.execute(select, (record,)).fetchone() is not None

    def next_batch(self, limit: int = _BATCH_CHANGES) -> list[Change]:
        """The next changes to send, at least one if there is any, not much above _BATCH_BYTES together."""
        batch: list[Change] = []
        size = 0
        for row in self.pending():
            size += len(memoryview(row.change.fields))
            if batch and (len(batch) == limit or size > _BATCH_BYTES):
                break
            batch.append(row.change)
        return batch

    def settled(self, skip: int, limit: int) -> list[tuple[uuid.UUID, Outcome]]:
        """The changes after the first `skip`, with their verdicts, up to the first that has none; at most `limit`."""
        select = "SELECT id, outcome FROM outbox ORDER BY seq LIMIT ? OFFSET ?"
        rows = itertools.takewhile(lambda row: row[1] is not None, self._db.execute(select, (limit, skip)))
        return [(uuid.UUID(bytes=change), Outcome(outcome)) for change, outcome in rows]

    def settle(self, verdict: Verdict) -> bytes | None:
        """Note a verdict; the record it concerns, None where no such change waits for one."""
        attention = verdict.attention.bytes if verdict.attention else None
        row = self._db.execute(
            "UPDATE outbox SET outcome = ?, version = ?, code = ?, detail = ?, attention = ?, live = ?"
            " WHERE id = ? AND outcome IS NULL RETURNING record",
            (
                str(verdict.outcome),
                verdict.version,
                verdict.code,
                verdict.detail,
                attention,
                int(verdict.outcome is not Outcome.REFUSED),
                verdict.change.bytes,
            ),
        ).fetchone()
        return row[0] if row else None

    def retire(self, record: bytes, version: int) -> None:
        """Take out of the record as seen what the server's `version` of it already holds."""
        self._db.execute(
            "UPDATE outbox SET live = 0 WHERE record = ? AND live = 1 AND outcome IS NOT NULL AND version <= ?",
            (record, version),
        )

    def settled_live(self) -> dict[bytes, int]:
        """The records seen with changes on top that have a verdict, each with the latest version these made."""
        select = "SELECT record, max(version) FROM outbox WHERE live = 1 AND outcome IS NOT NULL GROUP BY record"
        return dict(self._db.execute(select).fetchall())

    def retire_settled(self) -> set[bytes]:
        """Take out of the records as seen all changes that have a verdict; which records these are."""
        rows = self._db.execute(
            "UPDATE outbox SET live = 0 WHERE live = 1 AND outcome IS NOT NULL RETURNING record"
        ).fetchall()
        return {row[0] for row in rows}

    def count_before(self, seq: int) -> int:
        """How many changes have smaller numbers."""
        return int(self._db.execute("SELECT count(*) FROM outbox WHERE seq < ?", (seq,)).fetchone()[0])

    def reopen(self, first: int) -> set[bytes]:
        """Let all changes from number `first` on wait for a verdict again; the records they concern."""
        rows = self._db.execute(
            "UPDATE outbox SET outcome = NULL, version = 0, code = NULL, detail = NULL, attention = NULL, live = 1"
            " WHERE seq >= ? AND outcome IS NOT NULL RETURNING record",
            (first,),
        ).fetchall()
        return {row[0] for row in rows}

    def renumber(self, first: int) -> None:
        """Number the changes without a verdict from `first` on, which no other change may have."""
        rows = self._db.execute("SELECT seq, change FROM outbox WHERE outcome IS NULL ORDER BY seq").fetchall()
        if [seq for seq, _ in rows] == list(range(first, first + len(rows))):
            return
        self._db.execute("DELETE FROM outbox WHERE outcome IS NULL")
        for seq, (_, data) in enumerate(rows, first):
            framed = read_framed(data)
            self.add(msgspec.structs.replace(framed, change=msgspec.structs.replace(framed.change, seq=seq)))

    def _rows(self, condition: str, parameters: tuple[Any, ...]) -> Iterator[OutboxRow]:
        select = f"SELECT {_COLUMNS} FROM outbox WHERE {condition}"  # noqa: S608 constants above
        for row in self._db.execute(select, parameters):
            yield _row(row)


def read_framed(data: bytes) -> Framed:
    """The content of a stored change. Raises ValueError (msgspec.DecodeError is one) when it is damaged."""
    return msgspec.msgpack.decode(unframe(CHANGE, data), type=Framed)


def pending_payloads(db: sqlite3.Connection) -> Iterable[bytes]:
    """The stored bytes of all changes without a verdict."""
    return (row[0] for row in db.execute("SELECT change FROM outbox WHERE outcome IS NULL"))


def _row(row: tuple[Any, ...]) -> OutboxRow:
    seq, created_ms, live, outcome, version, code, detail, attention, data = row
    return OutboxRow(
        seq,
        created_ms,
        bool(live),
        Outcome(outcome) if outcome else None,
        version,
        code,
        detail,
        uuid.UUID(bytes=attention) if attention else None,
        read_framed(data).change,
    )
