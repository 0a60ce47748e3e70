"""What the user sees: what the server said, with the device's own changes merged on top. Pure."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.access import Role
from field_schemas.policies import Policy
from field_schemas.record import RecordType
from sync.errors import Refused
from sync.merge import CREATION, Mark, Write, create, merge
from sync.messages import MAX_INTEGER, Change

_ANY_ROLE = frozenset(Role) - {Role.SYSTEM}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Visible(msgspec.Struct, frozen=True):
    """A record as the user sees it; `fields` is a MessagePack object."""

    fields: bytes
    deleted: bool = False


def apply(
    spec: RecordType[Any],
    fields: Mapping[str, Any] | None,
    patch: Mapping[str, Any],
    write: Write,
) -> dict[str, Any]:
    """`fields` (None: no record yet) after an own write of `patch`. Raises Refused as the server would."""
    if fields is None:
        return create(spec, patch, write).fields
    return merge(spec, fields, _marks(spec, fields, patch), patch, write).fields


def visible(
    spec: RecordType[Any], device: uuid.UUID, server: bytes | None, changes: Iterable[Change]
) -> Visible | None:
    """The record the server gave as `server` (None: none) with own `changes` replayed in order.

    None where nothing can be shown: own changes of a record whose content never arrived, and that do not hold all it
    must have. Where the record has moved
    on so that a field's change would be refused, what stands is shown; the server's verdict will say the same.
    """
    fields = None if server is None else _decode(server)
    deleted = False
    for change in changes:
        if change.delete:
            deleted = True
            continue
        patch = spec.upgraded(_decode(change.fields), change.type_version)
        if fields is not None or not change.base:
            fields = _replay(spec, fields, patch, change.stamp, device)
    if fields is None or (server is None and not spec.required <= fields.keys()):
        return None
    return Visible(_encode(fields), deleted)


def own_write(stamp: int, device: uuid.UUID, roles: frozenset[Role]) -> Write:
    """A write that has seen everything there is on this device."""
    return Write(stamp, str(device), MAX_INTEGER, MAX_INTEGER, roles)


def _replay(
    spec: RecordType[Any], fields: dict[str, Any] | None, patch: dict[str, Any], stamp: int, device: uuid.UUID
) -> dict[str, Any]:
    write = own_write(stamp, device, _ANY_ROLE)
    known = {name: operand for name, operand in patch.items() if name in spec.fields}
    try:
        return apply(spec, fields, known, write)
    except Refused:
        fields = fields or {}
    for name, operand in known.items():
        try:
            fields = apply(spec, fields, {name: operand}, write)
        except Refused:
            continue
    return fields


def _marks(spec: RecordType[Any], fields: Mapping[str, Any], patch: Iterable[str]) -> dict[str, Mark]:
    """Marks that say that everything there was seen: the server keeps the real ones to itself."""
    marks = {CREATION: Mark(0, 0, "")}
    for name in patch:
        value = fields.get(name)
        if value and spec.fields[name].policy is Policy.SET:
            marks[name] = Mark(0, 0, "", [[element, 0, ""] for element in value])
        elif value and spec.fields[name].policy is Policy.APPEND:
            marks[name] = Mark(0, 0, "", [[0, ""] for _ in value])
    return marks
