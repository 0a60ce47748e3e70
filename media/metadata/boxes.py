"""Boxes of ISO base media files (ISO/IEC 14496-12): HEIC, MP4, MOV, M4A. Bounded: a hostile file costs no more."""

from collections.abc import Iterator

import msgspec

from media.metadata.source import Source

MAX_BOXES = 4_096
"""Boxes looked at in one container; real ones hold a few dozen."""


class Box(msgspec.Struct, frozen=True):
    """One box: its four-character kind, where its contents lie, and where it says to end."""

    kind: bytes
    start: int
    end: int
    complete: bool
    """Whether the file reaches as far as the box says."""


def boxes(data: Source, start: int, end: int) -> Iterator[Box]:
    """The boxes from `start` up to `end`; stops without a word where something is no box."""
    for _ in range(MAX_BOXES):
        if end - start < 8:
            return
        size, head = int.from_bytes(data[start : start + 4], "big"), 8
        kind = data[start + 4 : start + 8]
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = end - start
        if size < head or not _is_kind(kind):
            return
        stop = start + size
        yield Box(kind, start + head, min(stop, end), stop <= end)
        start = stop


def child(data: Source, parent: Box, *path: bytes) -> Box | None:
    """The first box at `path` below `parent`, None where there is none."""
    found: Box | None = parent
    for kind in path:
        if found is None:
            return None
        found = next((box for box in boxes(data, found.start, found.end) if box.kind == kind), None)
    return found


def number(data: Source, at: int, width: int) -> int:
    """The big-endian number of `width` bytes at `at`; bytes beyond the end count as none."""
    return int.from_bytes(data[at : at + width], "big")


def _is_kind(kind: bytes) -> bool:
    # The sign © (0xA9) opens the kinds of QuickTime user data.
    return all(32 <= byte < 127 or byte == 0xA9 for byte in kind)
