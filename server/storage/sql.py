"""What both databases share: statements, and rows to and from the structs of `sync.storage`.

Parameters are written `$1`; SQLite takes the same statements with `?1`.
"""

# ruff: noqa: S608 - statements are put together from constants only; values travel as parameters
import functools
import uuid
from collections.abc import Container, Iterable, Sequence
from typing import Any

import msgspec

from field_schemas.access import Grant, Role
from sync.messages import Outcome
from sync.storage import FeedEntry, FeedRow, LoggedChange, Member, StoredRecord

RECORD_FIELDS = StoredRecord.__struct_fields__
CHANGE_FIELDS = LoggedChange.__struct_fields__
FEED_FIELDS = FeedRow.__struct_fields__
RECORD_COLUMNS = ", ".join(f'"{name}"' for name in RECORD_FIELDS)
CHANGE_COLUMNS = ", ".join(f'"{name}"' for name in CHANGE_FIELDS)

REPLACE_RECORD = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f'"{name}" = excluded."{name}"' for name in RECORD_FIELDS if name != "id"
)
REPLACE_SEQUENCE = "ON CONFLICT (device) DO UPDATE SET held = excluded.held"

EPOCH = "SELECT epoch FROM store"
HISTORY = f"SELECT {CHANGE_COLUMNS} FROM changes WHERE record = $1 ORDER BY received_ms, device, seq, version"
FEED = """
    SELECT tx, version, record, gone FROM feed
    WHERE feed = $1 AND (tx, version) > ($2, $3) AND tx < $4 ORDER BY tx, version LIMIT $5
"""
FEED_HOLDS = """
    SELECT 1 FROM feed
    WHERE feed = $1 AND (tx, version) > ($2, $3) AND tx < $4 ORDER BY tx, version LIMIT 1 OFFSET $5
"""
FEED_NEWEST = "SELECT tx, version FROM feed WHERE feed = $1 ORDER BY tx DESC, version DESC LIMIT 1"
MEMBERS = """
    SELECT records.id, records.version, records.type, records.scopes, feed.tx
    FROM feed JOIN records ON records.id = feed.record
    WHERE feed.feed = $1 AND (feed.tx, feed.version) > ($2, $3) AND feed.tx < $4
        AND NOT feed.gone AND NOT records.deleted
    ORDER BY feed.tx, feed.version LIMIT $5
"""
GRANTS = "SELECT scope, role, valid_from, valid_until FROM grants WHERE user_id = $1 ORDER BY id"
PURGED = "SELECT purged_tx, purged_version FROM store"
# A list of all deleted records would not fit PostgreSQL's memory for hashes, and be read again for each entry.
IS_TRACE = "(gone OR EXISTS (SELECT 1 FROM records WHERE id = feed.record AND deleted))"
NOT_YET_PURGED = f"(tx, version) > ({PURGED}) AND (tx, version) <= ($1, $2)"
PURGE_FEED = f"DELETE FROM feed WHERE {NOT_YET_PURGED} AND {IS_TRACE}"
PURGE_RECORDS = f"UPDATE records SET fields = $3, marks = $3 WHERE deleted AND {NOT_YET_PURGED} AND fields <> $3"
PURGE_NOTED = "UPDATE store SET purged_tx = $1, purged_version = $2"
NO_FIELDS = msgspec.msgpack.encode({})
SCAN_FIRST = f"SELECT {RECORD_COLUMNS} FROM records WHERE type = $1 AND NOT deleted ORDER BY id LIMIT $2"
SCAN_NEXT = f"SELECT {RECORD_COLUMNS} FROM records WHERE type = $1 AND NOT deleted AND id > $3 ORDER BY id LIMIT $2"
# A loose index scan: one index probe for each key, however many entries the feeds hold.
FEEDS_WITHIN = """
    WITH RECURSIVE keys(key) AS (
        SELECT min(feed) FROM feed WHERE feed >= $1 AND feed < $2
        UNION ALL
        SELECT (SELECT min(feed) FROM feed WHERE feed > keys.key AND feed < $2) FROM keys WHERE keys.key IS NOT NULL
    )
    SELECT key FROM keys WHERE key IS NOT NULL
"""


class StoreEmpty(Exception):
    """The database has its tables but no store in them: `initialise` was not called."""


def prefix_range(prefix: str) -> tuple[str, str]:
    """The bounds, lower one included, of all texts that start with `prefix`, in byte order."""
    return prefix, prefix + "\U0010ffff"


_json = msgspec.json.Encoder().encode
_REMEMBERED = 10_000
_scopes = functools.lru_cache(_REMEMBERED)(msgspec.json.Decoder(tuple[str, ...]).decode)
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


@functools.lru_cache(_REMEMBERED)
def _scopes_text(scopes: tuple[str, ...]) -> str:
    return _json(scopes).decode()


def record_row(record: StoredRecord) -> tuple[Any, ...]:
    """A row of `records`, its id still a UUID."""
    return (
        record.id,
        record.type,
        record.version,
        record.tx,
        _scopes_text(record.scopes),
        record.owner,
        record.fields,
        record.marks,
        record.district,
        record.deleted,
        record.type_version,
    )


def record_rows(
    records: Iterable[StoredRecord], existing: Container[uuid.UUID]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of new records, and those of `existing` ones."""
    rows: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]] = ([], [])
    for record in records:
        rows[record.id in existing].append(record_row(record))
    return rows


def record_of(record_id: uuid.UUID, row: Sequence[Any]) -> StoredRecord:
    """The record of a row of `records`."""
    return StoredRecord(
        id=record_id,
        type=row[1],
        version=row[2],
        tx=row[3],
        scopes=_scopes(row[4]),
        owner=row[5],
        fields=row[6],
        marks=row[7],
        district=row[8],
        deleted=bool(row[9]),
        type_version=row[10],
    )


change_row = msgspec.structs.astuple
"""A row of `changes`, its ids still UUIDs."""


def change_of(
    row: Sequence[Any], change: uuid.UUID, device: uuid.UUID, record: uuid.UUID, attention: uuid.UUID | None
) -> LoggedChange:
    """The change of a row of `changes`, with its ids as UUIDs."""
    return LoggedChange(
        id=change,
        device=device,
        seq=row[2],
        user=row[3],
        type=row[4],
        record=record,
        district=row[6],
        base=row[7],
        version=row[8],
        stamp=row[9],
        outcome=_OUTCOMES[row[10]],
        code=row[11],
        detail=row[12],
        attention=attention,
        captured_ms=row[14],
        error_ms=row[15],
        received_ms=row[16],
        deletes=bool(row[17]),
        fields=row[18],
        before=row[19],
        type_version=row[20],
        wall_ms=row[21],
    )


def grants_of(rows: Iterable[Sequence[Any]]) -> tuple[Grant, ...]:
    """The grants of rows of GRANTS."""
    return tuple(Grant(scope, Role(role), valid_from, until) for scope, role, valid_from, until in rows)


def member_of(record: uuid.UUID, row: Sequence[Any]) -> Member:
    """The member of a row of MEMBERS."""
    return Member(record, row[1], row[2], _scopes(row[3]))


def feed_entries(rows: Iterable[Sequence[Any]], ids: Iterable[uuid.UUID]) -> list[FeedEntry]:
    """The entries of rows (tx, version, record, gone), with their records as UUIDs."""
    return [FeedEntry(row[0], row[1], record, bool(row[3])) for row, record in zip(rows, ids, strict=True)]
