"""Loading snapshots: a block a transaction, in bounded memory, leaving alone what is as new here."""

import uuid
from collections.abc import Iterable
from itertools import repeat
from typing import Any

import msgspec

from client_sdk.store.exchanging import expect, store_records, take_fetched
from client_sdk.store.meta import Loading
from client_sdk.store.records import NewRow, Place, place_in
from client_sdk.store.schema import drop_record_indexes, index_records
from client_sdk.store.texts import leave_for_later
from client_sdk.store.thread import Tables
from field_schemas.places import Position, place_cell
from field_schemas.record import RecordType
from sync.messages import FetchResponse, Snapshot, WireRecord
from sync.snapshot import RecordGroup, decode_block, joined

_positions = msgspec.msgpack.Decoder(list[Position]).decode
_values = msgspec.msgpack.Decoder(list[Any]).decode
_WORTH_IT = 3
"""To index all records afterwards costs less where at most so many are here for each that arrives."""
_NOWHERE: Place = (None, None, None)


def begin(tables: Tables, scope: str, snapshot: Snapshot, types: dict[str, int]) -> Loading:
    """From now on this snapshot is being loaded. Raises OtherContents."""
    expect(snapshot.epoch, of=tables.meta.progressed.epoch)
    tables.meta.loading = loading = Loading(scope, snapshot, types)
    (present,) = tables.db.execute("SELECT count(*) FROM records").fetchone()
    if loading.left * _WORTH_IT > present:
        drop_record_indexes(tables.db)
    return loading


def pause(tables: Tables) -> None:
    """Loading has ended, or will go on another time."""
    index_records(tables.db)


def give_up(tables: Tables) -> bool:
    """No snapshot is being loaded any more; whether a part of one is here."""
    loading = tables.meta.loading
    tables.meta.loading = None
    return loading is not None and (loading.blocks > 0 or loading.fetched)


def take_block(tables: Tables, block: bytes) -> Loading:
    """Store the next block of the snapshot that is being loaded; how far that leads. Raises BlockDamaged."""
    loading = tables.meta.loading
    if loading is None:
        raise RuntimeError("no snapshot is being loaded")
    own = tables.outbox.live_records()
    for group in decode_block(block):
        if group.type in tables.registry:
            _take_group(tables, tables.registry.get(group.type), group, own)
    tables.meta.loading = advanced = msgspec.structs.replace(loading, blocks=loading.blocks + 1)
    return advanced


def take_apart(tables: Tables, asked: set[uuid.UUID], response: FetchResponse) -> Loading:
    """Store records that stand apart of the snapshot, as the server answered when it was `asked` for them.

    Raises OtherContents.
    """
    loading = tables.meta.loading
    if loading is None:
        raise RuntimeError("no snapshot is being loaded")
    take_fetched(tables, response)
    left = [record for record in loading.snapshot.apart if record not in asked]
    snapshot = msgspec.structs.replace(loading.snapshot, apart=left)
    tables.meta.loading = advanced = msgspec.structs.replace(loading, snapshot=snapshot, fetched=True)
    return advanced


def _take_group(tables: Tables, spec: RecordType[Any], group: RecordGroup, own: set[bytes]) -> None:
    current = tables.meta.progressed.round
    columns = group.record_ids(), group.versions, group.owners, group.fields(), _places(spec, group)
    rows = [
        NewRow(record, group.type, version, owner, current, fields, place)
        for record, version, owner, fields, place in zip(*columns, strict=True)
    ]
    if own:
        # Own changes are shown on top of what the server says, whether or not the record itself is here.
        rows = [row for row in rows if row.id not in own]
    # In the order of ids, each page of their indexes is met once.
    added = tables.records.add_new(sorted(rows))
    leave_for_later(tables, added.after, added.last)
    if added.standing or own:
        _take_newer(tables, group, added.standing | own)


def _take_newer(tables: Tables, group: RecordGroup, some: set[bytes]) -> None:
    """Store those records among `some` that are newer than what is here."""
    progressed = tables.meta.progressed
    known = tables.records.known([record for record in group.record_ids() if record in some])

    def is_newer(wire: WireRecord) -> bool:
        one = known.get(wire.id.bytes)
        if one is None or one.round < progressed.replaced:
            return True
        # As new is not newer: by way of another scope the record may have come with more fields. What came before
        # reading began anew is as good only where it is newer: it comes once more after the snapshot.
        stands = one.version >= wire.version if one.round == progressed.round else one.version > wire.version
        return not stands

    store_records(tables, [wire for wire in group.records() if wire.id.bytes in some and is_newer(wire)])


def _places(spec: RecordType[Any], group: RecordGroup) -> Iterable[Place]:
    if spec.place is None or spec.place not in group.names:
        return repeat(_NOWHERE, len(group.versions))
    column = joined(group.columns[group.names.index(spec.place)])
    try:
        return [(place_cell(*point), *point) for point in map(Position.wgs84, _positions(column))]
    except msgspec.ValidationError:
        # Areas, and what a later version of the type writes otherwise.
        return [place_in(spec, {spec.place: value}) for value in _values(column)]
