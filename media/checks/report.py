"""All checks of one photo or video together, and the verdict. Pure; server only."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from field_schemas.media_findings import CheckFinding, Verdict, verdict_of
from media.checks.areas import check_task_place
from media.checks.claims import Claims, SeenPicture
from media.checks.positions import check_position, check_stated
from media.checks.reuse import check_reuse
from media.checks.times import check_time
from media.checks.traces import check_device, check_editing, check_screen, check_thumbnail
from media.inspection.facts import Facts
from media.metadata.facts import Origin, PhotoFacts
from media.thresholds import Thresholds


class Report(msgspec.Struct, frozen=True):
    """The verdict, what it follows from, and the records of others in which the picture was used before."""

    verdict: Verdict
    findings: tuple[CheckFinding, ...]
    earlier: tuple[UUID, ...] = ()


def check(
    claims: Claims, facts: Facts, earlier: Iterable[SeenPicture], thresholds: Thresholds | None = None
) -> Report:
    """What `facts` prove of `claims`; `earlier` are the uses of this picture or of ones like it, by anyone."""
    limits = thresholds or Thresholds()
    reuse = check_reuse(facts.fingerprint, claims, earlier, limits)
    findings = (
        *_check_digest(facts, claims),
        *facts.faults,
        *_check_origin(facts.origin, claims, limits),
        *check_thumbnail(facts.thumbnail_bits, limits),
        *reuse.findings,
    )
    return Report(verdict_of(findings), findings, reuse.earlier)


def _check_digest(facts: Facts, claims: Claims) -> list[CheckFinding]:
    """Nothing for a file that could not be read through: its fault says why."""
    if not facts.digest:
        return []
    code = "digest_matches" if facts.digest == claims.digest else "digest_differs"
    return [CheckFinding(code, facts.digest, claims.digest)]


def _check_origin(origin: Origin | None, claims: Claims, thresholds: Thresholds) -> list[CheckFinding]:
    """What the file says of its own making. Without EXIF nothing is compared, and nothing stands in for it."""
    if origin is None:
        return []
    findings = check_screen(origin) if isinstance(origin, PhotoFacts) else []
    if isinstance(origin, PhotoFacts) and not origin.has_exif:
        return [*findings, CheckFinding("metadata_damaged" if origin.exif_damaged else "metadata_missing")]
    return [
        *findings,
        *([CheckFinding("metadata_damaged")] if isinstance(origin, PhotoFacts) and origin.exif_damaged else []),
        *check_time(origin, claims.capture, thresholds),
        *_check_place(origin, claims, thresholds),
        check_device(origin, claims),
        *check_editing(origin, thresholds),
    ]


def _check_place(origin: Origin, claims: Claims, thresholds: Thresholds) -> list[CheckFinding]:
    findings = check_stated(origin)
    if origin.position is None:
        return findings
    if claims.position is None and claims.task_place is None:
        return [*findings, CheckFinding("place_not_claimed")]
    if claims.position is not None:
        findings.append(check_position(origin.position, claims.position, thresholds))
    if claims.task_place is not None:
        findings += check_task_place(origin.position, claims.task_place, thresholds)
    return findings
