"""A corrected change that takes the place of a refused one. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from field_schemas.record import RecordType
from sync.draft import Draft
from sync.merge import Merged, Write, merge
from sync.storage import LoggedChange

_pack = msgspec.msgpack.Encoder().encode
_object = msgspec.msgpack.Decoder(dict[str, Any]).decode


def completed(spec: RecordType[Any], refused: LoggedChange, patch: dict[str, Any]) -> dict[str, Any]:
    """The patch of a correction with what the `refused` change set of fields not everyone may read.

    The refusal does not show them, so who corrects it elsewhere cannot send them. Raises FieldError.
    """
    unseen = _object(refused.fields)
    unseen = {name: unseen[name] for name in spec.limited_fields & unseen.keys() - patch.keys()}
    if not unseen:
        return patch
    filled_in: dict[str, Any] = _object(spec.canonical_patch(_pack(unseen), as_json=False))
    return filled_in | patch


def merge_corrected(
    spec: RecordType[Any],
    draft: Draft,
    refused: LoggedChange,
    patch: Mapping[str, Any],
    write: Write,
    later: frozenset[int],
) -> Merged:
    """Merge what takes the place of a `refused` change: only what the correction set anew has seen what stands now.

    `later` are the versions made by what was written after the refused change. With what a newer program sent nothing
    can be compared: none of it counts as set anew. Raises Refused when a policy does not allow the write.
    """
    set_then = _object(refused.fields)
    unreadable = refused.type_version > spec.version
    kept = {name: operand for name, operand in patch.items() if unreadable or set_then.get(name, ...) == operand}
    anew = {name: operand for name, operand in patch.items() if name not in kept}
    then = msgspec.structs.replace(write, base=min(refused.base, write.base), later=later)
    first = merge(spec, draft.fields, draft.marks, kept, then)
    second = merge(spec, first.fields, first.marks, anew, write)
    second.before = first.before | second.before
    second.combined |= first.combined
    second.disputed = first.disputed + second.disputed
    return second
