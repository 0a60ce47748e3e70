"""Merging a change into a record, field by field, by the declared policies. Pure functions.

The server decides in the order changes arrive; the policies are such that, where they promise it, the order does
not matter. A write is *concurrent* with a field's last write when its author had not seen that write: the field
changed after the version the author based the write on, and on another device.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.access import Role
from field_schemas.policies import Policy
from field_schemas.record import Field, RecordType
from sync.errors import Refused
from sync.messages import MAX_INTEGER

CREATION = ""
"""The key of the mark that a record's creation leaves for all fields set then."""


class Mark(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """Who wrote a field last: the record's version then, the stamp, the device.

    `parts` is what a policy must know beyond that: for `set` the [element, version, device] of each add that no
    remove knew of (several of an element where their authors knew nothing of each other), for `append` the [stamp,
    device, version] of each entry.
    """

    version: int
    stamp: int
    device: str
    parts: list[list[Any]] = []


class Write(msgspec.Struct, frozen=True, gc=False):
    """The write being merged: its order, what its author had seen, by which roles, and the version it makes.

    `later` are versions made by what was written after it: it was refused once, and may come after its device's later
    work.
    """

    stamp: int
    device: str
    base: int
    version: int
    roles: frozenset[Role]
    later: frozenset[int] = frozenset()

    def concurrent_with(self, mark: Mark | None) -> bool:
        """Whether the author had not seen the write that left `mark`."""
        return mark is not None and not self.knows(mark.version, mark.device)

    def knows(self, version: int, device: str) -> bool:
        """Whether the author knew what `device` wrote as `version`."""
        return version <= self.base or (device == self.device and version not in self.later)

    def beats(self, mark: Mark) -> bool:
        """Whether this write is the later one: by stamp, ties by device."""
        return (self.stamp, self.device) > (mark.stamp, mark.device)

    def mark(self, parts: list[list[Any]] | None = None) -> Mark:
        """The mark this write leaves on a field."""
        return Mark(self.version, self.stamp, self.device, parts or [])


class FieldMerge(msgspec.Struct, frozen=True, gc=False):
    """A field after a write. `combined`: a concurrent write took part; `disputed`: a person must decide."""

    value: Any
    mark: Mark | None
    combined: bool = False
    disputed: bool = False


class Merged(msgspec.Struct, gc=False):
    """A record's fields after a change; `before` holds the old values of the fields that really changed."""

    fields: dict[str, Any]
    marks: dict[str, Mark]
    before: dict[str, Any]
    combined: bool
    disputed: list[str]


def merge(
    spec: RecordType[Any],
    fields: Mapping[str, Any],
    marks: Mapping[str, Mark],
    patch: Mapping[str, Any],
    write: Write,
) -> Merged:
    """Merge `patch` (field to operand, validated) into a record of type `spec` with these `fields`.

    The mark under CREATION, which every record has, stands for every field that has none of its own.
    All inputs stay untouched. Raises Refused when a policy does not allow the write; then nothing of it applies.
    """
    creation = marks[CREATION]
    result = Merged(dict(fields), dict(marks), {}, False, [])
    for name, operand in patch.items():
        declared = spec.fields[name]
        mark = marks.get(name) or (creation if name in fields else None)
        old = fields.get(name, spec.defaults.get(name))
        merged = _MERGE[declared.policy](declared, name, old, mark, operand, write)
        result.combined |= merged.combined
        if merged.disputed:
            result.disputed.append(name)
        if merged.mark is not None:
            result.marks[name] = merged.mark
        if merged.value != old:
            result.before[name] = old
            result.fields[name] = merged.value
    return result


def create(spec: RecordType[Any], patch: Mapping[str, Any], write: Write) -> Merged:
    """The record of type `spec` that a creation with `patch` (field to operand, validated) makes.

    Raises Refused when a policy does not allow the write.
    """
    fields = {name: operand for name, operand in patch.items() if operand is not None}
    marks: dict[str, Mark] = {}
    for name in spec.composed_fields & fields.keys():
        declared = spec.fields[name]
        if fields[name] == spec.initial_states.get(name):
            # A state to begin in is open to whoever may create the record.
            continue
        merged = _MERGE[declared.policy](declared, name, None, None, fields[name], write)
        fields[name] = merged.value
        if merged.mark is not None and merged.mark.parts:
            marks[name] = merged.mark
    marks[CREATION] = write.mark()
    return Merged(fields, marks, {}, False, [])


def _last_writer(_field: Field, _name: str, old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    concurrent = write.concurrent_with(mark)
    if concurrent and mark is not None and not write.beats(mark):
        return FieldMerge(old, None, combined=operand != old)
    return FieldMerge(operand, write.mark(), combined=concurrent and operand != old)


def _first_writer(_field: Field, name: str, old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    if old is None or mark is None:
        return FieldMerge(operand, write.mark())
    if not write.concurrent_with(mark):
        if operand != old:
            raise Refused("already_set", f"`{name}` has a value")
        return FieldMerge(old, None)
    if write.beats(mark):
        return FieldMerge(old, None, combined=operand != old)
    return FieldMerge(operand, write.mark(), combined=operand != old)


def _server_only(_field: Field, name: str, _old: Any, _mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    if Role.SYSTEM not in write.roles:
        raise Refused("field_server_only", f"`{name}` is filled by the server")
    return FieldMerge(operand, write.mark())


def _counter(_field: Field, name: str, old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    total = (old or 0) + operand
    if abs(total) > MAX_INTEGER:
        raise Refused("value_invalid", f"`{name}` would pass {MAX_INTEGER}")
    return FieldMerge(total, write.mark(), combined=write.concurrent_with(mark))


def _set(_field: Field, _name: str, _old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    held: dict[Any, list[list[Any]]] = {}
    for part in mark.parts if mark else ():
        held.setdefault(part[0], []).append(part)
    kept_back = False
    for element in operand.get("remove", ()):
        held[element] = _unknown_adds(held.get(element), write)
        kept_back |= bool(held[element])
    for element in operand.get("add", ()):
        held[element] = [*_unknown_adds(held.get(element), write), [element, write.version, write.device]]
    elements = sorted(element for element, adds in held.items() if adds)
    parts = [part for element in elements for part in held[element]]
    return FieldMerge(elements, write.mark(parts), combined=kept_back or write.concurrent_with(mark))


def _unknown_adds(adds: list[list[Any]] | None, write: Write) -> list[list[Any]]:
    return [part for part in adds or () if not write.knows(part[1], part[2])]


def _append(_field: Field, _name: str, old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    parts = mark.parts if mark else []
    rows = list(zip(parts, old or [], strict=True))
    rows += [([write.stamp, write.device, write.version], entry) for entry in operand]
    rows.sort(key=lambda row: row[0][:2])
    entries = [entry for _, entry in rows]
    return FieldMerge(entries, write.mark([part for part, _ in rows]), combined=write.concurrent_with(mark))


def _extreme(better: Callable[[Any, Any], bool]) -> Callable[..., FieldMerge]:
    def merge_extreme(
        _field: Field, _name: str, old: Any, mark: Mark | None, operand: Any, write: Write
    ) -> FieldMerge:
        combined = write.concurrent_with(mark) and operand != old
        if operand is not None and (old is None or better(operand, old)):
            return FieldMerge(operand, write.mark(), combined=combined)
        return FieldMerge(old, None, combined=combined)

    return merge_extreme


def _workflow(field: Field, name: str, old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    concurrent = write.concurrent_with(mark)
    if operand == old:
        return FieldMerge(old, None, combined=concurrent)
    table = field.workflow
    if table is None or not table.allows(old, operand, write.roles):
        steps = ", ".join(table.steps_from(old)) if table and old else ""
        raise Refused("transition_illegal", f"`{name}`: {old or 'new'} -> {operand}; possible: {steps or 'nothing'}")
    return FieldMerge(operand, write.mark(), combined=concurrent)


def _review(_field: Field, _name: str, old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
    if operand == old:
        return FieldMerge(old, None)
    if write.concurrent_with(mark):
        return FieldMerge(old, None, disputed=True)
    return FieldMerge(operand, write.mark())


_MERGE: Mapping[Policy, Callable[[Field, str, Any, Mark | None, Any, Write], FieldMerge]] = {
    Policy.LAST_WRITER: _last_writer,
    Policy.FIRST_WRITER: _first_writer,
    Policy.SERVER_ONLY: _server_only,
    Policy.COUNTER: _counter,
    Policy.SET: _set,
    Policy.APPEND: _append,
    Policy.MAXIMUM: _extreme(lambda new, old: new > old),
    Policy.MINIMUM: _extreme(lambda new, old: new < old),
    Policy.WORKFLOW: _workflow,
    Policy.REVIEW: _review,
}


def denied_fields(declared: Mapping[str, Field], patch: Iterable[str], roles: frozenset[Role]) -> list[str]:
    """The fields of `patch` that none of `roles` may write."""
    if Role.SYSTEM in roles:
        return []
    return [name for name in patch if (only := declared[name].write) is not None and not only & roles]
