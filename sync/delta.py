"""Deltas: what has changed of a record, for a reader who holds an earlier version of it. Pure.

Each field's mark says at which version it was last written, so the fields written since some version are known, and
`since`, the version from which on a copy has all the others. A delta fits a copy of that version or a later one;
a reader whose copy is older, or who has none, fetches the record whole. So a wrong guess of what a reader holds costs
a request, never a wrong copy.
"""

from typing import Any

import msgspec

from field_schemas.policies import Policy
from field_schemas.record import RecordType
from sync.merge import CREATION, Mark
from sync.messages import WireRecord
from sync.storage import StoredRecord

_encode = msgspec.msgpack.Encoder().encode
_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode
_marks = msgspec.msgpack.Decoder(dict[str, Mark]).decode


def delta(spec: RecordType[Any], record: StoredRecord, held: int) -> WireRecord | None:
    """What was written of a living record after version `held`; None where that is the record whole.

    Types with fields that not everyone may read have no deltas: what a copy lacks may depend on the roles it was
    made for.
    """
    marks = _marks(record.marks)
    if spec.limited_fields or marks[CREATION].version > held:
        return None
    fields = _fields(record.fields)
    changed = {name: mark for name, mark in marks.items() if mark.version > held}
    # A record that has moved is new to whoever it has moved to.
    if not changed.keys() <= fields.keys() or not spec.scope_fields.isdisjoint(changed):
        return None
    since = max(mark.version for mark in marks.values() if mark.version <= held)
    values: dict[str, Any] = {}
    kept: dict[str, int] = {}
    for name, mark in changed.items():
        values[name] = fields[name]
        declared = spec.fields.get(name)
        # A field of a newer program, which this one does not know, goes as it is.
        if declared and declared.policy is Policy.APPEND and (before := _known(mark, held)):
            values[name] = fields[name][len(before) :]
            kept[name] = len(before)
            since = max(since, *before)
    packed = msgspec.Raw(_encode(values))
    return WireRecord(record.id, record.type, record.version, packed, record.owner, since=since, kept=kept)


def applied(fields: bytes, change: WireRecord) -> bytes:
    """A copy's MessagePack `fields`, brought up to date by a delta that fits it (`fits`)."""
    held, values = _fields(fields), _fields(change.fields)
    for name, count in change.kept.items():
        values[name] = held[name][:count] + values[name]
    return _encode(held | values)


def fits(fields: bytes, version: int, change: WireRecord) -> bool:
    """Whether a delta can be applied to a copy of this version."""
    if version < change.since:
        return False
    held = _fields(fields) if change.kept else {}
    return all(len(held.get(name) or ()) >= count for name, count in change.kept.items())


def _known(mark: Mark, held: int) -> list[int]:
    """The versions of the first entries of an `append` field, up to the first that came after version `held`."""
    versions: list[int] = []
    for part in mark.parts:
        if len(part) < 3 or part[2] > held:
            break
        versions.append(part[2])
    return versions
