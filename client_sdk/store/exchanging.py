"""What comes back from the server: verdicts, pages of records, new contents."""

import uuid
from collections.abc import Iterable, Iterator

import msgspec

from client_sdk.store.meta import Progressed
from client_sdk.store.records import Known, RecordRow
from client_sdk.store.refreshing import overlaid, refresh
from client_sdk.store.thread import Tables
from field_schemas.access import grants_at
from field_schemas.scopes import covers
from sync.authority import authority_tag
from sync.clock import Anchor
from sync.delta import applied, fits
from sync.messages import FetchResponse, Outcome, PullResponse, PushResponse, WireRecord


class OtherContents(Exception):
    """The server's contents were replaced: they are to be read from the beginning, and may lack own work."""


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
    _reopen(tables, expected)
    tables.outbox.renumber(expected)


def reopen_from(tables: Tables, change: uuid.UUID) -> None:
    """The server does not hold `change`: send it, and what came after it, again."""
    row = tables.outbox.find(change)
    if row is not None:
        _reopen(tables, row.seq)


def start_over(tables: Tables, epoch: uuid.UUID | None) -> None:
    """Read the server's contents, which are `epoch` (None: not known yet), from the beginning.

    The copies that were here stay in sight until all of the new ones are; then those go that the server does not
    give. Whether other contents still hold the photos that those of before held is to be asked.
    """
    before = tables.meta.progressed
    same = epoch is not None and epoch == before.epoch
    if not same:
        tables.meta.receipt = None
        tables.media.ask_again()
    tables.meta.loading = None
    scopes, replaced = (before.scopes, before.replaced) if same else ((), before.round + 1)
    tables.meta.progressed = Progressed(epoch, None, scopes, before.round + 1, replaced, before.finished)


def reconcile(tables: Tables, response: PushResponse) -> None:
    """After `start_over` with new contents: these are theirs, and what they lack of this device is sent again."""
    tables.meta.progressed = msgspec.structs.replace(tables.meta.progressed, epoch=response.epoch)
    continue_from(tables, response.held + 1)


def expect(epoch: uuid.UUID | None, *, of: uuid.UUID | None) -> None:
    """Have an answer of contents `epoch` (None: a server of before does not say) be one of the contents `of`.

    Raises OtherContents: these may lack what was applied to the others, in later versions too.
    """
    if epoch not in (None, of):
        raise OtherContents


def take_fetched(tables: Tables, response: FetchResponse) -> Pulled:
    """Store records that were asked for by id: what the server says is right, whatever is here.

    Raises OtherContents.
    """
    expect(response.epoch, of=tables.meta.progressed.epoch)
    store_records(tables, response.records)
    return Pulled(len(response.records), _forget(tables, [record.bytes for record in response.forget]))


def take_newer(tables: Tables, response: FetchResponse) -> None:
    """Store those records that are newer than what is here of the same contents. Raises OtherContents.

    What is here from before reading began anew stays as it is: that it has left the user's sight is told of no record
    that was not read since.
    """
    progressed = tables.meta.progressed
    expect(response.epoch, of=progressed.epoch)
    known = tables.records.known([wire.id.bytes for wire in response.records])

    def is_newer(wire: WireRecord) -> bool:
        here = known.get(wire.id.bytes)
        return here is not None and here.round == progressed.round and here.version < wire.version

    store_records(tables, [wire for wire in response.records if is_newer(wire)])


def lacking(tables: Tables, page: PullResponse) -> list[uuid.UUID]:
    """The records that are to be fetched whole before the page is taken.

    They come as deltas of what is not here; or the last page leaves out what this device was told is applied, or what
    was here before reading began anew: the server holds it back while others write, or it is out of the user's sight.
    """
    deltas = (wire for wire in page.records if wire.since and wire.type in tables.registry)
    without_base = [wire.id for wire in deltas if _base(tables, wire) is None]
    return without_base if page.more else list(dict.fromkeys([*without_base, *_left_out(tables, page)]))


def _left_out(tables: Tables, page: PullResponse) -> Iterator[uuid.UUID]:
    brought = {wire.id.bytes: wire.version for wire in page.records}
    forgotten = {record.bytes for record in page.forget}
    for record, version in tables.outbox.settled_live().items():
        if brought.get(record, -1) < version and record not in forgotten:
            yield uuid.UUID(bytes=record)
    for record in _of_earlier_rounds(tables):
        if record not in brought and record not in forgotten:
            yield uuid.UUID(bytes=record)


def _of_earlier_rounds(tables: Tables) -> list[bytes]:
    """The copies from before reading began anew that were not replaced since."""
    progressed = tables.meta.progressed
    # To look at all records for nothing would take longer than the rest of a small sync.
    return tables.records.of_earlier_rounds(progressed.round) if progressed.finished < progressed.round else []


