"""Bringing a record as the user sees it in line with what the server said and the outbox."""

from client_sdk.store.overlay import Visible, visible
from client_sdk.store.records import RecordRow
from client_sdk.store.thread import Tables
from sync.messages import Change


def refresh(tables: Tables, record: bytes) -> None:
    """Recompute one record: server copy plus live own changes; drop it when neither shows anything."""
    row = tables.records.get_bytes(record)
    changes = tables.outbox.live(record)
    if row is None and not changes:
        return
    if row is not None and row.gone and not changes:
        tables.records.drop([record])
        return
    base = row or _local_row(tables, changes[0])
    merged = overlaid(tables, base, changes)
    if merged is None:
        tables.records.drop([record])
    elif merged != row:
        tables.records.put(merged)


def overlaid(tables: Tables, row: RecordRow, changes: list[Change]) -> RecordRow | None:
    """`row` with `changes` on top of its server copy; None where that shows nothing."""
    server = row.server_fields
    if not changes or row.type not in tables.registry:
        return None if server is None else row._replace(fields=server, server=None, deleted=False)
    seen = _seen(tables, row, server, changes)
    if seen is None:
        return None
    return row._replace(fields=seen.fields, server=server, deleted=seen.deleted)


def _seen(tables: Tables, row: RecordRow, server: bytes | None, changes: list[Change]) -> Visible | None:
    identity = tables.meta.identity
    if identity is None:
        raise RuntimeError("a store without an identity has no changes")
    return visible(tables.registry.get(row.type), identity.device, server, changes)


def _local_row(tables: Tables, change: Change) -> RecordRow:
    identity = tables.meta.identity
    return RecordRow(
        id=change.record.bytes,
        type=change.type,
        version=0,
        owner=identity.user if identity else None,
        round=tables.meta.progressed.round,
        gone=False,
        deleted=False,
        fields=b"\x80",
        server=None,
    )
