"""A file's time against the bounded time of its capture, and its receipt."""

from datetime import UTC, datetime

from field_schemas.media_findings import CheckFinding
from media.checks.claims import CaptureTime
from media.metadata.facts import Origin, VideoFacts
from media.metadata.meaning import EAST_MS, WEST_MS
from media.thresholds import Thresholds


def check_time(origin: Origin, capture: CaptureTime, thresholds: Thresholds) -> list[CheckFinding]:
    """Whether `origin` was made when it was captured."""
    if origin.taken_ms is None:
        return [_without_zone(origin, capture, thresholds)]
    findings = [CheckFinding("time_zone_from_gps", found=origin.taken)] if origin.zone == "gps" else []
    return [*findings, *_after_receipt(origin.taken_ms, capture, thresholds), _compared(origin, capture, thresholds)]


def _compared(origin: Origin, capture: CaptureTime, thresholds: Thresholds) -> CheckFinding:
    taken_ms = origin.taken_ms or 0
    gap_ms = abs(taken_ms - capture.ms)
    error_ms = capture.error_ms
    if error_ms is None or error_ms > thresholds.photo_vague_time_s * 1000:
        bound = None if error_ms is None else error_ms / 1000
        return _finding("capture_unbounded", _iso(taken_ms), capture, bound, thresholds.photo_vague_time_s)
    allowed_ms = thresholds.photo_time_gap_s * 1000 + _length_ms(origin)
    code = "time_matches"
    if gap_ms > allowed_ms + error_ms:
        by_clock = capture.wall_ms is not None and abs(taken_ms - capture.wall_ms) <= allowed_ms
        code = "time_by_wrong_clock" if by_clock else "time_differs"
    return _finding(code, _iso(taken_ms), capture, gap_ms / 1000, (allowed_ms + error_ms) / 1000)


def _after_receipt(taken_ms: int, capture: CaptureTime, thresholds: Thresholds) -> list[CheckFinding]:
    if capture.received_ms is None or taken_ms <= capture.received_ms + thresholds.photo_after_receipt_s * 1000:
        return []
    late_s = (taken_ms - capture.received_ms) / 1000
    claimed = _iso(capture.received_ms)
    return [
        CheckFinding("time_after_receipt", _iso(taken_ms), claimed, late_s, thresholds.photo_after_receipt_s, "s")
    ]


def _without_zone(origin: Origin, capture: CaptureTime, thresholds: Thresholds) -> CheckFinding:
    """A local time of an unknown zone proves nothing, but one that no zone on earth explains is wrong."""
    if origin.local_ms is None:
        return CheckFinding("time_missing", claimed=_claimed(capture))
    earliest, latest = origin.local_ms - EAST_MS, origin.local_ms - WEST_MS
    beyond_ms = max(earliest - capture.ms, capture.ms - latest, 0)
    allowed_ms = thresholds.photo_time_gap_s * 1000 + (capture.error_ms or 0)
    if beyond_ms > allowed_ms and capture.error_ms is not None:
        return _finding("time_differs", origin.taken, capture, beyond_ms / 1000, allowed_ms / 1000)
    return CheckFinding("time_zone_unknown", origin.taken, _claimed(capture))


def _finding(
    code: str, found: str | None, capture: CaptureTime, measured_s: float | None, allowed_s: float
) -> CheckFinding:
    return CheckFinding(code, found, _claimed(capture), measured_s, allowed_s, "s")


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
