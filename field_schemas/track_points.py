"""A patrol track's points packed into one self-contained segment: about 5 bytes a point of a walk.

Layout: one version byte, the number of points, then four columns: longitude and latitude in 1e-6 degree, time
in ms, accuracy in 0.1 m plus 1 (0: absent). A column is one byte, how many times it was differenced (0 to 2,
whichever is shortest; a walk's times and places shrink most when differenced twice), and its numbers. All
numbers are varints of at most 9 bytes, those of columns zigzag-coded.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

MAX_POINTS = 100_000
"""Most points one segment holds: a fix each 5 s for almost six days."""

_VERSION = 1
_DEGREE = 1_000_000
_METRE = 10
_HIGHEST_ORDER = 2
_VARINT_BYTES = 9

_LON_LIMIT = 180 * _DEGREE
_LAT_LIMIT = 90 * _DEGREE
# Integers stay below 2^53, so that a browser reads them too.
_TIME_LIMIT = 2**53 - 1
_ACCURACY_LIMIT = 1_000_000 * _METRE

# Name, lowest and highest number of each column, in their order within a segment.
_COLUMNS = (
    ("longitude", -_LON_LIMIT, _LON_LIMIT),
    ("latitude", -_LAT_LIMIT, _LAT_LIMIT),
    ("time", -_TIME_LIMIT, _TIME_LIMIT),
    ("accuracy", 0, _ACCURACY_LIMIT + 1),
)


class TrackPoint(msgspec.Struct, frozen=True):
    """One fix: WGS-84 degrees, UTC milliseconds since 1970, accuracy radius in metres where known."""

    lon: float
    lat: float
    time_ms: int
    accuracy_m: float | None = None


def pack(points: Sequence[TrackPoint]) -> bytes:
    """The points, in the order given, as one segment that `unpack` reads.

    Times come back exact, in whatever order they stand; positions come back rounded to 1e-6 degree (at most
    6 cm off along each axis), accuracy to 0.1 m. Packing what `unpack` gave yields the same bytes. ValueError
    for more than MAX_POINTS points and for what lies outside: longitude ±180, latitude ±90, accuracy 0 to
    1,000,000 m, time ±(2^53 - 1) ms, numbers that are not finite.
    """
    if len(points) > MAX_POINTS:
        raise ValueError(f"{len(points)} points are too many for one segment: at most {MAX_POINTS}")
    columns = (
        [_scaled(point.lon, _DEGREE) for point in points],
        [_scaled(point.lat, _DEGREE) for point in points],
        [point.time_ms for point in points],
        [0 if point.accuracy_m is None else _accuracy_number(point.accuracy_m) for point in points],
    )
    packed = bytearray([_VERSION])
    _append_varint(packed, len(points))
    for numbers, (name, low, high) in zip(columns, _COLUMNS, strict=True):
        _check_range(numbers, name, low, high)
        _append_column(packed, numbers)
    return bytes(packed)


def unpack(data: bytes) -> list[TrackPoint]:
    """The points of one segment, in the order they were packed: WGS-84 degrees, UTC ms, metres.

    ValueError when the bytes are truncated, too many, of an unknown version, or hold more than MAX_POINTS
    points or impossible values. Work and memory are bounded by the length of `data`.
    """
    if not data:
        raise ValueError("the track segment is truncated: it is empty")
    if data[0] != _VERSION:
        raise ValueError(f"track segment version {data[0]} is unknown; this program reads version {_VERSION}")
    try:
        columns, end = _read_columns(data)
    except IndexError:
        raise ValueError(f"the track segment is truncated: it ends after {len(data)} bytes") from None
    if end != len(data):
        raise ValueError(f"the track segment is oversized: {len(data) - end} bytes follow its last point")
    return [
        TrackPoint(lon / _DEGREE, lat / _DEGREE, time_ms, (accuracy - 1) / _METRE if accuracy else None)
        for lon, lat, time_ms, accuracy in zip(*columns, strict=True)
    ]


def _scaled(value: float, scale: int) -> int:
    scaled = value * scale
    if not math.isfinite(scaled):
        raise ValueError(f"a track point holds {value}, which is not finite or far out of range")
    return round(scaled)


def _accuracy_number(accuracy_m: float) -> int:
    if accuracy_m < 0:
        raise ValueError(f"a track point's accuracy is {accuracy_m} m, below 0")
    return _scaled(accuracy_m, _METRE) + 1


def _check_range(numbers: Sequence[int], name: str, low: int, high: int) -> None:
    if numbers and not low <= min(numbers) <= max(numbers) <= high:
        raise ValueError(f"a track point's {name} is out of range")


def _differences(numbers: Sequence[int]) -> list[int]:
    """Each number less the one before it (the first less 0): `accumulate` undoes it."""
    return [number - before for before, number in zip((0, *numbers), numbers, strict=False)]


def _zigzag(number: int) -> int:
    return number * 2 if number >= 0 else -number * 2 - 1


def _size(numbers: Iterable[int]) -> int:
    """Bytes that the numbers take as zigzag varints."""
    return sum(((_zigzag(number) | 1).bit_length() + 6) // 7 for number in numbers)


def _append_varint(packed: bytearray, number: int) -> None:
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def _append_column(packed: bytearray, numbers: list[int]) -> None:
    candidates = [numbers]
    for _ in range(_HIGHEST_ORDER):
        candidates.append(_differences(candidates[-1]))
    order, shortest = min(enumerate(candidates), key=lambda candidate: _size(candidate[1]))
    packed.append(order)
    for number in shortest:
        _append_varint(packed, _zigzag(number))


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at `start`, and where the next one begins; IndexError past the end."""
    number = 0
    for place in range(_VARINT_BYTES):
        byte = data[start + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, start + place + 1
    raise ValueError(f"a number in the track segment takes more than {_VARINT_BYTES} bytes")


def _read_columns(data: bytes) -> tuple[list[list[int]], int]:
    """The four columns after the version byte, and where they end; IndexError past the end."""
    count, start = _read_varint(data, 1)
    if count > MAX_POINTS:
        raise ValueError(f"the track segment is oversized: {count} points, at most {MAX_POINTS} are allowed")
    # Checked before anything is read, so that a short lie about the count costs nothing.
    if len(data) - start < len(_COLUMNS) * (count + 1):
        raise ValueError(f"the track segment is truncated: {len(data)} bytes cannot hold {count} points")
    columns = []
    for name, low, high in _COLUMNS:
        numbers, start = _read_column(data, start, count)
        _check_range(numbers, name, low, high)
        columns.append(numbers)
    return columns, start


def _read_column(data: bytes, start: int, count: int) -> tuple[list[int], int]:
    order = data[start]
    if order > _HIGHEST_ORDER:
        raise ValueError(f"a column of the track segment is differenced {order} times, at most {_HIGHEST_ORDER}")
    start += 1
    numbers = []
    for _ in range(count):
        coded, start = _read_varint(data, start)
        numbers.append(coded >> 1 if coded & 1 == 0 else -(coded >> 1) - 1)
    for _ in range(order):
        numbers = list(accumulate(numbers))
    return numbers, start
