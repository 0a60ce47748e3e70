"""The checks of photos and videos: what each finding means, with which values, and the verdict."""

import itertools
import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.datum import EARTH_RADIUS_M, Datum, convert
from field_schemas.media import MediaRef
from field_schemas.media_findings import FINDINGS, CheckFinding, Effect, Proof, Verdict, verdict_of
from field_schemas.places import Area, Position
from field_schemas.record import type_of
from field_schemas.types.media_check import MediaCheck
from media.checks.areas import outside_m
from media.checks.claims import CaptureTime, Claims, SeenPicture
from media.checks.report import Report, check
from media.checks.traces import check_editing
from media.exif import read
from media.inspection.facts import Facts
from media.metadata.video import read_video
from media.thresholds import Thresholds
from tests.films import film
from tests.photos import Shot, encoded, exif_of, photo, scene

TAKEN = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
TAKEN_MS = int(TAKEN.timestamp() * 1000)
HERE = "+22.5410+114.0590/"
RECORD, OTHER, TASK = UUID(int=1), UUID(int=2), UUID(int=3)
DIGEST = "sha256:" + "a" * 64
SIZE = 20_000
CAPTURE = CaptureTime(ms=TAKEN_MS + 30_000, error_ms=2_000, received_ms=TAKEN_MS + 7_200_000)
CLAIMS = Claims(
    digest=DIGEST,
    record=RECORD,
    capture=CAPTURE,
    position=Position(114.059, 22.541, accuracy_m=10),
    device="HUAWEI P60",
)


def claims(**changes: object) -> Claims:
    """The claims of an honest photo, but for `changes`."""
    return msgspec.structs.replace(CLAIMS, **changes)


def captured(told_at: datetime | None = None, **changes: object) -> Claims:
    """The same, captured at another time; `told_at` is when the record says that the photo was taken."""
    ref = None if told_at is None else MediaRef(DIGEST, SIZE, "image/jpeg", captured_at=told_at)
    return claims(capture=msgspec.structs.replace(CAPTURE, **changes), ref=ref)


def told(**changes: object) -> Claims:
    """The same, with a record that tells more of the photo."""
    return claims(ref=msgspec.structs.replace(MediaRef(DIGEST, SIZE, "image/jpeg"), **changes))


def facts_of(shot: Shot) -> Facts:
    """The facts of an intact photo file."""
    read_of_it = read(photo(shot))
    return Facts(digest=DIGEST, size_bytes=SIZE, media_type="image/jpeg", photo=read_of_it, fingerprint=0b1011)


def checked(shot: Shot, claimed: Claims = CLAIMS, *earlier: SeenPicture) -> Report:
    """The report on a photo."""
    return check(claimed, facts_of(shot), earlier)


def named(report: Report, code: str) -> CheckFinding:
    """The one finding with this code."""
    (finding,) = [found for found in report.findings if found.code == code]
    return finding


def test_honest_photo_is_verified() -> None:
    """Right bytes, time, place and camera: verified, and each agreement is a finding with its values."""
    report = checked(Shot())
    assert report.verdict is Verdict.VERIFIED
    assert {finding.code for finding in report.findings} == {
        "digest_matches",
        "time_matches",
        "place_matches",
        "device_matches",
    }
    time = named(report, "time_matches")
    assert (time.measured, time.threshold, time.unit) == (30.0, 902.0, "s")
    place = named(report, "place_matches")
    assert place.measured is not None
    assert place.measured < 1
    assert (place.threshold, place.unit) == (65.0, "m")


def test_stripped_photo_is_unverified() -> None:
    """Without EXIF nothing is compared, and the typed coordinates do not stand in for it."""
    report = checked(Shot(exif=False))
    assert [finding.code for finding in report.findings] == ["digest_matches", "metadata_missing"]
    assert report.verdict is Verdict.UNVERIFIED


def test_other_bytes_are_suspect() -> None:
    """Bytes that are not the announced ones make everything else worthless."""
    report = checked(Shot(), claims(digest="sha256:" + "b" * 64))
    assert (named(report, "digest_differs").found, report.verdict) == (DIGEST, Verdict.SUSPECT)


