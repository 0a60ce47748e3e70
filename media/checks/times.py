"""A file's time against the bounded time of its capture, and its receipt."""

from datetime import UTC, datetime

from field_schemas.media_findings import CheckFinding, Effect
from media.checks.claims import CaptureTime
from media.metadata.facts import Origin, VideoFacts
from media.metadata.meaning import EAST_MS, WEST_MS
from media.thresholds import Thresholds


def check_time(
    origin: Origin, capture: CaptureTime, thresholds: Thresholds, told_ms: int | None = None
) -> list[CheckFinding]:
    """Whether `origin` was made when it was captured; `told_ms` is when the record says that was."""
    length_ms = origin.duration_ms if isinstance(origin, VideoFacts) else 0
    vague_ms = thresholds.photo_vague_time_s * 1000
    *others, finding = _compared(origin, min(length_ms, vague_ms), capture, told_ms, thresholds)
    if finding.effect is Effect.CONTRADICTS:
        *_, by_all = _compared(origin, length_ms, capture, told_ms, thresholds)
        if by_all.effect is not Effect.CONTRADICTS:
            finding = CheckFinding("time_vague", by_all.found, by_all.claimed, length_ms / 1000, vague_ms / 1000, "s")
    return [*others, finding]


def _compared(
    origin: Origin, length_ms: int, capture: CaptureTime, told_ms: int | None, thresholds: Thresholds
) -> list[CheckFinding]:
    """The findings for a file of that length, the one about its time last.

    A video's time is that of its start or of its end, depending on the phone.
    """
    by_gps = _check_gps(origin, thresholds)
    if origin.taken_ms is None:
        return [*by_gps, _without_zone(origin, origin.local_ms, length_ms, capture, told_ms, thresholds)]
    finding = _judged(origin.taken_ms, length_ms, capture, told_ms, thresholds)
    if finding.effect is Effect.CONTRADICTS:
        finding = _by_wrong_clock(origin.taken_ms, length_ms, capture, told_ms, thresholds) or finding
    if finding.effect is Effect.CONTRADICTS and origin.zone != "offset":
        # A zone found by an old GPS fix is wrong, and some cameras write local time where the format has UTC.
        local_ms = origin.taken_ms if origin.local_ms is None else origin.local_ms
        return [*by_gps, _without_zone(origin, local_ms, length_ms, capture, told_ms, thresholds)]
    if origin.zone == "gps":
        by_gps.append(CheckFinding("time_zone_from_gps", found=origin.taken))
    return [*by_gps, finding]


def _judged(
    taken_ms: int, length_ms: int, capture: CaptureTime, told_ms: int | None, thresholds: Thresholds
) -> CheckFinding:
    """The one finding for a true time."""
    finding = _after_receipt(taken_ms, capture, thresholds) or _unbounded(taken_ms, capture, thresholds)
    if finding is not None:
        return finding
    if told_ms is not None:
        return _compared_with_told(taken_ms, length_ms, capture, told_ms, thresholds)
    gap_ms = abs(taken_ms - capture.ms)
    allowed_ms = thresholds.photo_time_gap_s * 1000 + length_ms + (capture.error_ms or 0)
    code = "time_matches" if gap_ms <= allowed_ms else "time_differs"
    return _finding(code, taken_ms, _claimed(capture), gap_ms, allowed_ms)


def _after_receipt(taken_ms: int, capture: CaptureTime, thresholds: Thresholds) -> CheckFinding | None:
    allowed_ms = thresholds.photo_after_receipt_s * 1000
    if capture.received_ms is None or taken_ms <= capture.received_ms + allowed_ms:
        return None
    late_ms = taken_ms - capture.received_ms
    return _finding("time_after_receipt", taken_ms, _iso(capture.received_ms), late_ms, allowed_ms)


def _unbounded(taken_ms: int, capture: CaptureTime, thresholds: Thresholds) -> CheckFinding | None:
    limit_ms = thresholds.photo_vague_time_s * 1000
    if capture.error_ms is not None and capture.error_ms <= limit_ms:
        return None
    return _finding("capture_unbounded", taken_ms, _claimed(capture), capture.error_ms, limit_ms)


