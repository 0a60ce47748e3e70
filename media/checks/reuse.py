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
    fingerprint: int | None, claims: Claims, earlier: Iterable[SeenPicture], thresholds: Thresholds
) -> Reuse:
    """Whether another record already uses this picture; the same matter may show a thing several times."""
    own = {claims.record, *claims.related}
    bits = [(_bits(fingerprint, claims.digest, seen), seen) for seen in earlier]
    near = sorted(
        ((distance, seen) for distance, seen in bits if distance <= thresholds.photo_same_bits),
        key=lambda pair: (pair[0], pair[1].record.int),
    )
    others = [(distance, seen) for distance, seen in near if seen.record not in own]
    if others:
        same = any(seen.digest == claims.digest for _, seen in others)
        code, shown = ("seen_same" if same else "seen_nearly_same"), others
    elif others != near and any(seen.digest != claims.digest for _, seen in near):
        code, shown = "seen_here", near
    else:
        return Reuse()
    finding = CheckFinding(code, measured=shown[0][0], threshold=thresholds.photo_same_bits, unit="bits")
    return Reuse((finding,), tuple(dict.fromkeys(seen.record for _, seen in others)))


def _bits(fingerprint: int | None, digest: str, seen: SeenPicture) -> int:
    if seen.digest == digest:
        return 0
    if fingerprint is None or seen.fingerprint is None:
        return 64
    return distance_bits(fingerprint, seen.fingerprint)