@pytest.mark.parametrize(
    ("shot", "claimed", "code"),
    [
        (Shot(taken="2026-11-20T06:30:00", saved=None), CLAIMS, "time_differs"),
        (Shot(), captured(received_ms=TAKEN_MS - 200_000), "time_after_receipt"),
        (Shot(taken="2026-11-22T09:30:00", offset=None), CLAIMS, "time_differs"),
        (Shot(position=(22.56, 114.059)), CLAIMS, "place_differs"),
        (Shot(model="P50"), CLAIMS, "device_differs"),
        (Shot(software="Adobe Photoshop 25.0"), CLAIMS, "editor_named"),
        (Shot(software="Meitu 10"), CLAIMS, "editor_named"),
        (Shot(), told(size=1), "size_differs"),
        (Shot(), told(captured_at=TAKEN - timedelta(days=3)), "time_differs"),
        (Shot(taken="2026-11-20T10:30:00", saved=None), told(captured_at=TAKEN + timedelta(hours=1)), "time_differs"),
        (Shot(), told(place=Position(10.0, 50.0)), "told_place_differs"),
    ],
)
def test_contradictions_are_suspect(shot: Shot, claimed: Claims, code: str) -> None:
    """What cannot be as claimed makes a photo suspect."""
    report = checked(shot, claimed)
    assert code in {finding.code for finding in report.findings}
    assert report.verdict is Verdict.SUSPECT


@pytest.mark.parametrize(
    ("shot", "claimed", "code"),
    [
        (Shot(offset=None), CLAIMS, "time_zone_unknown"),
        (Shot(offset=None, gps_time=TAKEN - timedelta(minutes=60)), CLAIMS, "time_zone_unknown"),
        (Shot(offset=None, gps_time=TAKEN - timedelta(minutes=31)), CLAIMS, "time_zone_unknown"),
        (Shot(gps_time=TAKEN - timedelta(days=3)), CLAIMS, "gps_time_differs"),
        (Shot(offset=None, gps_time=TAKEN - timedelta(days=3)), CLAIMS, "gps_time_differs"),
        (Shot(), told(media_type="image/png"), "kind_differs"),
        (Shot(), captured(ms=TAKEN_MS + 7_200_000, told_at=TAKEN), "time_long_before"),
        (Shot(taken=None), CLAIMS, "time_missing"),
        (Shot(), captured(error_ms=None), "capture_unbounded"),
        (Shot(), captured(error_ms=86_400_000), "capture_unbounded"),
        (Shot(position=None), CLAIMS, "place_missing"),
        (Shot(position=(0.0, 0.0)), CLAIMS, "place_zero"),
        (Shot(datum="TOKYO"), CLAIMS, "place_datum_unknown"),
        (Shot(accuracy_m=3_000.0), CLAIMS, "place_vague"),
        (Shot(), claims(position=Position(114.059, 22.541, accuracy_m=100_000)), "place_vague"),
        (Shot(), claims(position=None), "place_not_claimed"),
        (Shot(make=None, model=None), CLAIMS, "device_unnamed"),
        (Shot(exposure=False), CLAIMS, "camera_tags_missing"),
        (Shot(saved="2026-11-20T10:00:00"), CLAIMS, "saved_later"),
        (Shot(exif=False, size=(1080, 2400)), CLAIMS, "maybe_screenshot"),
    ],
)
def test_gaps_are_unverified(shot: Shot, claimed: Claims, code: str) -> None:
    """What is missing or too vague leaves a photo unverified, and blames nobody."""
    report = checked(shot, claimed)
    assert code in {finding.code for finding in report.findings}
    assert report.verdict is Verdict.UNVERIFIED


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
    assert checked(Shot(), captured(told_at=TAKEN, ms=TAKEN_MS + 1_200_000)).verdict is Verdict.VERIFIED
    assert checked(Shot(), captured(ms=TAKEN_MS + 1_200_000)).verdict is Verdict.SUSPECT


