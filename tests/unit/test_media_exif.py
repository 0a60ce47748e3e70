"""What a photo says of its own making is read right, whatever it is written in and however badly."""

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from PIL.TiffImagePlugin import IFDRational

from field_schemas.datum import Datum, distance_m
from field_schemas.media_findings import CheckFinding
from field_schemas.places import Position
from media import exif
from media.checks.claims import CaptureTime, Claims
from media.metadata.facts import PositionFault
from tests.heic import heic
from tests.photos import NOTHING, Format, Shot, degrees, encoded, exif_of, photo, scene

TAKEN = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
TAKEN_MS = int(TAKEN.timestamp() * 1000)


def with_gps(tags: dict[int, object], **said: object) -> exif.PhotoFacts:
    """What is read from a photo whose GPS directory has these tags."""
    return exif.read(encoded(scene(1), exif=exif_of(Shot(**said), tags)))  # type: ignore[arg-type]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_formats(file_format: Format) -> None:
    """Time, place and camera are read from JPEG, PNG and WebP alike."""
    facts = exif.read(photo(Shot(), file_format))
    assert (facts.make, facts.model, facts.taken_ms, facts.zone) == ("Huawei", "P60", TAKEN_MS, "offset")
    assert (facts.width, facts.height, facts.damaged, facts.exif_damaged) == (640, 480, False, False)
    assert facts.end == facts.size_bytes
    assert facts.position is not None
    assert distance_m(facts.position.lon, facts.position.lat, 114.059, 22.541) < 0.1
    assert facts.position.accuracy_m == 5


def test_heic() -> None:
    """The same is read from HEIC."""
    facts = exif.read(heic(scene(1, (96, 64)), exif_of(Shot())))
    assert (facts.media_type, facts.width, facts.height) == ("image/heic", 96, 64)
    assert (facts.model, facts.taken_ms, facts.damaged) == ("P60", TAKEN_MS, False)
    assert facts.position == exif.read(photo(Shot())).position


