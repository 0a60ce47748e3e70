"""A photo on the device: what it says of its own making, and what to tell the user before they walk away.

`read(path)` gives the facts, `warnings(facts, ...)` applies the rules that the server will apply. No Pillow: fit for
a phone.
"""

from field_schemas.media_findings import CheckFinding, Effect
from field_schemas.places import Position
from media.checks.claims import CaptureTime
from media.checks.positions import check_position, check_stated
from media.checks.times import check_time
from media.checks.traces import check_screen
from media.metadata.facts import PhotoFacts
from media.metadata.reading import read
from media.thresholds import Thresholds

__all__ = ["PhotoFacts", "read", "warnings"]


def warnings(
    facts: PhotoFacts,
    capture: CaptureTime,
    position: Position | None = None,
    thresholds: Thresholds | None = None,
) -> list[CheckFinding]:
    """What would keep the photo from being verified; `position` is that of the record, where it has one.

    `words()` of a finding says it in Chinese and English.
    """
    limits = thresholds or Thresholds()
    if not facts.has_exif:
        return [CheckFinding("metadata_damaged" if facts.exif_damaged else "metadata_missing"), *check_screen(facts)]
    findings = [*check_time(facts, capture, limits), *check_stated(facts), *check_screen(facts)]
    if facts.position is not None and position is not None:
        findings.append(check_position(facts.position, position, limits))
    return [found for found in findings if found.effect in (Effect.MISSING, Effect.CONTRADICTS)]
