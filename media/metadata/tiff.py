"""The TIFF structure that EXIF is written in (TIFF 6.0, EXIF 2.32), read with bounds on everything.

Own code, because what the field's library does with hostile bytes will not do (docs/decisions/0009).
"""

import struct
from collections.abc import Mapping

import msgspec

MAX_ENTRIES = 512
"""Entries looked at in one directory; cameras write below 100."""
MAX_VALUE_BYTES = 4_096
"""Longer values (maker notes, embedded profiles) are known by their presence only."""
MAX_THUMBNAIL_BYTES = 256 * 1024
MAX_TEXT = 200

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
_THUMBNAIL_AT, _THUMBNAIL_LENGTH = 0x0201, 0x0202

Numbers = tuple[float | None, ...]
"""None stands for a rational with a zero below the line."""
Value = str | bytes | Numbers

# Type of a field: its width in bytes, and the struct code of its numbers.
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_CODES = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
_ASCII, _UNDEFINED, _RATIONALS = 2, 7, (5, 10)


class Tags(msgspec.Struct, frozen=True):
    """Values by tag number, for each directory. `damaged`: something in it could not be read."""

    image: Mapping[int, Value] = {}
    exif: Mapping[int, Value] = {}
    gps: Mapping[int, Value] = {}
    thumbnail: bytes | None = None
    damaged: bool = False


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4], "")
        self.damaged = not self.order

    def number(self, at: int, code: str) -> int:
        """An unsigned number of struct `code`, 0 and damaged where there is none."""
        try:
            (value,) = struct.unpack_from(self.order + code, self.data, at)
        except struct.error:
            self.damaged = True
            return 0
        return int(value)

    def directory(self, at: int) -> tuple[dict[int, Value], int]:
        """The values of the directory at offset `at`, and the offset of the next (0: none)."""
        if at < 8 or self.damaged:
            self.damaged = self.damaged or at != 0
            return {}, 0
        count = self.number(at, "H")
        if count > MAX_ENTRIES:
            self.damaged = True
            return {}, 0
        values: dict[int, Value] = {}
        for entry in range(at + 2, at + 2 + count * 12, 12):
            self._read_entry(entry, values)
        end = at + 2 + count * 12
        return values, self.number(end, "I") if end + 4 <= len(self.data) else 0

    def _read_entry(self, at: int, values: dict[int, Value]) -> None:
        tag, kind, count = self.number(at, "H"), self.number(at + 2, "H"), self.number(at + 4, "I")
        if kind not in _WIDTHS or tag in values:
            return
        size = _WIDTHS[kind] * count
        start = at + 8 if size <= 4 else self.number(at + 8, "I")
        if start + size > len(self.data):
            self.damaged = True
        elif size > MAX_VALUE_BYTES:
            values[tag] = b""
        else:
            values[tag] = self._value(kind, count, self.data[start : start + size])

    def _value(self, kind: int, count: int, raw: bytes) -> Value:
        if kind == _ASCII:
            return text(raw)
        if kind == _UNDEFINED:
            return raw
        code = _CODES[kind]
        numbers = struct.unpack(f"{self.order}{count * len(code)}{code[0]}", raw)
        if kind not in _RATIONALS:
            return numbers
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return tuple(above / below if below else None for above, below in pairs)


def read_tags(data: bytes) -> Tags:
    """The tags of a TIFF structure; never raises, whatever `data` holds."""
    reader = _Reader(data)
    image, following = reader.directory(reader.number(4, "I"))
    exif, _ = reader.directory(_offset(image.get(EXIF_IFD)))
    gps, _ = reader.directory(_offset(image.get(GPS_IFD)))
    second, _ = reader.directory(following)
    at, length = _offset(second.get(_THUMBNAIL_AT)), _offset(second.get(_THUMBNAIL_LENGTH))
    thumbnail = data[at : at + length] if at and 0 < length <= MAX_THUMBNAIL_BYTES else None
    return Tags(image, exif, gps, thumbnail, reader.damaged)


def text(raw: bytes) -> str:
    """Bytes as printable text of at most MAX_TEXT characters, up to the first NUL: UTF-8, else Latin-1."""
    raw = raw.split(b"\0", 1)[0]
    try:
        words = raw.decode()
    except UnicodeDecodeError:
        words = raw.decode("latin-1")
    return "".join(char for char in words if char.isprintable()).strip()[:MAX_TEXT]


def _offset(value: Value | None) -> int:
    if isinstance(value, tuple) and value and isinstance(value[0], int):
        return value[0]
    return 0
