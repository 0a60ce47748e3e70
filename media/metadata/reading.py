"""Reading a photo's own account of itself from a file: no decoding, no Pillow, fit for a phone."""

import re
from collections.abc import Mapping
from pathlib import Path

from field_schemas.media import MediaType
from media.content import HEAD_BYTES, kind_of
from media.metadata.containers import Container, is_picture, read_container
from media.metadata.facts import PhotoFacts
from media.metadata.meaning import moment_of, place_of, saved_time
from media.metadata.source import opened
from media.metadata.tiff import Tags, Value, read_tags, text

_MAKE, _MODEL, _SOFTWARE, _ORIENTATION = 0x010F, 0x0110, 0x0131, 0x0112
_COMMENT = 0x9286
# Exposure time, f-number, sensitivity, focal length, shutter speed: of these every camera writes some.
_EXPOSURE = (0x829A, 0x829D, 0x8827, 0x920A, 0x9201)
# XMP names the tool that wrote a file as an attribute or as an element.
_XMP_TOOL = re.compile(rb"(?:CreatorTool|softwareAgent)(?:=\"|>)([^\"<]{1,200})")


def read(source: Path | bytes) -> PhotoFacts:
    """What the photo `source` says of its own making.

    Never raises for what the file holds: what is missing or damaged is missing or `damaged` in the facts. Raises
    OSError where the file cannot be opened.
    """
    with opened(source) as data:
        media_type = kind_of(data[:HEAD_BYTES])
        if media_type is None or not is_picture(media_type):
            return PhotoFacts(media_type=media_type, size_bytes=len(data))
        return photo_facts(media_type, len(data), read_container(data, media_type))


def photo_facts(media_type: MediaType, size_bytes: int, container: Container) -> PhotoFacts:
    """The facts that follow from a picture's parts."""
    tags = read_tags(container.tiff) if container.tiff else Tags()
    moment, place = moment_of(tags), place_of(tags)
    return PhotoFacts(
        make=_words(tags.image, _MAKE),
        model=_words(tags.image, _MODEL),
        software=_words(tags.image, _SOFTWARE),
        taken=moment.text if moment else None,
        taken_ms=moment.utc_ms if moment else None,
        local_ms=moment.local_ms if moment else None,
        zone=moment.zone if moment else None,
        gps_ms=moment.gps_ms if moment else None,
        position=place.position,
        position_fault=place.fault,
        datum_written=place.datum,
        media_type=media_type,
        size_bytes=size_bytes,
        width=container.width,
        height=container.height,
        scans=container.scans,
        end=container.end,
        has_exif=bool(tags.image or tags.exif or tags.gps),
        damaged=container.damaged,
        exif_damaged=tags.damaged,
        orientation=_orientation(tags),
        exposure_tags=sum(tag in tags.exif for tag in _EXPOSURE),
        saved_ms=saved_time(tags),
        comment=_comment(tags),
        editor=_xmp_tool(container.xmp),
    )


def thumbnail(container: Container) -> bytes | None:
    """The small JPEG that a camera embeds beside the picture, undecoded."""
    return read_tags(container.tiff).thumbnail if container.tiff else None


def _orientation(tags: Tags) -> int:
    value = tags.image.get(_ORIENTATION)
    stated = value[0] if isinstance(value, tuple) and value else 1
    return int(stated) if stated is not None and 1 <= stated <= 8 else 1


def _comment(tags: Tags) -> str | None:
    # Eight bytes name the character set; the words that matter here are ASCII in all of them.
    raw = tags.exif.get(_COMMENT)
    return text(raw[8:].replace(b"\0", b"")) or None if isinstance(raw, bytes) else None


def _xmp_tool(xmp: bytes | None) -> str | None:
    named = _XMP_TOOL.findall(xmp) if xmp else []
    return text(named[-1]) or None if named else None


def _words(tags: Mapping[int, Value], tag: int) -> str | None:
    value = tags.get(tag)
    return value or None if isinstance(value, str) else None
