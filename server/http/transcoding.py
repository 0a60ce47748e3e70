"""Records of a pull for clients that read JSON: their fields are stored and sent on as MessagePack. Pure."""

import base64
from collections.abc import Iterable
from typing import Any

import msgspec

from sync.messages import Change, PullResponse, WireRecord

_unpack = msgspec.msgpack.Decoder().decode
_json = msgspec.json.Encoder().encode
_ABSENT = Change.__struct_defaults__[0]
_EMPTY_OBJECT = msgspec.Raw(b"{}")


def changes_from_json(changes: list[Change]) -> list[Change]:
    """Changes read from JSON; those that named no fields get an empty object in JSON."""
    return [
        msgspec.structs.replace(change, fields=_EMPTY_OBJECT) if change.fields is _ABSENT else change
        for change in changes
    ]


def page_for_json(page: PullResponse) -> PullResponse:
    """The page with the fields of its records in JSON."""
    return msgspec.structs.replace(page, records=list(_records_for_json(page.records)))


def _records_for_json(records: Iterable[WireRecord]) -> Iterable[WireRecord]:
    for record in records:
        if record.deleted:
            yield record
        else:
            yield msgspec.structs.replace(record, fields=msgspec.Raw(fields_to_json(record.fields)))


def fields_to_json(packed: msgspec.Raw) -> bytes:
    """An object in JSON instead of MessagePack."""
    fields = _unpack(packed)
    try:
        return _json(fields)
    except (TypeError, ValueError, OverflowError):
        return _json(_plain(fields))


def _plain(value: Any) -> Any:
    """What MessagePack can say and JSON cannot (extension types, keys that are lists), in the nearest JSON."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.msgpack.Ext):
        return base64.b64encode(bytes(value.data)).decode()
    return value
