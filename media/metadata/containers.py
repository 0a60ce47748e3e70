"""Where a file keeps its EXIF, how large its picture is, and where it ends: JPEG, PNG, WebP; HEIC is next door."""

import re
from collections.abc import Callable

import msgspec

from field_schemas.media import MediaType
from media.metadata.boxes import boxes, number
from media.metadata.heic import Item, read_items
from media.metadata.source import Source, search

MAX_METADATA_BYTES = 1024 * 1024
"""EXIF or XMP beyond this is not looked at."""
_MAX_PARTS = 100_000
_PNG = b"\x89PNG\r\n\x1a\n"
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"

# A marker with a length, inside or after entropy-coded data: FF00 is a stuffed byte, FFD0 to FFD7 are restarts,
# FFFF is fill, and FF01 stands alone.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END, _APP1 = 0xDA, 0xD9, 0xE1


class Container(msgspec.Struct):
    """A picture file's parts: EXIF as TIFF, XMP, size in pixels, and the offset at which the picture ends.

    `scans`: how often a JPEG goes over its pixels.
    """

    tiff: bytes | None = None
    xmp: bytes | None = None
    width: int = 0
    height: int = 0
    scans: int = 0
    end: int | None = None
    damaged: bool = False


def read_container(data: Source, media_type: MediaType) -> Container:
    """The parts of a picture file; never raises, whatever it holds. KeyError for what is no picture."""
    return _READERS[media_type](data)


def is_picture(media_type: MediaType) -> bool:
    """Whether it is a still picture."""
    return media_type in _READERS


def _jpeg(data: Source) -> Container:
    found = Container(damaged=True)
    at = 2
    for _ in range(_MAX_PARTS):
        marker = search(_MARKER, data, at)
        if marker is None:
            return found
        kind, at = marker.found[-1], marker.end
        if kind == _END:
            found.end, found.damaged = at, found.width == 0
            return found
        length = number(data, at, 2)
        if kind == _APP1:
            _take_app1(found, data, at + 2, at + length)
        elif kind == _SCAN:
            found.scans += 1
        elif kind in _FRAMES and found.width == 0:
            found.height, found.width = number(data, at + 3, 2), number(data, at + 5, 2)
        at += max(length, 2)
    return found


def _take_app1(found: Container, data: Source, start: int, end: int) -> None:
    if found.tiff is None and data[start : start + len(_EXIF)] == _EXIF:
        found.tiff = data[start + len(_EXIF) : end]
    elif found.xmp is None and data[start : start + len(_XMP)] == _XMP:
        found.xmp = data[start + len(_XMP) : end]


def _png(data: Source) -> Container:
    found = Container(damaged=True)
    at = len(_PNG)
    for _ in range(_MAX_PARTS):
        length, kind = number(data, at, 4), data[at + 4 : at + 8]
        start, at = at + 8, at + 12 + length
        if at > len(data) or len(kind) < 4:
            return found
        if kind == b"IHDR":
            found.width, found.height = number(data, start, 4), number(data, start + 4, 4)
        elif kind == b"eXIf" and length <= MAX_METADATA_BYTES:
            found.tiff = data[start : start + length].removeprefix(_EXIF)
        elif kind == b"iTXt" and length <= MAX_METADATA_BYTES and data[start : start + 18] == b"XML:com.adobe.xmp\0":
            found.xmp = data[start + 18 : start + length]
        elif kind == b"IEND":
            found.end, found.damaged = at, found.width == 0
            return found
    return found


def _webp(data: Source) -> Container:
    stated = 8 + int.from_bytes(data[4:8], "little")
    # An odd length is padded; not every writer counts the padding.
    end = min(stated + stated % 2, len(data))
    found = Container(end=end, damaged=stated > len(data))
    at = 12
    for _ in range(_MAX_PARTS):
        if at + 8 > end:
            break
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        _take_webp_chunk(found, kind, data, at + 8, min(length, end - at - 8))
        at += 8 + length + length % 2
    found.damaged = found.damaged or found.width == 0
    return found


def _take_webp_chunk(found: Container, kind: bytes, data: Source, start: int, length: int) -> None:
    head = data[start : start + 10]
    if kind == b"VP8X":
        found.width, found.height = _little(head, 4, 3) + 1, _little(head, 7, 3) + 1
    elif kind == b"VP8 " and found.width == 0:
        found.width, found.height = _little(head, 6, 2) & 0x3FFF, _little(head, 8, 2) & 0x3FFF
    elif kind == b"VP8L" and found.width == 0:
        bits = _little(head, 1, 4)
        found.width, found.height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"EXIF" and length <= MAX_METADATA_BYTES:
        found.tiff = data[start : start + length].removeprefix(_EXIF)
    elif kind == b"XMP " and length <= MAX_METADATA_BYTES:
        found.xmp = data[start : start + length]


def _heic(data: Source) -> Container:
    end = 0
    found = Container(damaged=True)
    for box in boxes(data, 0, len(data)):
        if not box.complete:
            found.end = None
            found.damaged = True
            return found
        if box.kind == b"meta":
            items = read_items(data, box)
            found.width, found.height = items.width, items.height
            found.tiff, found.xmp = _exif_item(data, items.exif), _item(data, items.xmp)
            found.damaged = items.width == 0
        end = box.end
    found.end = end
    return found


def _item(data: Source, item: Item | None) -> bytes | None:
    if item is None or item.length > MAX_METADATA_BYTES:
        return None
    return data[item.start : item.start + item.length]


def _exif_item(data: Source, item: Item | None) -> bytes | None:
    # Four bytes say how far after them the TIFF structure begins.
    raw = _item(data, item)
    return raw[4 + number(raw, 0, 4) :] if raw else None


def _little(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "little")


_READERS: dict[MediaType, Callable[[Source], Container]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/webp": _webp,
    "image/heic": _heic,
}
