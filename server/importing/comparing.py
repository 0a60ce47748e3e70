"""What an import must change in a record that exists: only what the *source* changed since it was last read.

People edit imported records. A field where the source still says what it said last keeps their edit; where both
have moved on, the change is based on the version the source knew, so that the merge policies decide.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.policies import Policy
from field_schemas.record import RecordType
from sync.attention import base_values
from sync.authority import SERVER_USER
from sync.forms import change_now, record_now
from sync.merge import CREATION, Mark
from sync.messages import Outcome
from sync.storage import LoggedChange, StoredRecord

_fields = msgspec.msgpack.Decoder(dict[str, Any])
_marks = msgspec.msgpack.Decoder(dict[str, Mark])
_EMPTY = (None, "")


class Standing(msgspec.Struct):
    """A stored record: its fields with defaults, and who wrote them."""

    version: int
    owner: str | None
    fields: dict[str, Any]
    marks: dict[str, Mark]

    @classmethod
    def of(cls, spec: RecordType[Any], stored: StoredRecord) -> "Standing":
        """The record as it stands. Raises SyncError `server_behind`."""
        now = record_now(spec, stored)
        return cls(now.version, now.owner, spec.defaults | _fields.decode(now.fields), _marks.decode(now.marks))

    def is_as_imported(self) -> bool:
        """Whether nobody wrote it since the server created it."""
        created = self.marks[CREATION].version
        return self.owner == SERVER_USER and self.is_unchanged_since(created)

    def is_unchanged_since(self, base: int) -> bool:
        """Whether nobody wrote it after version `base`."""
        return all(mark.version <= base for mark in self.marks.values())


class Known(msgspec.Struct):
    """What the source knew of a record: the values it gave last, and the record's version then."""

    fields: Mapping[str, Any]
    version: int


def creation(spec: RecordType[Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The operands that create a record: all that is not the default anyway."""
    return {
        name: operand
        for name, operand in wanted.items()
        if name not in spec.defaults or _value_of(spec, name, operand) != spec.defaults[name]
    }


def difference(
    spec: RecordType[Any], wanted: Mapping[str, Any], standing: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """The operands that bring a record from `standing` to `wanted` where the source departs from `known`."""
    found: dict[str, Any] = {}
    for name, operand in wanted.items():
        old = standing.get(name)
        if same(_value_of(spec, name, operand), old):
            continue
        compare = _COMPARE.get(spec.fields[name].policy, _plain)
        step = compare(operand, old, known.get(name, msgspec.UNSET))
        if step is not msgspec.UNSET:
            found[name] = step
    return found


def known_to_source(
    spec: RecordType[Any], standing: Standing, history: Iterable[LoggedChange], base: int | None
) -> Known:
    """What the source gave last by the record's history, or saw at version `base`, whichever is later."""
    changes = sorted((change_now(spec, one) for one in history), key=lambda change: change.version)
    ours = [change for change in changes if change.user == SERVER_USER and change.outcome is not Outcome.REFUSED]
    fields: dict[str, Any] = {}
    if base is not None:
        fields = base_values(changes, standing.fields, base, standing.fields)
    elif ours and ours[0] is changes[0]:
        fields = dict(spec.defaults)
    for change in ours:
        if change.version > (base or 0):
            for name, operand in _fields.decode(change.fields).items():
                fields[name] = _given(spec, name, operand, fields.get(name))
    last = ours[-1].version if ours else 0
    return Known(fields, last if base is None else min(base, standing.version))


def same(left: Any, right: Any) -> bool:
    """Whether a file could tell the two values apart: it knows no empty text, nor blanks around a text."""
    if left == right or (left in _EMPTY and right in _EMPTY):
        return True
    return isinstance(left, str) and isinstance(right, str) and left.strip() == right.strip()


def _value_of(spec: RecordType[Any], name: str, operand: Any) -> Any:
    if spec.fields[name].policy is Policy.SET:
        return sorted(operand.get("add", ()))
    return operand


def _given(spec: RecordType[Any], name: str, operand: Any, before: Any) -> Any:
    policy = spec.fields[name].policy if name in spec.fields else Policy.LAST_WRITER
    if policy is Policy.SET:
        return sorted((set(before or ()) | set(operand.get("add", ()))) - set(operand.get("remove", ())))
    if policy is Policy.COUNTER:
        return (before or 0) + operand
    return operand


def _plain(operand: Any, _old: Any, known: Any) -> Any:
    return msgspec.UNSET if known is not msgspec.UNSET and same(operand, known) else operand


def _set(operand: Any, old: Any, known: Any) -> Any:
    wanted, stands = set(operand.get("add", ())), set(old or ())
    before = stands if known is msgspec.UNSET else set(known or ())
    step = {"add": sorted(wanted - stands - before), "remove": sorted((before - wanted) & stands)}
    return {name: elements for name, elements in step.items() if elements} or msgspec.UNSET


def _counter(operand: Any, old: Any, known: Any) -> Any:
    step: int = operand - ((old if known is msgspec.UNSET else known) or 0)
    return step or msgspec.UNSET


def _append(operand: Any, old: Any, _known: Any) -> Any:
    return [entry for entry in operand if entry not in (old or [])] or msgspec.UNSET


def _extreme(better: Callable[[Any, Any], bool]) -> Callable[[Any, Any, Any], Any]:
    def compare(operand: Any, old: Any, _known: Any) -> Any:
        return operand if operand is not None and (old is None or better(operand, old)) else msgspec.UNSET

    return compare


_COMPARE: Mapping[Policy, Callable[[Any, Any, Any], Any]] = {
    Policy.SET: _set,
    Policy.COUNTER: _counter,
    Policy.APPEND: _append,
    Policy.MAXIMUM: _extreme(lambda new, old: new > old),
    Policy.MINIMUM: _extreme(lambda new, old: new < old),
}