def _compared_with_told(
    taken_ms: int, length_ms: int, capture: CaptureTime, told_ms: int, thresholds: Thresholds
) -> CheckFinding:
    """What is told excuses a photo older than its record, within bounds, and must be true itself."""
    claimed = f"{_iso(told_ms)}, reported {_claimed(capture)}"
    gap_ms, allowed_ms = abs(taken_ms - told_ms), thresholds.photo_time_gap_s * 1000 + length_ms
    if gap_ms > allowed_ms:
        return _finding("time_differs", taken_ms, claimed, gap_ms, allowed_ms)
    late_ms, bound_ms = taken_ms - capture.ms, allowed_ms + (capture.error_ms or 0)
    if late_ms > bound_ms:
        return _finding("time_differs", taken_ms, claimed, late_ms, bound_ms)
    excused_ms = max(bound_ms, thresholds.photo_told_gap_s * 1000 + length_ms + (capture.error_ms or 0))
    if -late_ms > excused_ms:
        return _finding("time_long_before", taken_ms, claimed, -late_ms, excused_ms)
    # What was told may have been read from the file: the distance from the report is what says something.
    return _finding("time_matches", taken_ms, claimed, abs(late_ms), excused_ms)


def _by_wrong_clock(
    taken_ms: int, length_ms: int, capture: CaptureTime, told_ms: int | None, thresholds: Thresholds
) -> CheckFinding | None:
    """The finding for a time that is right but for the error of the device's own clock, None for another."""
    ahead_ms = 0 if capture.wall_ms is None else capture.wall_ms - capture.ms
    told = None if told_ms is None else told_ms - ahead_ms
    if _judged(taken_ms - ahead_ms, length_ms, capture, told, thresholds).effect is Effect.CONTRADICTS:
        return None
    allowed_ms = thresholds.photo_time_gap_s * 1000 + length_ms + (capture.error_ms or 0)
    claimed = f"{_claimed(capture)}, by its own clock {_iso(capture.ms + ahead_ms)}"
    return _finding("time_by_wrong_clock", taken_ms, claimed, abs(taken_ms - capture.ms), allowed_ms)


def _without_zone(
    origin: Origin,
    local_ms: int | None,
    length_ms: int,
    capture: CaptureTime,
    told_ms: int | None,
    thresholds: Thresholds,
) -> CheckFinding:
    """A local time of an unknown zone proves nothing, but one that no zone on earth explains is wrong."""
    if local_ms is None:
        return CheckFinding("time_missing", claimed=_claimed(capture))
    moments = [capture.ms, told_ms, capture.wall_ms]
    beyond_ms = min(_beyond_zones(local_ms, moment) for moment in moments if moment is not None)
    allowed_ms = thresholds.photo_time_gap_s * 1000 + (capture.error_ms or 0) + length_ms
    found = origin.taken or _iso(local_ms)
    if beyond_ms > allowed_ms and capture.error_ms is not None:
        claimed, measured_s = _claimed(capture), _beyond_zones(local_ms, capture.ms) / 1000
        return CheckFinding("time_differs", found, claimed, measured_s, allowed_ms / 1000, "s")
    return CheckFinding("time_zone_unknown", found, _claimed(capture))


def _check_gps(origin: Origin, thresholds: Thresholds) -> list[CheckFinding]:
    """Whether the time lies near the GPS time beside it. An old fix is no fault, but proves nothing of the moment."""
    if origin.gps_ms is None or origin.local_ms is None:
        return []
    if origin.taken_ms is not None:
        gap_ms = abs(origin.taken_ms - origin.gps_ms)
    else:
        gap_ms = _beyond_zones(origin.local_ms, origin.gps_ms)
    if gap_ms <= thresholds.photo_fix_gap_s * 1000:
        return []
    limit_s, found = thresholds.photo_fix_gap_s, _iso(origin.gps_ms)
    return [CheckFinding("gps_time_differs", found, origin.taken, gap_ms / 1000, limit_s, "s")]


def _beyond_zones(local_ms: int, moment_ms: int) -> int:
    """How far a moment lies from all those that a local time can mean."""
    return max(local_ms - EAST_MS - moment_ms, moment_ms - local_ms + WEST_MS, 0)


def _finding(code: str, taken_ms: int, claimed: str, measured_ms: int | None, allowed_ms: int) -> CheckFinding:
    measured_s = None if measured_ms is None else measured_ms / 1000
    return CheckFinding(code, _iso(taken_ms), claimed, measured_s, allowed_ms / 1000, "s")


def _claimed(capture: CaptureTime) -> str:
    bound = "?" if capture.error_ms is None else f"{capture.error_ms / 1000:g} s"
    return f"{_iso(capture.ms)} ± {bound}"


def _iso(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
