"""What MessagePack holds, as JSON. Pure."""

import base64
from typing import Any

import msgspec

_json = msgspec.json.Encoder().encode


def to_json(value: Any) -> bytes:
    """JSON of a value that was decoded from MessagePack, whatever a device put there."""
    try:
        return _json(value)
    except (TypeError, ValueError, OverflowError):
        return _json(_plain(value))


def _plain(value: Any) -> Any:
    """What MessagePack can say and JSON cannot (extension types, keys that are lists), in the nearest JSON."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.msgpack.Ext):
        return base64.b64encode(bytes(value.data)).decode()
    return value
