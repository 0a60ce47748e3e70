"""The history of a record as a person reads it: who changed which field where, from what to what. Pure."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.places import Position
from field_schemas.record import RecordType
from sync.messages import Outcome
from sync.storage import LoggedChange, StoredRecord
from sync.whereabouts import Where, whereabouts

_unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode


class FieldChange(msgspec.Struct, frozen=True):
    """One field a change names: the value before it and after. Where not `applied`, `new` was wished for in vain."""

    field: str
    old: Any
    new: Any
    applied: bool


class Step(msgspec.Struct, frozen=True):
    """One change with its verdict. `captured_ms` is the estimated true time, wrong by `error_ms` at most; the
    device's own clock said `wall_ms`. `place` and `grid` are where the record was by it (sync.whereabouts)."""

    change: uuid.UUID
    user: str
    device: uuid.UUID
    seq: int
    captured_ms: int
    error_ms: int | None
    wall_ms: int | None
    received_ms: int
    outcome: Outcome
    code: str | None
    detail: str | None
    version: int
    deletes: bool
    fields: list[FieldChange]
    place: Position | None = None
    grid: str | None = None


def steps_of(
    changes: Iterable[LoggedChange], record: StoredRecord | None, spec: RecordType[Any] | None = None
) -> list[Step]:
    """The steps that `changes`, in order of receipt, made of `record` (None: every change was refused) of type `spec`
    (None: this program does not know it).

    What a field became is what the next change that wrote it found there, or what stands now.
    """
    received = list(changes)
    written = sorted((change for change in received if change.version), key=lambda change: change.version)
    found: dict[uuid.UUID, list[FieldChange]] = {}
    values = _unpack(record.fields) if record else {}
    for change in reversed(written):
        found[change.id] = _written(change, values, first=change is written[0])
    places = whereabouts(spec, received) if spec else [Where()] * len(received)
    return [_step(change, found.get(change.id), where) for change, where in zip(received, places, strict=True)]


def _written(change: LoggedChange, after: dict[str, Any], *, first: bool) -> list[FieldChange]:
    """What a change did, given the values `after` it, which become those before it."""
    wished, before = _unpack(change.fields), _unpack(change.before)
    effective = wished.keys() if first else before.keys()
    rows = []
    for name in sorted(wished.keys() | before.keys(), key=_order(wished)):
        applied = name in effective
        new = after.get(name, wished.get(name)) if applied else wished[name]
        rows.append(FieldChange(name, before.get(name) if applied else after.get(name), new, applied))
        if applied:
            after[name] = before.get(name)
    return rows


def _order(wished: Mapping[str, Any]) -> Any:
    places = {name: place for place, name in enumerate(wished)}
    return lambda name: (places.get(name, len(places)), name)


def _step(change: LoggedChange, fields: list[FieldChange] | None, where: Where) -> Step:
    if fields is None:
        fields = [FieldChange(name, None, value, False) for name, value in _unpack(change.fields).items()]
    return Step(
        change=change.id,
        user=change.user,
        device=change.device,
        seq=change.seq,
        captured_ms=change.captured_ms,
        error_ms=change.error_ms,
        wall_ms=change.wall_ms,
        received_ms=change.received_ms,
        outcome=change.outcome,
        code=change.code,
        detail=change.detail,
        version=change.version,
        deletes=change.deletes,
        fields=fields,
        place=where.place,
        grid=where.grid,
    )
