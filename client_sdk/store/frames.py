"""Frames: bytes that can be found again in a damaged file, and proven whole.

A frame is a magic, the kind, the payload's length and CRC-32, then the payload. A row's frame that fits into one
database page lies there in one piece, so a scan of the raw file finds it even where SQLite cannot read the table.
"""

import mmap
import struct
import zlib
from collections.abc import Iterator

MAGIC = b"\xf7GWf"
CHANGE = b"c"
IDENTITY = b"i"
RECEIPT = b"r"

_HEAD = struct.Struct(">4scII")


class DamagedFrame(ValueError):
    """The bytes are not a whole frame."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """The payload as a frame of `kind` (one byte)."""
    return _HEAD.pack(MAGIC, kind, len(payload), zlib.crc32(kind + payload)) + payload


def unframe(kind: bytes, data: bytes) -> bytes:
    """The payload of a frame. Raises DamagedFrame when it is not a whole one of `kind`."""
    payload = _payload_at(data, 0, kind)
    if payload is None or len(payload) + _HEAD.size != len(data):
        raise DamagedFrame("a stored frame is damaged")
    return payload


def scan(data: bytes | mmap.mmap, kind: bytes) -> Iterator[bytes]:
    """The payloads of all whole frames of `kind`, wherever they stand in `data`, in order of position."""
    position = data.find(MAGIC + kind)
    while position >= 0:
        payload = _payload_at(data, position, kind)
        if payload is not None:
            yield payload
        position = data.find(MAGIC + kind, position + 1)


def _payload_at(data: bytes | mmap.mmap, position: int, kind: bytes) -> bytes | None:
    start = position + _HEAD.size
    if len(data) < start:
        return None
    magic, found, length, crc = _HEAD.unpack_from(data, position)
    if magic != MAGIC or found != kind or len(data) < start + length:
        return None
    payload = bytes(data[start : start + length])
    return payload if zlib.crc32(kind + payload) == crc else None
