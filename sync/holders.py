"""Whose work a part of a record holds, once every change that was taken back is left out with its undo. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.record import RecordType
from sync.draft import Draft
from sync.forms import change_now
from sync.merge import Mark
from sync.storage import LoggedChange

_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode
_NOT_ASKED = object()


class Slot(msgspec.Struct, frozen=True):
    """A part of a record that is taken back by itself: a `field` that holds a value, or one `element` of a set."""

    field: str
    element: Any = None

    def state(self, value: Any) -> Any:
        """What the slot holds where the field holds `value`: that, or whether the element is in it."""
        return value if self.element is None else self.element in (value or ())

    def asked(self, fields: Mapping[str, Any]) -> Any:
        """What a change's `fields` ask for here; something no slot holds where they do not."""
        if self.field not in fields:
            return _NOT_ASKED
        operand = fields[self.field]
        if self.element is None or operand is None:
            return operand
        if self.element in operand.get("add", ()):
            return True
        return False if self.element in operand.get("remove", ()) else _NOT_ASKED


class Step(msgspec.Struct, frozen=True):
    """A change of a record that was taken, as `version`: its `fields`, the values `before` of what it changed, the
    version of the change it takes back."""

    version: int
    fields: dict[str, Any]
    before: dict[str, Any]
    undone: int | None


def steps_of(spec: RecordType[Any], history: Iterable[LoggedChange], undos: Mapping[str, Mark]) -> list[Step]:
    """What was taken of a record's `history`, in the order in which it took effect; `undos` are the marks of undos by
    the undone change."""
    # Servers may decide in another order than they receive.
    decided = sorted((one for one in history if one.version), key=lambda one: one.version)
    taken = [change_now(spec, one) for one in decided if one.type == spec.name]
    undone = {undos[key].version: one.version for one in taken if (key := str(one.id)) in undos}
    return [Step(one.version, _fields(one.fields), _fields(one.before), undone.get(one.version)) for one in taken]


def holders(spec: RecordType[Any], draft: Draft, steps: list[Step], slot: Slot) -> dict[int, int]:
    """By each version of a record, the version of the change whose work the slot held then; 0 before all.

    A change's work is what it set and left so, be it what stood there before. An undo brings back the work that stood
    before the undone change.
    """
    left = _states(slot, draft.fields.get(slot.field, spec.defaults.get(slot.field)), steps)
    held: dict[int, int] = {}
    replaced: dict[int, int] = {}
    now = 0
    for step in steps:
        replaced[step.version] = now
        if step.undone is None:
            now = step.version if slot.asked(step.fields) == left[step.version] else now
        elif slot.field in step.before and slot.state(step.before[slot.field]) != left[step.version]:
            now = replaced[step.undone]
        held[step.version] = now
    return held


def _states(slot: Slot, standing: Any, steps: list[Step]) -> dict[int, Any]:
    """What the slot held after each version, told backwards from what is `standing`."""
    left = {}
    for step in reversed(steps):
        left[step.version] = slot.state(standing)
        standing = step.before.get(slot.field, standing)
    return left
