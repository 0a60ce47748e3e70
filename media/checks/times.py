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
    by_gps = _check_gps(origin, thresholds)
    if origin.taken_ms is None:
        return [*by_gps, _without_zone(origin, origin.local_ms, capture, told_ms, thresholds)]
    finding = _judged(origin.taken_ms, _length_ms(origin), capture, told_ms, thresholds)
    if finding.effect is Effect.CONTRADICTS:
        finding = _by_wrong_clock(origin.taken_ms, _length_ms(origin), capture, told_ms, thresholds) or finding
    if finding.effect is Effect.CONTRADICTS and origin.zone != "offset":
        # A zone found by an old GPS fix is wrong, and some cameras write local time where the format has UTC.
        local_ms = origin.taken_ms if origin.local_ms is None else origin.local_ms
        return [*by_gps, _without_zone(origin, local_ms, capture, told_ms, thresholds)]
    if origin.zone == "gps":
        by_gps.append(CheckFinding("time_zone_from_gps", found=origin.taken))
    return [*by_gps, finding]


def _judged(
    taken_ms: int, length_ms: int, capture: CaptureTime, told_ms: int | None, thresholds: Thresholds
) -> CheckFinding:
    """The finding for a true time. What is told excuses being early, within bounds, and must be true itself."""
    if capture.received_ms is not None and taken_ms > capture.received_ms + thresholds.photo_after_receipt_s * 1000:
        late_s = (taken_ms - capture.received_ms) / 1000
        found, received = _iso(taken_ms), _iso(capture.received_ms)
        return CheckFinding("time_after_receipt", found, received, late_s, thresholds.photo_after_receipt_s, "s")
    error_ms = capture.error_ms
    if error_ms is None or error_ms > thresholds.photo_vague_time_s * 1000:
        bound = None if error_ms is None else error_ms / 1000
        return _finding("capture_unbounded", taken_ms, _claimed(capture), bound, thresholds.photo_vague_time_s)
    allowed_ms = thresholds.photo_time_gap_s * 1000 + length_ms
    if told_ms is None:
        gap_ms, allowed_ms = abs(taken_ms - capture.ms), allowed_ms + error_ms
        code = "time_matches" if gap_ms <= allowed_ms else "time_differs"
        return _finding(code, taken_ms, _claimed(capture), gap_ms / 1000, allowed_ms / 1000)
    gap_ms, claimed = abs(taken_ms - told_ms), f"{_iso(told_ms)}, reported {_claimed(capture)}"
    if gap_ms > allowed_ms:
        return _finding("time_differs", taken_ms, claimed, gap_ms / 1000, allowed_ms / 1000)
    if taken_ms - capture.ms > allowed_ms + error_ms:
        late_ms = taken_ms - capture.ms
        return _finding("time_differs", taken_ms, claimed, late_ms / 1000, (allowed_ms + error_ms) / 1000)
    early_ms, excused_ms = capture.ms - taken_ms, thresholds.photo_told_gap_s * 1000 + length_ms + error_ms
    if early_ms > max(excused_ms, allowed_ms + error_ms):
        return _finding("time_long_before", taken_ms, claimed, early_ms / 1000, excused_ms / 1000)
    return _finding("time_matches", taken_ms, claimed, gap_ms / 1000, allowed_ms / 1000)


def _by_wrong_clock(
    taken_ms: int, length_ms: int, capture: CaptureTime, told_ms: int | None, thresholds: Thresholds
) -> CheckFinding | None:
    """The finding for a time that is right but for the error of the device's own clock, None for another."""
    ahead_ms = 0 if capture.wall_ms is None else capture.wall_ms - capture.ms
    told = None if told_ms is None else told_ms - ahead_ms
    if _judged(taken_ms - ahead_ms, length_ms, capture, told, thresholds).effect is Effect.CONTRADICTS:
        return None
    allowed_s = thresholds.photo_time_gap_s + (capture.error_ms or 0) / 1000
    claimed = f"{_claimed(capture)}, by its own clock {_iso(capture.ms + ahead_ms)}"
    return _finding("time_by_wrong_clock", taken_ms, claimed, abs(taken_ms - capture.ms) / 1000, allowed_s)


def _without_zone(
    origin: Origin, local_ms: int | None, capture: CaptureTime, told_ms: int | None, thresholds: Thresholds
) -> CheckFinding:
    """A local time of an unknown zone proves nothing, but one that no zone on earth explains is wrong."""
    if local_ms is None:
        return CheckFinding("time_missing", claimed=_claimed(capture))
    moments = [capture.ms, told_ms, capture.wall_ms]
    beyond_ms = min(_beyond_zones(local_ms, moment) for moment in moments if moment is not None)
    allowed_ms = thresholds.photo_time_gap_s * 1000 + (capture.error_ms or 0) + _length_ms(origin)
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


def _finding(code: str, taken_ms: int, claimed: str, measured_s: float | None, allowed_s: float) -> CheckFinding:
    return CheckFinding(code, _iso(taken_ms), claimed, measured_s, allowed_s, "s")


def _length_ms(origin: Origin) -> int:
    """A video's time is that of its start or of its end, depending on the phone."""
    return origin.duration_ms if isinstance(origin, VideoFacts) else 0


def _claimed(capture: CaptureTime) -> str:
    bound = "?" if capture.error_ms is None else f"{capture.error_ms / 1000:g} s"
    return f"{_iso(capture.ms)} ± {bound}"


def _iso(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
