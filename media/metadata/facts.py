"""What a photo or video says of its own making."""

import enum
from typing import Literal

import msgspec

from field_schemas.media import MediaType
from field_schemas.places import Position


class PositionFault(enum.StrEnum):
    """Why a position that is written in a file cannot be used."""

    MALFORMED = "malformed"
    ZERO = "zero"
    DATUM_UNKNOWN = "datum_unknown"
    NO_FIX = "no_fix"


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When, where and by what a file says it was made.

    `taken` is the time as written, ISO 8601 without zone; `taken_ms` is true UTC ms, known when `zone` says how:
    by an offset in the file, by the GPS time beside it, or because the format counts in UTC. Without that,
    `local_ms` is `taken` as if it were UTC. `gps_ms` is the GPS time beside it, UTC ms. A `position_fault` of NO_FIX
    comes with the position.
    """

    make: str | None = None
    model: str | None = None
    software: str | None = None
    taken: str | None = None
    taken_ms: int | None = None
    local_ms: int | None = None
    zone: Literal["offset", "gps", "utc"] | None = None
    gps_ms: int | None = None
    position: Position | None = None
    position_fault: PositionFault | None = None
    datum_written: str | None = None


class PhotoFacts(Origin, frozen=True, kw_only=True, omit_defaults=True):
    """What is read from a picture's container and EXIF, without decoding the picture.

    `width` and `height` in pixels as stored, before `orientation` (1 to 8) turns it; a JPEG goes over them `scans`
    times. `saved_ms` is the local time of the last save, as if UTC. `exposure_tags` counts the camera settings that
    are written (of five). `editor` is what XMP or the software tag name as the last tool. `size_bytes` is the file's
    length; the picture ends at `end` bytes, None where its end was not found. `damaged` is its structure,
    `exif_damaged` what it says.
    """

    media_type: MediaType | None = None
    size_bytes: int = 0
    width: int = 0
    height: int = 0
    scans: int = 0
    end: int | None = None
    damaged: bool = False
    has_exif: bool = False
    exif_damaged: bool = False
    orientation: int = 1
    exposure_tags: int = 0
    saved_ms: int | None = None
    comment: str | None = None
    editor: str | None = None


class VideoFacts(Origin, frozen=True, kw_only=True, omit_defaults=True):
    """What is read from a video's or sound's container. `width` and `height` in pixels, 0 for sound."""

    media_type: MediaType | None = None
    size_bytes: int = 0
    width: int = 0
    height: int = 0
    duration_ms: int = 0
    end: int | None = None
    damaged: bool = False
