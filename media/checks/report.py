"""All checks of one photo or video together, and the verdict. Pure; server only."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from field_schemas.media_findings import CheckFinding, Verdict, verdict_of
from media.checks.claims import Claims, SeenPicture
from media.checks.origins import check_origin
from media.checks.reuse import check_reuse
from media.checks.traces import check_thumbnail
from media.inspection.facts import Facts
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
        *_check_told(facts, claims),
        *(check_origin(facts.origin, claims, limits) if facts.origin else ()),
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


def _check_told(facts: Facts, claims: Claims) -> list[CheckFinding]:
    """Size and kind as the record states them. Some clients tell the kind by the name: nobody's fault."""
    ref, findings = claims.ref, []
    if ref is not None and facts.digest and ref.size != facts.size_bytes:
        findings.append(CheckFinding("size_differs", f"{facts.size_bytes} bytes", f"{ref.size} bytes"))
    if ref is not None and facts.media_type is not None and ref.media_type != facts.media_type:
        findings.append(CheckFinding("kind_differs", facts.media_type, ref.media_type))
    return findings
