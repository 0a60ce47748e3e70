"""The history of a record: who changed which field when, where, from which device, with what verdict."""

import uuid
from typing import Any

import msgspec

from field_schemas.registry import Registry
from sync.authority import Actor
from sync.errors import SyncError
from sync.forms import change_now, fields_now, record_now
from sync.merge import Mark
from sync.messages import HistoryEntry, HistoryResponse, Outcome
from sync.storage import LoggedChange, ReadTransaction
from sync.undo import undo_key
from sync.visible import Sight
from sync.whereabouts import Where, whereabouts

_NOTHING = msgspec.msgpack.encode({})
_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode
_marks = msgspec.msgpack.Decoder(dict[str, Mark]).decode


async def history(
    tx: ReadTransaction, registry: Registry, reader: Actor, record_id: uuid.UUID, now_ms: int
) -> HistoryResponse:
    """Every change ever sent for a record that `reader` may see, refused ones too, oldest first.

    Of a record that the reader may not see, or whose creation was refused, the refused changes whose refusals
    concern the reader. Raises SyncError `record_unknown` where there are none; `server_behind`.
    """
    record = (await tx.records([record_id])).get(record_id)
    sight = Sight(registry, reader, now_ms)
    lens = sight.lens(record.type, record.scopes) if record else None
    if record is None or lens is None:
        return await _refused_history(tx, registry, sight, record_id)
    name = lens.spec.name
    changes = [
        _with_fields(now, lens.masked(now.fields), lens.masked(now.before))
        for now in (change_now(lens.spec, one) for one in await tx.history(record_id) if one.type == name)
    ]
    marks = _marks(record_now(lens.spec, record).marks)
    entries = [
        _entry(change, where, marks.get(undo_key(change.id)))
        for change, where in zip(changes, whereabouts(lens.spec, changes), strict=True)
    ]
    return HistoryResponse(record_id, name, entries)


async def _refused_history(
    tx: ReadTransaction, registry: Registry, sight: Sight, record_id: uuid.UUID
) -> HistoryResponse:
    """What the reader's refusals say of a record; the same whether there is such a record or not."""
    changes = [one for one in await tx.history(record_id) if one.outcome is Outcome.REFUSED and one.attention]
    refusals = await tx.records({one.attention for one in changes if one.attention})
    shown = {key: wire for key, refusal in refusals.items() if (wire := sight.show(refusal)) is not None}
    told = [
        _with_fields(one, _said(registry, one.type, _fields(shown[one.attention].fields)), _NOTHING)
        for one in changes
        if one.attention in shown
    ]
    if not told:
        raise SyncError("record_unknown", f"there is no record {record_id}")
    entries = [_entry(one, _said_where(registry, one), None) for one in told]
    return HistoryResponse(record_id, told[0].type, entries)


def _said_where(registry: Registry, change: LoggedChange) -> Where:
    return whereabouts(registry.get(change.type), [change])[0] if change.type in registry else Where()


def _with_fields(change: LoggedChange, fields: bytes, before: bytes) -> LoggedChange:
    return msgspec.structs.replace(change, fields=fields, before=before)


def _said(registry: Registry, kind: str, refusal: dict[str, Any]) -> bytes:
    said, version = refusal["refused"], refusal.get("type_version", 1)
    return msgspec.msgpack.encode(fields_now(registry.get(kind), said, version) if kind in registry else said)


def _entry(change: LoggedChange, where: Where, undone: Mark | None) -> HistoryEntry:
    return HistoryEntry(
        change=change.id,
        user=change.user,
        device=change.device,
        seq=change.seq,
        outcome=change.outcome,
        base=change.base,
        version=change.version,
        captured_ms=change.captured_ms,
        error_ms=change.error_ms,
        wall_ms=change.wall_ms,
        received_ms=change.received_ms,
        fields=msgspec.Raw(change.fields),
        before=msgspec.Raw(change.before),
        place=where.place,
        grid=where.grid,
        deletes=change.deletes,
        code=change.code,
        detail=change.detail,
        attention=change.attention,
        undone=undone.version if undone else None,
    )
