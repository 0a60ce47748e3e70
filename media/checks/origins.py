"""What a file says of its own making against what was claimed: the checks that a phone can do as well."""

from math import inf

import msgspec

from field_schemas.media_findings import CheckFinding, Effect
from field_schemas.places import Position
from media.checks.areas import check_area, check_task_place
from media.checks.claims import Claims
from media.checks.positions import between_m, check_position, check_stated, judged
from media.checks.times import check_time
from media.checks.traces import check_device, check_editing, check_screen
from media.metadata.facts import Origin, PhotoFacts, PositionFault
from media.thresholds import Thresholds


def check_origin(origin: Origin, claims: Claims, thresholds: Thresholds) -> list[CheckFinding]:
    """Time, place, device and signs of editing. Without EXIF nothing is compared, and nothing stands in for it."""
    findings = check_screen(origin) if isinstance(origin, PhotoFacts) else []
    if isinstance(origin, PhotoFacts) and not origin.has_exif:
        return [*findings, CheckFinding("metadata_damaged" if origin.exif_damaged else "metadata_missing")]
    told = claims.ref.captured_at if claims.ref else None
    told_ms = None if told is None else int(told.timestamp() * 1000)
    times = check_time(origin, claims.capture, thresholds, told_ms)
    since_fix_m = _since_fix_m(origin, times, thresholds)
    return [
        *findings,
        *([CheckFinding("metadata_damaged")] if isinstance(origin, PhotoFacts) and origin.exif_damaged else []),
        *times,
        *(_of_old_fix(one, since_fix_m) or one for one in _check_place(origin, claims, thresholds)),
        check_device(origin, claims),
        *check_editing(origin, thresholds),
    ]


def _check_place(origin: Origin, claims: Claims, thresholds: Thresholds) -> list[CheckFinding]:
    findings = check_stated(origin)
    found = origin.position
    if found is None:
        return findings
    if claims.ref is not None and claims.ref.place is not None:
        findings += _check_told(found, claims.ref.place, thresholds)
    if claims.position is not None:
        findings.append(check_position(found, claims.position, thresholds))
    if claims.task_place is not None:
        findings += check_task_place(found, claims.task_place, thresholds)
    elif claims.position is None and claims.grid is not None:
        findings += check_area("grid", found, claims.grid, thresholds)
    elif claims.position is None:
        findings.append(CheckFinding("place_not_claimed"))
    return findings


def _since_fix_m(origin: Origin, times: list[CheckFinding], thresholds: Thresholds) -> float:
    """How many metres the device may have gone between the fix that its position is from and the file's time.

    Cameras write the last position they had. Where the file says that it is old, it was anywhere.
    """
    if origin.position_fault is PositionFault.NO_FIX or any(one.code == "gps_time_differs" for one in times):
        return inf
    if origin.gps_ms is None or origin.taken_ms is None:
        return 0.0
    return abs(origin.taken_ms - origin.gps_ms) / 1000 * thresholds.photo_moving_m_s


def _of_old_fix(finding: CheckFinding, since_fix_m: float) -> CheckFinding | None:
    """What a distance comes to that the age of the fix explains; None for all else."""
    gap_m, allowed_m = finding.measured, finding.threshold
    if finding.effect is not Effect.CONTRADICTS or gap_m is None or allowed_m is None:
        return None
    if not since_fix_m or gap_m > allowed_m + since_fix_m:
        return None
    return msgspec.structs.replace(finding, code="place_of_old_fix")


def _check_told(found: Position, told: Position, thresholds: Thresholds) -> list[CheckFinding]:
    """A place told with the file may be read from it: that they agree proves nothing."""
    gap_m, allowed_m = between_m(found, told), thresholds.photo_place_gap_m
    finding = judged("told_place", found, told, gap_m, allowed_m, thresholds)
    return [finding] if finding.code == "told_place_differs" else []