def test_zone_by_gps_is_told() -> None:
    """A time whose zone came from the GPS time counts, and the report says so."""
    report = checked(Shot(offset=None, gps_time=TAKEN))
    assert named(report, "time_zone_from_gps").effect is Effect.NEUTRAL
    assert report.verdict is Verdict.VERIFIED


def test_datums_are_compared_as_one() -> None:
    """A photo in GCJ-02 at a record in WGS-84 is compared on the ground, not by its degrees."""
    lon, lat = convert(114.059, 22.541, Datum.WGS84, Datum.GCJ02)
    assert checked(Shot(position=(lat, lon), datum="GCJ-02")).verdict is Verdict.VERIFIED
    assert checked(Shot(position=(lat, lon))).verdict is Verdict.SUSPECT


def test_assumed_datum_is_told() -> None:
    """A photo without datum is taken as WGS-84, and the report says so."""
    report = checked(Shot(datum=None))
    assert named(report, "place_datum_assumed").effect is Effect.NEUTRAL
    assert report.verdict is Verdict.VERIFIED


PARK = Area(
    rings=[
        [(114.05, 22.53), (114.07, 22.53), (114.07, 22.55), (114.05, 22.55), (114.05, 22.53)],
        [(114.055, 22.535), (114.065, 22.535), (114.065, 22.545), (114.055, 22.545), (114.055, 22.535)],
    ]
)


@pytest.mark.parametrize(
    ("lon", "lat", "metres"),
    [(114.052, 22.54, 0), (114.049, 22.54, 102.7), (114.06, 22.551, 111.2), (114.06, 22.54, 513.5)],
)
def test_distance_to_an_area(lon: float, lat: float, metres: float) -> None:
    """Inside an area the distance is 0; outside, and in its holes, it is that to the nearest edge, in metres."""
    assert outside_m(Position(lon, lat), PARK) == pytest.approx(metres, abs=1)


TURNS = st.lists(st.tuples(st.floats(0.5, 1), st.floats(0.2, 1)), min_size=5, max_size=12)


