"""What comes back from the server: verdicts, pages of records, new contents."""

import uuid

import msgspec

from client_sdk.store.meta import Progressed
from client_sdk.store.records import RecordRow
from client_sdk.store.refreshing import overlaid, refresh
from client_sdk.store.thread import Tables
from field_schemas.scopes import covers
from sync.clock import Anchor
from sync.messages import Outcome, PullResponse, PushResponse, WireRecord


class Pulled(msgspec.Struct, frozen=True):
    """What a page brought: records received, and records dropped because they are not for this reader any more."""

    received: int
    forgotten: int


def settle(tables: Tables, response: PushResponse, anchor: Anchor | None) -> list[Outcome]:
    """Note the verdicts of a push; those that were awaited."""
    tables.meta.anchor = anchor
    settled: list[Outcome] = []
    for verdict in response.verdicts:
        record = tables.outbox.settle(verdict)
        if record is None:
            continue
        settled.append(verdict.outcome)
        row = tables.records.get_bytes(record)
        if row is not None and row.round == tables.meta.progressed.round:
            tables.outbox.retire(record, row.version)
        refresh(tables, record)
    return settled


def continue_from(tables: Tables, expected: int) -> None:
    """Number what the server lacks from `expected` on; it holds nothing from there, whatever it said before."""
    for record in tables.outbox.reopen(expected):
        refresh(tables, record)
    tables.outbox.renumber(expected)


def start_over(tables: Tables, epoch: uuid.UUID | None) -> None:
    """The server's contents were replaced by `epoch` (None: not known yet): read them from the beginning.

    The copies of the old contents stay in sight until all of the new ones are here.
    """
    progressed = tables.meta.progressed
    tables.meta.progressed = Progressed(epoch=epoch, round=progressed.round + 1)


def read_again(tables: Tables) -> None:
    """Forget the cursor, which the server does not accept any more."""
    tables.meta.progressed = msgspec.structs.replace(tables.meta.progressed, cursor=None)


def take_page(tables: Tables, page: PullResponse, anchor: Anchor | None, stamp: int) -> Pulled:
    """Store a page of the pull that `meta.progressed` describes, and how far it leads."""
    before = tables.meta.progressed
    tables.meta.progressed = Progressed(page.epoch, page.cursor, tuple(page.scopes), before.round)
    tables.meta.anchor = anchor
    tables.meta.stamp = stamp
    live = tables.outbox.live_records()
    rows: list[RecordRow] = []
    gone: list[bytes] = []
    for wire in page.records:
        if wire.deleted:
            tables.outbox.retire(wire.id.bytes, wire.version)
            gone.append(wire.id.bytes)
        elif (row := _row(tables, wire, before.round, live)) is not None:
            rows.append(row)
    tables.records.put_many(rows)
    tables.records.drop(gone)
    forgotten = _forget(tables, [record.bytes for record in page.forget])
    if any(not _covered(scope, page.scopes) for scope in before.scopes):
        forgotten += _forget(tables, _outside(tables, page.scopes))
    if not page.more:
        _finish(tables, before.round)
    return Pulled(len(page.records), forgotten)


def _row(tables: Tables, wire: WireRecord, current: int, live: set[bytes]) -> RecordRow | None:
    """The row for a received record, None where a later version of it is here already."""
    record = wire.id.bytes
    known = tables.records.get_bytes(record)
    if known is not None and known.round == current and known.version > wire.version:
        return None
    fields = bytes(wire.fields)
    row = RecordRow(record, wire.type, wire.version, wire.owner, current, False, False, fields, None)
    if record not in live:
        return row
    tables.outbox.retire(record, wire.version)
    return overlaid(tables, row, tables.outbox.live(record))


def _finish(tables: Tables, current: int) -> None:
    """All the server has is here: what it did not send of the old contents goes, and so do settled own changes."""
    for record in tables.outbox.retire_settled():
        refresh(tables, record)
    old = tables.records.of_earlier_rounds(current)
    unsent = [record for record in old if tables.outbox.has_unsent(record)]
    tables.records.drop(set(old) - set(unsent))
    for record in unsent:
        row = tables.records.get_bytes(record)
        if row is not None:
            tables.records.put(row._replace(version=0, server=None, round=current))
        refresh(tables, record)


def _forget(tables: Tables, ids: list[bytes]) -> int:
    """Drop records that are not for this reader, but keep those with unsent work until it is sent."""
    unsent = [record for record in ids if tables.outbox.has_unsent(record)]
    for record in unsent:
        row = tables.records.get_bytes(record)
        if row is not None:
            tables.records.put(row._replace(gone=True))
    return tables.records.drop(set(ids) - set(unsent))


def _outside(tables: Tables, scopes: list[str]) -> list[bytes]:
    """The records of the server that lie in none of `scopes`."""
    outside: list[bytes] = []
    for record_id, name, owner, fields in tables.records.server_copies():
        if name in tables.registry:
            within = tables.registry.get(name).scopes(fields, owner)
            if not any(_covered(scope, scopes) for scope in within):
                outside.append(record_id)
    return outside


def _covered(scope: str, scopes: list[str]) -> bool:
    return any(covers(outer, scope) for outer in scopes)