def take_page(tables: Tables, page: PullResponse, anchor: Anchor | None, stamp: int) -> Pulled:
    """Store a page of the pull that `meta.progressed` describes, and how far it leads."""
    before = tables.meta.progressed
    tables.meta.progressed = msgspec.structs.replace(
        before, epoch=page.epoch, cursor=page.cursor, scopes=tuple(page.scopes)
    )
    loading = tables.meta.loading
    if loading is not None and loading.is_complete:
        # The pull that this page answers said so, and the cursor goes on from there.
        tables.meta.loading = None
    tables.meta.anchor = anchor
    tables.meta.stamp = stamp
    known = tables.records.known([wire.id.bytes for wire in page.records])
    current = [wire for wire in page.records if not _outdated(known.get(wire.id.bytes), wire, before.round)]
    store_records(tables, current)
    forgotten = _forget(tables, [record.bytes for record in page.forget])
    opened = _opened(tables, page)
    if any(not _covered(scope, opened) for scope in before.scopes):
        # By the copies here: of what own work was applied to, the server may say that it was moved meanwhile.
        forgotten += _drop_but(tables, _outside(tables, opened), tables.outbox.live_records())
    if not page.more:
        _finish(tables, before.round)
    return Pulled(len(page.records), forgotten)


def _reopen(tables: Tables, first: int) -> None:
    kept = tables.meta.receipt
    if kept is not None and tables.outbox.count_before(first) < kept.receipt.held:
        tables.meta.receipt = None
    for record in tables.outbox.reopen(first):
        refresh(tables, record)


def _outdated(known: Known | None, wire: WireRecord, current: int) -> bool:
    """Whether a later version is here already."""
    return known is not None and known.round == current and known.version > wire.version


def store_records(tables: Tables, records: Iterable[WireRecord]) -> None:
    """Store records as the server said them. Those of types that this program does not know are no use to it."""
    live = tables.outbox.live_records()
    current = tables.meta.progressed.round
    rows: list[RecordRow] = []
    gone: list[bytes] = []
    for wire in records:
        if wire.deleted:
            tables.outbox.retire(wire.id.bytes, wire.version)
            gone.append(wire.id.bytes)
        elif wire.type in tables.registry and (row := _row(tables, wire, current, live)) is not None:
            rows.append(row)
    tables.records.put_many(rows)
    tables.drop_records(gone)


def _row(tables: Tables, wire: WireRecord, current: int, live: set[bytes]) -> RecordRow | None:
    record = wire.id.bytes
    fields = _whole(tables, wire) if wire.since else bytes(wire.fields)
    row = RecordRow(record, wire.type, wire.version, wire.owner, current, False, False, fields, None)
    if record not in live:
        return row
    tables.outbox.retire(record, wire.version)
    return overlaid(tables, row, tables.outbox.live(record))


def _base(tables: Tables, wire: WireRecord) -> bytes | None:
    """The server's fields that the delta fits, None where they are not here."""
    row = tables.records.get(wire.id)
    if row is None or row.gone or row.round != tables.meta.progressed.round:
        return None
    held = row.server_fields
    return held if held is not None and fits(held, row.version, wire) else None


def _whole(tables: Tables, wire: WireRecord) -> bytes:
    held = _base(tables, wire)
    if held is None:
        raise RuntimeError("a delta of what is not here was not replaced by the record")
    return applied(held, wire)


def _finish(tables: Tables, current: int) -> None:
    """All the server has is here, what `lacking` named included: what it did not send of the old contents goes, and
    so do settled own changes."""
    for record in tables.outbox.retire_settled():
        refresh(tables, record)
    old = _of_earlier_rounds(tables)
    unsent = [record for record in old if tables.outbox.has_unsent(record)]
    tables.drop_records(set(old) - set(unsent))
    for record in unsent:
        row = tables.records.get_bytes(record)
        if row is not None:
            tables.records.put(row._replace(version=0, server=None, round=current))
        refresh(tables, record)
    if (progressed := tables.meta.progressed).finished < current:
        tables.meta.progressed = msgspec.structs.replace(progressed, finished=current)


def _forget(tables: Tables, ids: list[bytes]) -> int:
    """Drop records that are not for this reader, but keep those with unsent work until it is sent."""
    return _drop_but(tables, ids, {record for record in ids if tables.outbox.has_unsent(record)})


def _drop_but(tables: Tables, ids: list[bytes], kept: set[bytes]) -> int:
    """Drop records that are not for this reader; those `kept` go with the last of the own work on them."""
    for record in kept.intersection(ids):
        row = tables.records.get_bytes(record)
        if row is not None:
            tables.records.put(row._replace(gone=True))
    return tables.drop_records(set(ids) - kept)


def _opened(tables: Tables, page: PullResponse) -> list[str]:
    """The scopes of a page, and what the grants it was made by open beside them: nothing lies there any more, and
    what did may be still to come from elsewhere."""
    account = tables.meta.account
    if account is None or authority_tag(account.grants, page.server_ms) != page.authority:
        return page.scopes
    return [*page.scopes, *(grant.scope for grant in grants_at(account.grants, page.server_ms))]


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
