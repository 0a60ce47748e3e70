"""A photo on the device: what it says of its own making, and what to tell the user before they walk away.

`read(path)` gives the facts of a photo, `origin(path)` what a film says of itself too; `warnings(facts, ...)` applies
the rules that the server will apply. No Pillow: fit for a phone.
"""

from pathlib import Path

from field_schemas.media_findings import CheckFinding, Effect
from media.checks.claims import Claims
from media.checks.origins import check_origin
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


def warnings(facts: Origin, claims: Claims, thresholds: Thresholds | None = None) -> list[CheckFinding]:
    """What would keep the photo from being verified: those findings of the server's that a phone can make.

    `words()` of a finding says it in Chinese and English.
    """
    findings = check_origin(facts, claims, thresholds or Thresholds())
    return [found for found in findings if found.effect in (Effect.MISSING, Effect.CONTRADICTS)]
