"""Questions about records, own work, and how far the server is read."""

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from client_sdk.reports import ChangeVerdict, PendingChange
from client_sdk.store.meta import Loading, Progressed
from client_sdk.store.records import RecordRow
from client_sdk.store.thread import Tables
from client_sdk.store.writing import is_open
from sync.messages import Change


def record(tables: Tables, record_id: uuid.UUID) -> RecordRow | None:
    """The row of a record, deleted ones included."""
    return tables.records.get(record_id)


def fields_of(tables: Tables, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, dict[str, Any]]:
    """The fields of those of the records that are here."""
    rows = ((key, tables.records.get(key)) for key in ids)
    return {key: row.decoded() for key, row in rows if row is not None}


def refused(tables: Tables, record_id: uuid.UUID, change: uuid.UUID) -> tuple[RecordRow | None, Change | None]:
    """A record, and an own change as it was sent."""
    row = tables.outbox.find(change)
    return tables.records.get(record_id), row.change if row else None


def still_open(tables: Tables, refusals: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the refusals that still wait for somebody."""
    return {refusal for refusal in refusals if is_open(tables, refusal)}


def pending(tables: Tables) -> list[PendingChange]:
    """The changes without a verdict, in order."""
    return [
        PendingChange(
            change=row.change.id,
            seq=row.seq,
            type=row.change.type,
            record=row.change.record,
            fields=msgspec.msgpack.decode(row.change.fields),
            deletes=row.change.delete,
            created_ms=row.created_ms,
        )
        for row in tables.outbox.pending()
    ]


def verdicts(tables: Tables, record_id: uuid.UUID | None) -> list[ChangeVerdict]:
    """What became of own changes, of one record or all, in order."""
    rows = tables.outbox.all() if record_id is None else tables.outbox.of_record(record_id)
    return [
        ChangeVerdict(
            change=row.change.id,
            seq=row.seq,
            type=row.change.type,
            record=row.change.record,
            outcome=row.outcome,
            version=row.version,
            code=row.code,
            detail=row.detail,
            attention=row.attention,
        )
        for row in rows
    ]


def pending_count(tables: Tables) -> int:
    """How many changes are not sent yet."""
    return tables.outbox.pending_count()


def progressed(tables: Tables) -> Progressed:
    """How far the server is read."""
    return tables.meta.progressed


def snapshot_begun(tables: Tables) -> Loading | None:
    """The snapshot that is being loaded, None where there is none."""
    return tables.meta.loading
