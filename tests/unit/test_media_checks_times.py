"""The time of a photo or film against that of its capture: clocks, zones, and what is told."""

from datetime import timedelta

from field_schemas.media_findings import Effect, Verdict
from field_schemas.places import Position
from media.checks.report import Report, check
from media.inspection.facts import Facts
from media.metadata.video import read_video
from tests.films import film
from tests.photos import Shot
from tests.unit.media_claims import CLAIMS, DIGEST, HERE, TAKEN, TAKEN_MS, captured, checked, named


def test_wrong_phone_clock_is_no_fraud() -> None:
    """A photo that bears the time of the phone's own wrong clock is unverified, not suspect."""
    wrong = captured(ms=TAKEN_MS + 10_800_000, wall_ms=TAKEN_MS + 30_000, received_ms=None)
    report = checked(Shot(), wrong)
    assert named(report, "time_by_wrong_clock").measured == 10_800
    assert report.verdict is Verdict.UNVERIFIED


def test_wrong_phone_clock_is_no_fraud_after_the_receipt() -> None:
    """A phone whose clock is ahead takes photos of the future: that is its clock, and known by what it says."""
    ahead = Shot(taken="2026-11-20T10:30:00", saved="2026-11-20T10:30:01")
    wrong = captured(ms=TAKEN_MS, wall_ms=TAKEN_MS + 3_600_000, received_ms=TAKEN_MS + 10_000)
    report = checked(ahead, wrong)
    assert named(report, "time_by_wrong_clock").measured == 3_600
    assert report.verdict is Verdict.UNVERIFIED
    right = captured(ms=TAKEN_MS, wall_ms=TAKEN_MS, received_ms=TAKEN_MS + 10_000)
    assert named(checked(ahead, right), "time_after_receipt").effect is Effect.CONTRADICTS


def test_photo_taken_before_the_report() -> None:
    """Who takes a photo and reports in twenty minutes tells when it was taken; without that it is off."""
    report = checked(Shot(), captured(told_at=TAKEN, ms=TAKEN_MS + 1_200_000))
    assert report.verdict is Verdict.VERIFIED
    time = named(report, "time_matches")
    assert (time.measured, time.threshold) == (1_200, 3_602)
    assert checked(Shot(), captured(ms=TAKEN_MS + 1_200_000)).verdict is Verdict.SUSPECT


def test_zone_by_gps_is_told() -> None:
    """A time whose zone came from the GPS time counts, and the report says so."""
    report = checked(Shot(offset=None, gps_time=TAKEN))
    assert named(report, "time_zone_from_gps").effect is Effect.NEUTRAL
    assert report.verdict is Verdict.VERIFIED


def test_video() -> None:
    """A video is checked by its container: time of its start or end, place, make and model."""
    data = film(
        TAKEN + timedelta(seconds=200),
        "+22.5410+114.0590/",
        {"com.android.manufacturer": "HUAWEI", "com.android.model": "P60"},
        seconds=120,
    )
    facts = Facts(digest=DIGEST, video=read_video(data, "video/mp4"))
    assert facts.video is not None
    assert (facts.video.width, facts.video.duration_ms) == (1920, 120_000)
    assert check(CLAIMS, facts, ()).verdict is Verdict.VERIFIED


def test_video_by_a_camera_that_writes_local_time() -> None:
    """Where the format has UTC some cameras write local time: no contradiction, but a film of days ago is one."""
    camera = {"com.android.manufacturer": "HUAWEI", "com.android.model": "P60"}
    by_local, old = film(TAKEN + timedelta(hours=8), HERE, camera), film(TAKEN - timedelta(days=5), HERE, camera)
    reports = [
        check(CLAIMS, Facts(digest=DIGEST, video=read_video(data, "video/mp4")), ()) for data in (by_local, old)
    ]
    assert [report.verdict for report in reports] == [Verdict.UNVERIFIED, Verdict.SUSPECT]
    assert named(reports[0], "time_zone_unknown").found == "2026-11-20T09:30:00.000+00:00"


def test_length_of_a_film_excuses_hours_not_days() -> None:
    """The length that a film states is no better than its time: beyond what is vague it proves nothing."""

    def judged(before: timedelta, length: timedelta) -> Report:
        data = film(TAKEN - before, "+22.5410+114.0590/", seconds=round(length.total_seconds()))
        return check(CLAIMS, Facts(digest=DIGEST, video=read_video(data, "video/mp4")), ())

    hour, day = timedelta(hours=1), timedelta(days=1)
    assert named(judged(2 * hour, 2 * hour), "time_matches").threshold == 900 + 7_200 + 2
    assert judged(3 * hour, 3 * hour).verdict is Verdict.UNVERIFIED
    assert named(judged(40 * day, 46 * day), "time_vague").measured == 46 * 86_400
    assert judged(40 * day, 46 * day).verdict is Verdict.UNVERIFIED
    assert named(judged(40 * day, 39 * day), "time_differs").effect is Effect.CONTRADICTS


def test_video_by_apple() -> None:
    """Apple's metadata carries zone, place and model."""
    keys = {
        "com.apple.quicktime.creationdate": "2026-11-20T09:30:00+0800",
        "com.apple.quicktime.location.ISO6709": "+22.5410+114.0590+012.000/",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 17",
    }
    video = read_video(film(keys=keys, brand=b"qt  "), "video/quicktime")
    assert (video.taken_ms, video.zone, video.make, video.model) == (TAKEN_MS, "offset", "Apple", "iPhone 17")
    assert video.position == Position(114.059, 22.541)


def test_video_cut_off() -> None:
    """A video without its index, or cut short, is damaged and does not raise."""
    data = film(TAKEN)
    assert all(read_video(data[:cut], "video/mp4").damaged for cut in range(8, len(data)))
