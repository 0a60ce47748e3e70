"""The items of a HEIC file (ISO/IEC 23008-12): where EXIF and XMP lie, and how large the picture is."""

import msgspec

from media.metadata.boxes import Box, boxes, child, number
from media.metadata.source import Source

_MAX_ITEMS = 4_096
"""Items looked at; a 200-megapixel picture in 512-pixel tiles has below 1,000."""


class Item(msgspec.Struct, frozen=True):
    """Where an item's bytes lie in the file."""

    start: int
    length: int


class Items(msgspec.Struct, frozen=True):
    """What a meta box names. The size is that of the largest image in it: tiles and thumbnails are smaller."""

    exif: Item | None
    xmp: Item | None
    width: int
    height: int


def read_items(data: Source, meta: Box) -> Items:
    """The items of the box `meta`, a full box: version and flags come first."""
    inner = Box(meta.kind, meta.start + 4, meta.end, meta.complete)
    kinds = _kinds(data, child(data, inner, b"iinf"))
    places = _locations(data, child(data, inner, b"iloc"), child(data, inner, b"idat"))
    width, height = _largest(data, child(data, inner, b"iprp", b"ipco"))
    return Items(places.get(kinds.get(b"Exif", -1)), places.get(kinds.get(b"mime", -1)), width, height)


def _kinds(data: Source, iinf: Box | None) -> dict[bytes, int]:
    """The first item id of each item type."""
    found: dict[bytes, int] = {}
    if iinf is None:
        return found
    head = 6 if number(data, iinf.start, 1) == 0 else 8
    for box in boxes(data, iinf.start + head, iinf.end):
        if box.kind == b"infe" and box.end > box.start:
            version = number(data, box.start, 1)
            width = 4 if version == 3 else 2
            item = number(data, box.start + 4, width)
            # The id is followed by a protection index of two bytes.
            found.setdefault(data[box.start + 6 + width : box.start + 10 + width], item)
    return found


def _locations(data: Source, iloc: Box | None, idat: Box | None) -> dict[int, Item]:
    """Where each item's first extent lies: EXIF is written in one piece."""
    found: dict[int, Item] = {}
    if iloc is None or iloc.end - iloc.start < 8:
        return found
    version, sizes = number(data, iloc.start, 1), number(data, iloc.start + 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    id_size = 4 if version == 2 else 2
    at = iloc.start + 6 + id_size
    for _ in range(min(number(data, iloc.start + 6, id_size), _MAX_ITEMS)):
        item, at = number(data, at, id_size), at + id_size
        method = number(data, at, 2) & 15 if version else 0
        at += 4 if version else 2
        base, extents = number(data, at, base_size), number(data, at + base_size, 2)
        at += base_size + 2
        step = (index_size if version else 0) + offset_size + length_size
        first = at + step - offset_size - length_size
        start = base + number(data, first, offset_size)
        if method == 1 and idat is not None:
            start += idat.start
        if method < 2 and extents:
            found[item] = Item(start, number(data, first + offset_size, length_size))
        at += extents * step
        if at > iloc.end:
            break
    return found


def _largest(data: Source, ipco: Box | None) -> tuple[int, int]:
    if ipco is None:
        return 0, 0
    sizes = [
        (number(data, box.start + 4, 4), number(data, box.start + 8, 4))
        for box in boxes(data, ipco.start, ipco.end)
        if box.kind == b"ispe"
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
