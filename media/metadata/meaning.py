"""What EXIF tags mean: times with their zone, positions with their datum (EXIF 2.32, CIPA DC-008)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

from field_schemas.datum import Datum
from field_schemas.places import Position
from media.metadata.facts import PositionFault
from media.metadata.tiff import Numbers, Tags, Value

MINUTE_MS, QUARTER_MS = 60_000, 15 * 60_000
FIX_AGE_MS = 6 * MINUTE_MS
"""How old the GPS time in a photo may be for the zone to follow from it; zones lie a quarter of an hour apart."""
EAST_MS, WEST_MS = 14 * 60 * MINUTE_MS, -12 * 60 * MINUTE_MS
"""The easternmost and the westernmost zone."""
_ODD_ZONES_MIN = frozenset({-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765, 825})
"""Zones that are no whole hours; with these, all zones people live in (IANA, 2025)."""
ZERO_DEGREES = 1e-4
"""Both degrees closer to 0 than this: a position that was never measured."""

_TAKEN, _OFFSET_TAKEN, _OFFSET, _SUBSECOND = 0x9003, 0x9011, 0x9010, 0x9291
_SAVED = 0x0132
_GPS_TIME, _GPS_DATE, _GPS_DATUM, _GPS_ERROR, _GPS_STATUS = 7, 29, 18, 31, 9
_LATITUDE, _LONGITUDE = (2, 1, "NS", 90), (4, 3, "EW", 180)
_DATUMS = {
    "WGS84": Datum.WGS84,
    "GCJ02": Datum.GCJ02,
    "BD09": Datum.BD09,
    "CGCS2000": Datum.CGCS2000,
}
_TIME = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)$")


class Moment(msgspec.Struct, frozen=True):
    """A time as written, as if UTC (ms), and as true UTC where `zone` says how that is known."""

    text: str
    local_ms: int
    utc_ms: int | None
    zone: Literal["offset", "gps"] | None
    gps_ms: int | None


class Place(msgspec.Struct, frozen=True):
    """A position, or why there is none that counts; `datum` as the file writes it."""

    position: Position | None = None
    fault: PositionFault | None = None
    datum: str | None = None


def moment_of(tags: Tags) -> Moment | None:
    """When a photo was taken; None where that is not written, or is no time."""
    local_ms = local_time(_words(tags.exif, _TAKEN))
    if local_ms is None:
        return None
    fraction = re.match(r"\d{1,3}", _words(tags.exif, _SUBSECOND))
    local_ms += int(fraction[0].ljust(3, "0")) if fraction else 0
    written = datetime.fromtimestamp(local_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    gps_ms = _gps_time(tags.gps)
    offset_ms = zone_offset(_words(tags.exif, _OFFSET_TAKEN) or _words(tags.exif, _OFFSET))
    if offset_ms is not None:
        return Moment(written, local_ms, local_ms - offset_ms, "offset", gps_ms)
    offset_ms = None if gps_ms is None or _without_fix(tags) else _offset_between(local_ms, gps_ms)
    if offset_ms is not None:
        return Moment(written, local_ms, local_ms - offset_ms, "gps", gps_ms)
    return Moment(written, local_ms, None, None, gps_ms)


def saved_time(tags: Tags) -> int | None:
    """The local time of the last save, as if UTC ms."""
    return local_time(_words(tags.image, _SAVED))


def place_of(tags: Tags) -> Place:
    """Where a photo was taken: signed degrees, or what is wrong with what is written."""
    if _LATITUDE[0] not in tags.gps and _LONGITUDE[0] not in tags.gps:
        return Place()
    lat, lon = _degrees(tags.gps, *_LATITUDE), _degrees(tags.gps, *_LONGITUDE)
    written = _words(tags.gps, _GPS_DATUM)
    if lat is None or lon is None:
        return Place(fault=PositionFault.MALFORMED, datum=written or None)
    if abs(lat) < ZERO_DEGREES and abs(lon) < ZERO_DEGREES:
        return Place(fault=PositionFault.ZERO, datum=written or None)
    name = re.sub(r"[^A-Z0-9]", "", written.upper())
    if name and name not in _DATUMS:
        return Place(fault=PositionFault.DATUM_UNKNOWN, datum=written)
    accuracy = _first(tags.gps.get(_GPS_ERROR))
    radius = accuracy if accuracy is not None and 0 <= accuracy <= 1_000_000 else None
    position = Position(lon, lat, _DATUMS.get(name, Datum.WGS84), radius)
    return Place(position, PositionFault.NO_FIX if _without_fix(tags) else None, written or None)


def local_time(words: str) -> int | None:
    """`2026:11:20 09:30:00` as if UTC, ms; None for anything that is no time, zeros and blanks among it."""
    parts = _TIME.match(words)
    if parts is None:
        return None
    try:
        moment = datetime(*(int(part) for part in parts.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000


def zone_offset(words: str) -> int | None:
    """`+08:00` in ms, None for anything that is no zone."""
    if words in ("Z", "UTC"):
        return 0
    parts = _ZONE.match(words)
    if parts is None:
        return None
    offset_ms = (int(parts[2]) * 60 + int(parts[3])) * MINUTE_MS * (1 if parts[1] == "+" else -1)
    return offset_ms if WEST_MS <= offset_ms <= EAST_MS else None


def _offset_between(local_ms: int, gps_ms: int) -> int | None:
    """The zone that lies between a local time and the GPS time of about the same moment."""
    offset_ms = round((local_ms - gps_ms) / QUARTER_MS) * QUARTER_MS
    if abs(local_ms - gps_ms - offset_ms) > FIX_AGE_MS or not WEST_MS <= offset_ms <= EAST_MS:
        return None
    lived_in = offset_ms % (60 * MINUTE_MS) == 0 or offset_ms // MINUTE_MS in _ODD_ZONES_MIN
    return offset_ms if lived_in else None


def _without_fix(tags: Tags) -> bool:
    """Whether the receiver had no fix when the photo was taken: time and position are those of the last one."""
    return _words(tags.gps, _GPS_STATUS).strip().upper() == "V"


def _gps_time(gps: Mapping[int, Value]) -> int | None:
    day = local_time(_words(gps, _GPS_DATE)[:10] + " 00:00:00")
    clock = gps.get(_GPS_TIME)
    if day is None or not isinstance(clock, tuple) or len(clock) != 3:
        return None
    hour, minute, second = clock
    if hour is None or minute is None or second is None:
        return None
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 61):
        return None
    return day + int((hour * 3600 + minute * 60 + second) * 1000)


def _degrees(gps: Mapping[int, Value], tag: int, sign_tag: int, signs: str, limit: int) -> float | None:
    """Degrees of a latitude or longitude; None without its sign, with x/0 in it, or out of range."""
    sign, parts = _words(gps, sign_tag)[:1].upper(), gps.get(tag)
    if not sign or sign not in signs or not isinstance(parts, tuple) or len(parts) != 3:
        return None
    degrees, minutes, seconds = parts
    if degrees is None or minutes is None or seconds is None:
        return None
    if not (0 <= degrees <= limit and 0 <= minutes <= 60 and 0 <= seconds <= 60):
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if value > limit:
        return None
    return -value if sign == signs[1] else value


def _first(value: Value | None) -> float | None:
    numbers: Numbers = value if isinstance(value, tuple) else ()
    return numbers[0] if numbers else None


def _words(tags: Mapping[int, Value], tag: int) -> str:
    value = tags.get(tag)
    return value if isinstance(value, str) else ""
