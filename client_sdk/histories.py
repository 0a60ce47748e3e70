"""The history of a record in the user's words, and how one of its changes is taken back. Pure."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from field_schemas.codes import CODES
from field_schemas.labels import Label
from field_schemas.places import Position
from field_schemas.policies import Policy
from field_schemas.record import Record, RecordType
from field_schemas.registry import Registry
from sync.messages import HistoryEntry, HistoryResponse, Outcome
from sync.undo import SETTABLE, undo_patch

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class FieldChange(msgspec.Struct, frozen=True):
    """What a change asked of one field, typed as the field is declared.

    `operand` is a value, for counters the difference, for append fields the entries, for sets a `SetOperand`.
    `before` is the old value where the change made a difference (`changed`).
    """

    field: str
    label: Label
    operand: Any
    changed: bool
    before: Any = None


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a record with its verdict.

    `at_ms` is when it was made, true UTC time, wrong by `error_ms` at most (None: no bound is known); the device's
    own clock said `wall_ms`, and the server received it at `received_ms`. `reason` says why it was not simply
    applied. `patch` and `before` are plain values. `undone` is the record's version that took it back, where one did.
    `place` and `grid` (a code or prefix) are where the change left the record; of a refused one, where it says, or
    where the record was when its author saw it.
    """

    change: uuid.UUID
    record: uuid.UUID
    type: str
    user: str
    device: uuid.UUID
    at_ms: int
    error_ms: int | None
    wall_ms: int | None
    received_ms: int
    outcome: Outcome
    code: str | None
    reason: Label | None
    detail: str | None
    attention: uuid.UUID | None
    base: int
    version: int
    deletes: bool
    fields: tuple[FieldChange, ...]
    patch: dict[str, Any]
    before: dict[str, Any]
    undone: int | None = None
    place: Position | None = None
    grid: str | None = None


class UndoResult(msgspec.Struct, frozen=True):
    """The record after an undo, and the fields of the change that cannot be taken back."""

    record: Record
    kept: list[str]


def items_of(registry: Registry, response: HistoryResponse) -> list[HistoryItem]:
    """The history as it is shown, oldest change first."""
    spec = registry.get(response.type) if response.type in registry else None
    return [_item(spec, response, entry) for entry in response.entries]


def undone(
    spec: RecordType[Any], item: HistoryItem, standing: Mapping[str, Any], version: int
) -> tuple[dict[str, Any], list[str]]:
    """The patch that takes `item` back in a record whose fields are `standing`, and the fields that stay.

    A copy of an older `version` than the item made cannot tell which fields hold later work: the server does.
    """
    known = {name: value for name, value in item.before.items() if name in spec.fields}
    patch, _ = undo_patch(spec, item.patch, known)
    for name in list(patch):
        if spec.fields[name].policy is Policy.WORKFLOW and not _can_go_back(spec, name, standing, patch[name]):
            del patch[name]
    for name in _later(spec, item, standing, patch) if version >= item.version else ():
        del patch[name]
    taken_back = {name: operand for name, operand in patch.items() if _does(operand)}
    return taken_back, sorted(item.patch.keys() - taken_back.keys())


def _item(spec: RecordType[Any] | None, response: HistoryResponse, entry: HistoryEntry) -> HistoryItem:
    patch, before = _decode(entry.fields), _decode(entry.before)
    code = CODES.get(entry.code or "")
    return HistoryItem(
        change=entry.change,
        record=response.record,
        type=response.type,
        user=entry.user,
        device=entry.device,
        at_ms=entry.captured_ms,
        error_ms=entry.error_ms,
        wall_ms=entry.wall_ms,
        received_ms=entry.received_ms,
        outcome=entry.outcome,
        code=entry.code,
        reason=code.title if code else None,
        detail=entry.detail,
        attention=entry.attention,
        base=entry.base,
        version=entry.version,
        deletes=entry.deletes,
        fields=tuple(_field(spec, name, operand, before) for name, operand in patch.items()),
        patch=patch,
        before=before,
        undone=entry.undone,
        place=entry.place,
        grid=entry.grid,
    )


def _field(spec: RecordType[Any] | None, name: str, operand: Any, before: Mapping[str, Any]) -> FieldChange:
    changed = name in before
    if spec is None or name not in spec.fields:
        return FieldChange(name, Label(name, name), operand, changed, before.get(name))
    label = spec.fields[name].label
    old = _typed(spec.cls, name, before[name]) if changed else None
    return FieldChange(name, label, _typed(spec.patch_type, name, operand), changed, old)


def _typed(struct: type[msgspec.Struct], name: str, value: Any) -> Any:
    kind = next(info.type for info in msgspec.structs.fields(struct) if info.name == name)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        # Another version of the type had it otherwise: shown as it is.
        return value


def _can_go_back(spec: RecordType[Any], name: str, standing: Mapping[str, Any], state: str) -> bool:
    table = spec.fields[name].workflow
    now = standing.get(name, spec.defaults.get(name))
    return table is not None and state in table.steps_from(now)


def _later(
    spec: RecordType[Any], item: HistoryItem, standing: Mapping[str, Any], patch: Mapping[str, Any]
) -> list[str]:
    """The settable fields of an undo that hold something else by now than the item set."""
    settable = [name for name in patch if spec.fields[name].policy in SETTABLE]
    return [name for name in settable if standing.get(name, spec.defaults.get(name)) != item.patch.get(name)]


def _does(operand: Any) -> bool:
    return not isinstance(operand, dict) or operand.keys() != {"add", "remove"} or any(operand.values())
