"""The same or nearly the same picture, used before by anyone."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from field_schemas.media_findings import CheckFinding
from media.checks.claims import Claims, SeenPicture
from media.perceptual import distance_bits
from media.thresholds import Thresholds


class Reuse(msgspec.Struct, frozen=True):
    """What was found, and the records in which the picture was used before, nearest first."""

    findings: tuple[CheckFinding, ...] = ()
    earlier: tuple[UUID, ...] = ()


def check_reuse(
    fingerprint: int | None, claims: Claims, known: Iterable[SeenPicture], thresholds: Thresholds
) -> Reuse:
    """Whether another record used this picture first; the same matter may show a thing several times."""
    seen = list(known)
    bits = [(_bits(fingerprint, claims.digest, use), use) for use in _before(claims, seen)]
    near = sorted(
        ((distance, use) for distance, use in bits if distance <= thresholds.photo_same_bits),
        key=lambda pair: (pair[0], pair[1].record.int),
    )
    own = {claims.record, *claims.related}
    others = [(distance, use) for distance, use in near if use.record not in own]
    if others:
        same = any(use.digest == claims.digest for _, use in others)
        code, shown = ("seen_same" if same else "seen_nearly_same"), others
    elif others != near and any(use.digest != claims.digest for _, use in near):
        code, shown = "seen_here", near
    else:
        return Reuse()
    finding = CheckFinding(code, measured=shown[0][0], threshold=thresholds.photo_same_bits, unit="bits")
    return Reuse((finding,), tuple(dict.fromkeys(use.record for _, use in others)))


def _before(claims: Claims, seen: list[SeenPicture]) -> list[SeenPicture]:
    """The uses that were noted before this one. Who is checked again is not blamed for those who came later."""
    own = [use for use in seen if (use.record, use.digest) == (claims.record, claims.digest)]
    if not own:
        return seen
    return [use for use in seen if (use.noted_ms, use.record) < (own[0].noted_ms, own[0].record)]


def _bits(fingerprint: int | None, digest: str, seen: SeenPicture) -> int:
    if seen.digest == digest:
        return 0
    if fingerprint is None or seen.fingerprint is None:
        return 64
    return distance_bits(fingerprint, seen.fingerprint)