def test_read_from_a_file(tmp_path: Path) -> None:
    """A file on disk reads like its bytes; an empty one is no picture."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo(Shot()))
    assert exif.read(path) == exif.read(path.read_bytes())
    path.write_bytes(b"")
    assert exif.read(path).media_type is None


@pytest.mark.parametrize(("lat", "lon"), [(22.5, 114.0), (-33.9, 151.2), (40.7, -74.0), (-34.6, -58.4)])
def test_signs(lat: float, lon: float) -> None:
    """North and south, east and west come from the reference tags."""
    position = exif.read(photo(Shot(position=(lat, lon)))).position
    assert position is not None
    assert (position.lat, position.lon) == pytest.approx((lat, lon), abs=1e-6)


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ({1: None}, PositionFault.MALFORMED),
        ({3: "X"}, PositionFault.MALFORMED),
        ({2: (IFDRational(22), IFDRational(1, 0), IFDRational(0))}, PositionFault.MALFORMED),
        ({2: (NOTHING, NOTHING, NOTHING), 4: (NOTHING, NOTHING, NOTHING)}, PositionFault.MALFORMED),
        ({2: degrees(91)}, PositionFault.MALFORMED),
        ({4: degrees(180.5)}, PositionFault.MALFORMED),
        ({2: (IFDRational(22), IFDRational(75), IFDRational(0))}, PositionFault.MALFORMED),
        ({2: (IFDRational(22),)}, PositionFault.MALFORMED),
        ({4: None}, PositionFault.MALFORMED),
        ({2: degrees(0), 4: degrees(0)}, PositionFault.ZERO),
        ({18: "TOKYO"}, PositionFault.DATUM_UNKNOWN),
    ],
)
def test_positions_that_are_none(tags: dict[int, object], fault: PositionFault) -> None:
    """Missing signs, x/0, 0/0, out of range, zero island, unknown datum: no position, and why."""
    facts = with_gps(tags)
    assert (facts.position, facts.position_fault) == (None, fault)


def test_no_gps_is_no_fault() -> None:
    """A photo without a position is only that."""
    facts = exif.read(photo(Shot(position=None)))
    assert (facts.position, facts.position_fault) == (None, None)


@pytest.mark.parametrize("written", ["GCJ-02", "GCJ02", "gcj 02"])
def test_datum_of_chinese_maps(written: str) -> None:
    """A position in GCJ-02 is read as such, about 600 m from the same degrees in WGS-84."""
    position = exif.read(photo(Shot(datum=written))).position
    assert position is not None
    assert position.datum is Datum.GCJ02
    assert 400 < distance_m(*position.wgs84(), 114.059, 22.541) < 800


def test_datum_not_written() -> None:
    """Without a datum WGS-84 is taken, and the facts say that none is written."""
    facts = exif.read(photo(Shot(datum=None)))
    assert facts.position is not None
    assert (facts.position.datum, facts.datum_written) == (Datum.WGS84, None)


@pytest.mark.parametrize("lag_s", [0, 59, 300])
def test_zone_by_gps_time(lag_s: int) -> None:
    """Without an offset the zone follows from the GPS time, also when its fix is minutes old."""
    facts = exif.read(photo(Shot(offset=None, gps_time=TAKEN - timedelta(seconds=lag_s))))
    assert (facts.taken_ms, facts.zone) == (TAKEN_MS, "gps")


def test_zone_not_by_an_old_fix() -> None:
    """A GPS time that fits no zone says nothing about the zone."""
    facts = exif.read(photo(Shot(offset=None, gps_time=TAKEN - timedelta(minutes=8))))
    assert (facts.taken_ms, facts.zone, facts.local_ms) == (None, None, TAKEN_MS + 8 * 3_600_000)


@pytest.mark.parametrize("offset", ["+8", "25:00", "+99:00", ""])
def test_offsets_that_are_none(offset: str) -> None:
    """An offset that is no zone leaves the zone unknown."""
    assert exif.read(photo(Shot(offset=offset or None))).zone is None


def test_time_not_set() -> None:
    """A clock that was never set gives no time."""
    raw = photo(Shot()).replace(b"2026:11:20 09:30:00", b"0000:00:00 00:00:00")
    assert exif.read(raw).taken is None


def test_stripped() -> None:
    """A photo whose EXIF was removed has none, and is not damaged."""
    facts = exif.read(photo(Shot(exif=False)))
    assert (facts.has_exif, facts.damaged, facts.taken_ms, facts.position) == (False, False, None, None)


def test_any_damage_is_survived() -> None:
    """No change of bytes makes reading raise."""
    chance = random.Random(7)
    small = Shot(thumbnail_seed=1, size=(64, 48))
    files = [photo(small), photo(small, "PNG"), photo(small, "WEBP"), heic(scene(1, (32, 32)), exif_of(small))]
    for whole in files:
        for _ in range(500):
            raw = bytearray(whole[: chance.randrange(1, len(whole) + 1)])
            for _ in range(chance.randrange(8)):
                raw[chance.randrange(min(len(raw), 900))] = chance.choice((0, 1, 255, chance.randrange(256)))
            assert exif.read(bytes(raw)).size_bytes == len(raw)


CAPTURE = CaptureTime(ms=TAKEN_MS + 60_000, error_ms=1_000)
HERE = Position(114.059, 22.541, accuracy_m=10)


CLAIMS = Claims(digest="", record=UUID(int=1), capture=CAPTURE, position=HERE, device="Huawei P60")


def warned(shot: Shot, **claimed: object) -> list[CheckFinding]:
    """What a device says about the photo."""
    return exif.warnings(exif.read(photo(shot)), msgspec.structs.replace(CLAIMS, **claimed))


def test_nothing_to_warn_of() -> None:
    """A photo as it should be draws no warning."""
    assert warned(Shot()) == []


def test_warns_of_missing_position() -> None:
    """A photo without position is noticed before the user walks away, in both languages."""
    (warning,) = warned(Shot(position=None))
    assert (warning.words().zh, warning.words().en) == ("照片没有位置", "No position in this photo")


def test_warns_of_wrong_time() -> None:
    """A photo whose time is three hours off says by how much."""
    (warning,) = warned(Shot(taken="2026-11-20T06:31:00", saved=None))
    assert warning.code == "time_differs"
    assert warning.words().en == "The photo's time is off (3 hours)"
    assert "3 小时" in warning.words().zh


def test_warns_of_stripped_exif() -> None:
    """A photo from a messenger, stripped of everything, draws one warning and not five."""
    assert [warning.code for warning in warned(Shot(exif=False))] == ["metadata_missing"]


def test_warns_of_all_that_the_server_would_say() -> None:
    """Another camera, editing software, the wrong place of the task: the phone knows these as well."""
    edited = Shot(make="Apple", model="iPhone 15", software="Adobe Photoshop 25.0")
    task = Position(114.2, 22.541)
    codes = {warning.code for warning in warned(edited, task_place=task)}
    assert codes == {"device_differs", "editor_named", "task_place_differs"}


def test_light_enough_for_a_phone() -> None:
    """Reading EXIF loads neither Pillow nor anything else the bare install lacks."""
    loaded = "import sys, media.exif; print([name for name in ('PIL', 'shapely', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
