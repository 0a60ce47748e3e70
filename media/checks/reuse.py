"""The same or nearly the same picture, used before by anyone."""

from collections.abc import Iterable
from math import inf
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


def overtaken(claims: Claims, known: Iterable[SeenPicture]) -> list[SeenPicture]:
    """The uses by others that were checked before this one although they came later; none once it is known itself."""
    seen = list(known)
    if any(_is_own(use, claims) for use in seen):
        return []
    own = {claims.record, *claims.related}
    return [use for use in seen if use.record not in own and _turn(use) > _own_turn(claims)]


def _before(claims: Claims, seen: list[SeenPicture]) -> list[SeenPicture]:
    """The uses that came before this file's first one in its matter, whatever was checked first."""
    own = {claims.record, *claims.related}
    turns = [_turn(use) for use in seen if use.digest == claims.digest and use.record in own]
    if not any(_is_own(use, claims) for use in seen):
        turns.append(_own_turn(claims))
    return [use for use in seen if _turn(use) < min(turns)]


def _is_own(use: SeenPicture, claims: Claims) -> bool:
    return (use.record, use.digest) == (claims.record, claims.digest)


def _turn(use: SeenPicture) -> tuple[float, UUID]:
    return use.named_ms, use.record


def _own_turn(claims: Claims) -> tuple[float, UUID]:
    received_ms = claims.capture.received_ms
    return inf if received_ms is None else received_ms, claims.record


def _bits(fingerprint: int | None, digest: str, seen: SeenPicture) -> int:
    if seen.digest == digest:
        return 0
    if fingerprint is None or seen.fingerprint is None:
        return 64
    return distance_bits(fingerprint, seen.fingerprint)
