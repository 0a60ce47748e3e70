"""What a video or sound file says of its own making: MP4, MOV, M4A, read from its boxes, nothing decoded."""

import re
from datetime import datetime

from field_schemas.media import MediaType
from field_schemas.places import Position
from media.metadata.boxes import Box, boxes, child, number
from media.metadata.facts import PositionFault, VideoFacts
from media.metadata.meaning import ZERO_DEGREES
from media.metadata.source import Source
from media.metadata.tiff import text

MAC_EPOCH_MS = 2_082_844_800_000
"""From 1904-01-01, where these files count from, to 1970-01-01."""
_MAX_TEXT_BYTES = 1_024
_MAX_KEYS = 256

_LOCATION = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")
_APPLE = "com.apple.quicktime."
_ANDROID = "com.android."


def read_video(data: Source, media_type: MediaType) -> VideoFacts:
    """The facts of the container `data`; never raises, whatever it holds.

    The time is UTC seconds since 1904 in the movie header (phones write it so; some cameras write local time),
    or Apple's creation date with its zone. The place is ISO 6709 in `©xyz` or in Apple's metadata.
    """
    found: dict[bytes, Box] = {}
    end, complete = 0, True
    for box in boxes(data, 0, len(data)):
        end, complete = box.end, box.complete
        found.setdefault(box.kind, box)
    movie = found.get(b"moov")
    complete = complete and b"mdat" in found
    if movie is None:
        return VideoFacts(media_type=media_type, size_bytes=len(data), damaged=True)
    words = _metadata(data, movie)
    made_ms, duration_ms = _header(data, child(data, movie, b"mvhd"))
    stated_ms = _stated_time(words.get(_APPLE + "creationdate", ""))
    taken_ms = made_ms if stated_ms is None else stated_ms
    width, height = _frame(data, movie)
    place = words.get(_APPLE + "location.ISO6709") or words.get("xyz")
    position, fault = _position(place)
    return VideoFacts(
        make=words.get(_APPLE + "make") or words.get(_ANDROID + "manufacturer") or words.get("mak"),
        model=words.get(_APPLE + "model") or words.get(_ANDROID + "model") or words.get("mod"),
        software=words.get(_APPLE + "software") or words.get("swr") or words.get("too"),
        taken_ms=taken_ms,
        zone=None if taken_ms is None else "offset" if stated_ms is not None else "utc",
        position=position,
        position_fault=fault,
        media_type=media_type,
        size_bytes=len(data),
        width=width,
        height=height,
        duration_ms=duration_ms,
        end=end if complete else None,
        damaged=not complete,
    )


def _header(data: Source, header: Box | None) -> tuple[int | None, int]:
    """Creation in UTC ms (None where it is 0: not set) and duration in ms."""
    if header is None or header.start == header.end:
        return None, 0
    width = 8 if number(data, header.start, 1) == 1 else 4
    made = number(data, header.start + 4, width)
    scale = number(data, header.start + 4 + 2 * width, 4)
    length = number(data, header.start + 8 + 2 * width, width)
    # Some writers count from 1970 all the same.
    made_ms = made * 1000 - MAC_EPOCH_MS if made * 1000 >= MAC_EPOCH_MS else made * 1000
    duration_ms = length * 1000 // scale if scale and length != (1 << 8 * width) - 1 else 0
    return (made_ms if 0 < made_ms < 2**53 else None), min(duration_ms, 2**53 - 1)


def _frame(data: Source, movie: Box) -> tuple[int, int]:
    """The largest track's width and height in pixels: 16.16 numbers that end its header."""
    sizes = [(0, 0)]
    for track in boxes(data, movie.start, movie.end):
        header = child(data, track, b"tkhd") if track.kind == b"trak" else None
        if header is not None and header.end - header.start >= 84:
            sizes.append((number(data, header.end - 8, 4) >> 16, number(data, header.end - 4, 4) >> 16))
    return max(sizes, key=lambda size: size[0] * size[1])


def _metadata(data: Source, movie: Box) -> dict[str, str]:
    """Texts by name: Apple's and Android's keys, and QuickTime's user data (`©xyz` as "xyz")."""
    found: dict[str, str] = {}
    user = child(data, movie, b"udta")
    for box in boxes(data, user.start, user.end) if user else ():
        if box.kind[0] == 0xA9:
            # Two bytes of length and two of language stand before the text.
            end = min(box.end, box.start + _MAX_TEXT_BYTES)
            found[box.kind[1:].decode("latin-1")] = text(data[box.start + 4 : end])
    meta = child(data, movie, b"meta") or (child(data, user, b"meta") if user else None)
    if meta is not None:
        found |= _keyed(data, meta)
    return found


def _keyed(data: Source, meta: Box) -> dict[str, str]:
    # QuickTime writes `meta` as a plain box, ISO as a full one with four bytes ahead.
    start = meta.start if data[meta.start + 4 : meta.start + 8] in (b"hdlr", b"keys") else meta.start + 4
    inner = Box(meta.kind, start, meta.end, meta.complete)
    keys, items = child(data, inner, b"keys"), child(data, inner, b"ilst")
    if keys is None or items is None:
        return {}
    names, at = [], keys.start + 8
    for _ in range(min(number(data, keys.start + 4, 4), _MAX_KEYS)):
        size = number(data, at, 4)
        if size < 8 or at + size > keys.end:
            break
        names.append(text(data[at + 8 : at + min(size, _MAX_TEXT_BYTES)]))
        at += size
    found = {}
    for box in _indexed(data, items):
        index = int.from_bytes(box.kind, "big") - 1
        if 0 <= index < len(names) and data[box.start + 4 : box.start + 8] == b"data":
            size = min(number(data, box.start, 4), _MAX_TEXT_BYTES)
            found[names[index]] = text(data[box.start + 16 : min(box.start + size, box.end)])
    return found


def _indexed(data: Source, items: Box) -> list[Box]:
    """The entries of an item list, whose kinds are numbers and not letters."""
    found: list[Box] = []
    at = items.start
    while at + 8 <= items.end and len(found) < _MAX_KEYS:
        size = number(data, at, 4)
        if size < 8 or at + size > items.end:
            break
        found.append(Box(data[at + 4 : at + 8], at + 8, at + size, complete=True))
        at += size
    return found


def _stated_time(words: str) -> int | None:
    """`2026-11-20T09:30:00+0800` in UTC ms, None without its zone."""
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp() * 1000)


def _position(words: str | None) -> tuple[Position | None, PositionFault | None]:
    """`+22.5410+114.0590/` (ISO 6709) as a position."""
    if not words:
        return None, None
    parts = _LOCATION.match(words)
    if parts is None:
        return None, PositionFault.MALFORMED
    lat, lon = float(parts[1]), float(parts[2])
    if abs(lat) > 90 or abs(lon) > 180:
        return None, PositionFault.MALFORMED
    if abs(lat) < ZERO_DEGREES and abs(lon) < ZERO_DEGREES:
        return None, PositionFault.ZERO
    return Position(lon, lat), None
