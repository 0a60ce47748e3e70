"""A photo on the device: what it says of its own making, and what to tell the user before they walk away.

`read(path)` gives the facts of a photo, `origin(path)` what a film says of itself too; `warnings(facts, ...)` applies
the rules that the server will apply. No Pillow: fit for a phone.
"""

from pathlib import Path

from field_schemas.media_findings import CheckFinding, Effect
from field_schemas.places import Position
from media.checks.claims import CaptureTime
from media.checks.positions import check_position, check_stated
from media.checks.times import check_time
from media.checks.traces import check_screen
from media.content import HEAD_BYTES, kind_of
from media.metadata.containers import is_picture
from media.metadata.facts import Origin, PhotoFacts
from media.metadata.reading import read
from media.metadata.source import opened
from media.metadata.video import read_video
from media.thresholds import Thresholds

__all__ = ["PhotoFacts", "origin", "read", "warnings"]


def origin(path: Path) -> Origin:
    """What a photo, film or recording says of its own making. Raises as `read`."""
    with opened(path) as data:
        media_type = kind_of(data[:HEAD_BYTES])
        if media_type is not None and not is_picture(media_type):
            return read_video(data, media_type)
    return read(path)


def warnings(
    facts: Origin,
    capture: CaptureTime,
    position: Position | None = None,
    thresholds: Thresholds | None = None,
) -> list[CheckFinding]:
    """What would keep the photo from being verified; `position` is that of the record, where it has one.

    `words()` of a finding says it in Chinese and English.
    """
    limits = thresholds or Thresholds()
    screen = check_screen(facts) if isinstance(facts, PhotoFacts) else []
    if isinstance(facts, PhotoFacts) and not facts.has_exif:
        return [CheckFinding("metadata_damaged" if facts.exif_damaged else "metadata_missing"), *screen]
    findings = [*check_time(facts, capture, limits), *check_stated(facts), *screen]
    if facts.position is not None and position is not None:
        findings.append(check_position(facts.position, position, limits))
    return [found for found in findings if found.effect in (Effect.MISSING, Effect.CONTRADICTS)]
