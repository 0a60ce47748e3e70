"""The checks of photos and videos: what each finding means, with which values, and the verdict."""

import itertools
from datetime import timedelta

import msgspec
import pytest

from field_schemas.media_findings import FINDINGS, CheckFinding, Effect, Proof, Verdict, verdict_of
from field_schemas.places import Position
from field_schemas.record import type_of
from field_schemas.types.media_check import MediaCheck
from media.checks.claims import Claims, SeenPicture
from media.checks.report import check
from media.checks.reuse import overtaken
from media.checks.traces import check_editing
from media.exif import read
from media.inspection.facts import Facts
from media.thresholds import Thresholds
from tests.photos import Shot, photo
from tests.unit.media_claims import (
    CLAIMS,
    DIGEST,
    OTHER,
    RECORD,
    TAKEN,
    TAKEN_MS,
    TASK,
    captured,
    checked,
    claims,
    facts_of,
    named,
    told,
)


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


def test_who_named_it_later_is_no_reason() -> None:
    """A photo that is checked first, or arrives last, is compared with those that were named before it."""
    received_ms = CLAIMS.capture.received_ms or 0
    earlier, later = (SeenPicture(OTHER, DIGEST, None, received_ms + by) for by in (-1, 1))
    assert checked(Shot(), CLAIMS, earlier).verdict is Verdict.SUSPECT
    assert checked(Shot(), CLAIMS, later).verdict is Verdict.VERIFIED
    assert overtaken(CLAIMS, [earlier, later]) == [later]
    assert overtaken(CLAIMS, [SeenPicture(RECORD, DIGEST, None, received_ms), later]) == []


def test_who_copied_from_a_matter_is_no_reason() -> None:
    """A photo that its matter used first may be shown again there, whoever has taken it over in between."""
    by_task, copied = SeenPicture(TASK, DIGEST, None, 5), SeenPicture(OTHER, DIGEST, None, 6)
    assert checked(Shot(), claims(related=frozenset({TASK})), by_task, copied).verdict is Verdict.VERIFIED
    assert checked(Shot(), claims(), by_task, copied).verdict is Verdict.SUSPECT


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
