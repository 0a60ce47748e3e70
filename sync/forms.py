"""What is stored, or sent, in an older form of its type, in the form that the type has now.

What is stored is never rewritten for the sake of a new version: whoever reads it asks here. Where the forms are equal
callers do not even do that.
"""

from typing import Any

import msgspec

from field_schemas.policies import Policy
from field_schemas.record import FieldError, RecordType
from sync.errors import Refused, SyncError
from sync.merge import Mark
from sync.messages import Change
from sync.storage import LoggedChange, StoredRecord

_encode = msgspec.msgpack.Encoder().encode
_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode
_json_fields = msgspec.json.Decoder(dict[str, Any]).decode
_marks = msgspec.msgpack.Decoder(dict[str, Mark]).decode
_NOTHING = _encode({})
DEEPEST = 64
"""Levels of lists and objects in a refused change that are kept as such."""


def record_now(spec: RecordType[Any], stored: StoredRecord) -> StoredRecord:
    """The record with fields and marks as `spec` has them.

    Raises SyncError `server_behind` where a newer program wrote it: only that one knows what its fields mean.
    """
    if stored.type_version == spec.form:
        return stored
    if stored.type_version > spec.version:
        raise behind(spec, stored.type_version)
    fields = spec.upgraded(_fields(stored.fields), stored.type_version)
    marks = spec.renamed(_marks(stored.marks), stored.type_version)
    for name, mark in marks.items():
        if mark.parts and name in spec.fields and spec.fields[name].policy is Policy.SET:
            marks[name] = msgspec.structs.replace(mark, parts=_elements_now(mark.parts, fields[name]))
            fields[name] = sorted(fields[name])
    return msgspec.structs.replace(stored, fields=_encode(fields), marks=_encode(marks), type_version=spec.form)


def change_now(spec: RecordType[Any], change: LoggedChange) -> LoggedChange:
    """A logged change of a record of type `spec`, with its fields as `spec` has them.

    What a newer program wrote shows no fields, because none of them may be for everybody.
    """
    if change.type_version == spec.form:
        return change
    if change.type_version > spec.version:
        return msgspec.structs.replace(change, fields=_NOTHING, before=_NOTHING)
    fields = fields_now(spec, _fields(change.fields), change.type_version)
    before = fields_now(spec, _fields(change.before), change.type_version)
    return msgspec.structs.replace(change, fields=_encode(fields), before=_encode(before), type_version=spec.form)


def fields_now(spec: RecordType[Any], fields: dict[str, Any], version: int) -> dict[str, Any]:
    """What a change said of fields as the type was at `version`; as it was said where it had no meaning then."""
    try:
        return spec.upgraded(fields, version)
    except FieldError:
        return fields


def patch_now(spec: RecordType[Any], change: Change, *, as_json: bool) -> bytes | memoryview:
    """The fields of a change as its author sent them, in the form of now. Raises Refused where they cannot be."""
    if change.type_version >= spec.form:
        return change.fields
    given = _fields(any_fields(change.fields, as_json=as_json))
    try:
        fields = spec.upgraded(given, change.type_version)
        return msgspec.json.encode(fields) if as_json else _encode(fields)
    except Exception as error:
        # A step sees values before anything has checked them: whatever it trips over is wrong in the change.
        raise Refused("value_invalid", f"no {spec.name} of version {change.type_version}: {error!r}") from error


def any_fields(raw: bytes | memoryview, *, as_json: bool) -> bytes:
    """The fields of a change as a MessagePack object, whatever they are, for the log of a change that is refused.

    Those who read it should not trip over it: what cannot be read, or is nested more than DEEPEST levels, is kept
    as it came, as the bytes of `unreadable`.
    """
    try:
        fields = (_json_fields if as_json else _fields)(raw)
        if not _is_deeper(fields, DEEPEST):
            return _encode(fields)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        pass
    return _encode({"unreadable": bytes(raw)})


def behind(spec: RecordType[Any], version: int) -> SyncError:
    """What a server answers that knows a type at an older version than is asked of it."""
    return SyncError("server_behind", f"{spec.name} is needed at version {version} and known up to {spec.version}")


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _elements_now(parts: list[list[Any]], elements: list[Any]) -> list[list[Any]]:
    now = dict(zip(dict.fromkeys(part[0] for part in parts), elements, strict=True))
    return sorted([now[part[0]], *part[1:]] for part in parts)