@given(TURNS, st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
def test_distance_as_another_program_has_it(turns: list[tuple[float, float]], east: float, north: float) -> None:
    """To areas with a hole, of many shapes, the distance is what shapely measures in the same plane."""
    rings = [_star(turns, 0.01), _star(turns, 0.004)]
    here = Position(east, north)
    # At the equator a degree is as long to the east as to the north.
    scale = math.radians(1) * EARTH_RADIUS_M
    plane = [[((x - east) * scale * math.cos(math.radians(north)), (y - north) * scale) for x, y in r] for r in rings]
    expected = shapely.Polygon(plane[0], [plane[1]]).distance(shapely.Point(0, 0))
    assert outside_m(here, Area(rings=rings)) == pytest.approx(expected, abs=0.01)


def _star(turns: list[tuple[float, float]], size: float) -> list[tuple[float, float]]:
    """A ring around (0, 0) that sees all its corners from there."""
    total, angle, ring = sum(step for step, _ in turns), 0.0, []
    for step, reach in turns:
        ring.append((math.cos(angle) * reach * size, math.sin(angle) * reach * size))
        angle += step / total * math.tau
    return [*ring, ring[0]]


def test_distance_across_the_date_line() -> None:
    """An area that touches the date line is near to what lies beyond it."""
    edge = Area(rings=[[(179.9, 0.0), (179.99, 0.0), (179.99, 0.1), (179.9, 0.0)]])
    assert outside_m(Position(-179.99, 0.05), edge) == pytest.approx(2224, abs=5)


def test_area_that_is_none() -> None:
    """Rings that span no area give no finding rather than a wrong one."""
    flat = Area(rings=[[(114.0, 22.5)] * 4])
    assert outside_m(Position(114.0, 22.5), flat) in (None, 0.0)


@pytest.mark.parametrize(
    ("place", "verdict"),
    [
        (PARK, Verdict.SUSPECT),
        (Position(114.0595, 22.541), Verdict.VERIFIED),
        (Position(114.07, 22.541), Verdict.SUSPECT),
    ],
)
def test_place_of_the_task(place: Position | Area, verdict: Verdict) -> None:
    """A photo of a task is taken at the task's place: a point or an area. Here the area has a hole."""
    assert checked(Shot(), claims(task_place=place)).verdict is verdict


@pytest.mark.parametrize(
    ("west", "code", "verdict"),
    [(114.05, "grid_matches", Verdict.VERIFIED), (114.07, "grid_differs", Verdict.SUSPECT)],
)
def test_grid_of_a_record_without_position(west: float, code: str, verdict: Verdict) -> None:
    """Where neither record nor task states a position, the unit grid stands for it."""
    ring = [(west, 22.53), (west + 0.02, 22.53), (west + 0.02, 22.55), (west, 22.55), (west, 22.53)]
    report = checked(Shot(), claims(position=None, grid=Area(rings=[ring])))
    assert (named(report, code).unit, report.verdict) == ("m", verdict)
    assert code not in {found.code for found in checked(Shot(), claims(grid=Area(rings=[ring]))).findings}


def test_the_same_file_elsewhere() -> None:
    """A file that another record used already is suspect, and the report names that record."""
    report = checked(Shot(), CLAIMS, SeenPicture(OTHER, DIGEST, None))
    assert (named(report, "seen_same").measured, report.earlier, report.verdict) == (0, (OTHER,), Verdict.SUSPECT)


@pytest.mark.parametrize(("bits", "verdict"), [(6, Verdict.UNVERIFIED), (7, Verdict.VERIFIED)])
def test_nearly_the_same_picture_elsewhere(bits: int, verdict: Verdict) -> None:
    """Forms and meters look alike: a picture like one used elsewhere is a gap, one beyond the threshold another."""
    seen = SeenPicture(OTHER, "sha256:" + "c" * 64, 0b1011 ^ (1 << bits) - 1 << 20)
    assert checked(Shot(), CLAIMS, seen).verdict is verdict


def test_who_came_later_is_no_reason() -> None:
    """A photo that is checked again is compared with those that were used before it, not with later ones."""
    own, later = SeenPicture(RECORD, DIGEST, None, 5), SeenPicture(OTHER, DIGEST, None, 6)
    assert checked(Shot(), CLAIMS, own, later).verdict is Verdict.VERIFIED
    assert checked(Shot(), claims(record=OTHER), own, later).earlier == (RECORD,)


def test_the_same_matter_may_show_a_thing_twice() -> None:
    """Two pictures of one thing within one record, or within its task, are no reuse."""
    burst = SeenPicture(RECORD, "sha256:" + "c" * 64, 0b1011)
    by_task = SeenPicture(TASK, DIGEST, 0b1011)
    report = checked(Shot(), claims(related=frozenset({TASK})), burst, by_task)
    assert (named(report, "seen_here").effect, report.verdict) == (Effect.NEUTRAL, Verdict.VERIFIED)


@pytest.mark.parametrize(
    ("device", "code"),
    [("P60", "device_matches"), ("huawei  p60", "device_matches"), (None, "device_not_enrolled")],
)
def test_device_as_enrolled(device: str | None, code: str) -> None:
    """A device may be enrolled with its model alone; without one nothing is compared, and the report says so."""
    report = checked(Shot(), claims(device=device))
    assert named(report, code).found == "Huawei P60"
    assert report.verdict is Verdict.VERIFIED


@pytest.mark.parametrize(
    ("software", "edited"),
    [
        *((name, False) for name in ("Dallmeier DF5200", "Randall 1.2", "Canvas Camera 2", "Hawkeye Firefly Q6")),
        *((name, False) for name in ("Gimpel 4.1", "HarmonyOS 4.2", "26.0.1")),
        *((name, True) for name in ("Adobe Photoshop 25.0 (Windows)", "Adobe Firefly", "Canva", "GIMP 2.10.36")),
        *((name, True) for name in ("Snapseed2", "com.meitu.meitupic", "美图秀秀 10", "DALL·E 3", "Paint.NET 5")),
    ],
)
def test_editors_by_their_whole_names(software: str, edited: bool) -> None:
    """Editing software is told by its name, not by letters that cameras' names have as well."""
    said = msgspec.structs.replace(read(photo(Shot())), software=software)
    assert ("editor_named" in {finding.code for finding in check_editing(said, Thresholds())}) is edited


def test_thumbnail_of_another_picture() -> None:
    """An embedded thumbnail that shows something else is suspect."""
    report = check(CLAIMS, msgspec.structs.replace(facts_of(Shot()), thumbnail_bits=30), ())
    assert (named(report, "thumbnail_differs").threshold, report.verdict) == (20, Verdict.SUSPECT)


def test_thresholds_are_settings() -> None:
    """The same photo passes or not by the thresholds given."""
    strict = Thresholds(photo_time_gap_s=10)
    assert check(CLAIMS, facts_of(Shot()), (), strict).verdict is Verdict.SUSPECT


def test_stopped_inspection_blames_nobody() -> None:
    """A file that could not be looked into is unverified: nothing is said of bytes that were not read."""
    report = check(CLAIMS, Facts(faults=(CheckFinding("inspection_stopped"),)), ())
    assert [finding.code for finding in report.findings] == ["inspection_stopped"]
    assert report.verdict is Verdict.UNVERIFIED


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


def test_position_without_fix() -> None:
    """A position of the last fix, with none at the moment of the photo, proves nothing and blames nobody."""
    old = read(encoded(scene(1), exif=exif_of(Shot(), {9: "V"})))
    report = check(CLAIMS, Facts(digest=DIGEST, photo=old), ())
    assert (named(report, "place_without_fix").effect, report.verdict) == (Effect.MISSING, Verdict.UNVERIFIED)


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


def test_verdicts_by_the_table() -> None:
    """For every mix of effects and proofs the verdict is what the table says in words."""
    samples = [next(code.name for code in FINDINGS.values() if code.effect is effect) for effect in Effect]
    proofs = [next(code.name for code in FINDINGS.values() if code.proves is proof) for proof in Proof]
    for size in range(len(samples) + len(proofs) + 1):
        for codes in itertools.combinations([*samples, *proofs], size):
            effects = {FINDINGS[code].effect for code in codes}
            proven = {FINDINGS[code].proves for code in codes}
            expected = (
                Verdict.SUSPECT
                if Effect.CONTRADICTS in effects
                else Verdict.VERIFIED
                if Effect.MISSING not in effects and proven >= set(Proof)
                else Verdict.UNVERIFIED
            )
            assert verdict_of(CheckFinding(code) for code in codes) is expected


def test_every_code_has_words() -> None:
    """Every finding reads in both languages, and every word carries its measured value."""
    assert all(code.title.zh and code.title.en for code in FINDINGS.values())
    far = CheckFinding("place_differs", measured=1_250, unit="m").words()
    assert (far.zh, far.en) == (
        "拍摄位置与记录位置不符（1.2 公里）",
        "The photo was taken away from the record's position (1.2 km)",
    )


def test_record_carries_the_report() -> None:
    """A report goes into a media check, field by field, and comes back out of it."""
    report = checked(Shot(position=(22.56, 114.059)), CLAIMS, SeenPicture(OTHER, DIGEST, None))
    spec = type_of(MediaCheck)
    made = MediaCheck(
        media=DIGEST,
        record_type="finding",
        record=RECORD,
        author="li.na",
        verdict=report.verdict,
        findings=list(report.findings),
        concerns=["grid:440304001001001"],
        checked_at=TAKEN,
        earlier=list(report.earlier),
    )
    back = spec.typed(spec.patch_of(made), made.id, 1)
    assert (back.verdict, back.findings, back.earlier) == (Verdict.SUSPECT, made.findings, [OTHER])


def test_only_supervisors_learn_where_else() -> None:
    """Whose record used the picture before is kept from everyone but supervisors."""
    spec = type_of(MediaCheck)
    assert spec.limited_fields == {"earlier"}
