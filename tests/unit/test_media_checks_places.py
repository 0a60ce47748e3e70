"""The position of a photo against record, task and grid: points, areas, datums."""

import math
from datetime import timedelta

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.datum import EARTH_RADIUS_M, Datum, convert
from field_schemas.media_findings import Effect, Verdict
from field_schemas.places import Area, Position
from media.checks.areas import outside_m
from media.checks.report import check
from media.exif import read
from media.inspection.facts import Facts
from tests.photos import Shot, encoded, exif_of, scene
from tests.unit.media_claims import CLAIMS, DIGEST, TAKEN, checked, claims, named


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


def test_position_without_fix() -> None:
    """A position of the last fix, with none at the moment of the photo, proves nothing and blames nobody."""
    old = read(encoded(scene(1), exif=exif_of(Shot(), {9: "V"})))
    report = check(CLAIMS, Facts(digest=DIGEST, photo=old), ())
    assert (named(report, "place_without_fix").effect, report.verdict) == (Effect.MISSING, Verdict.UNVERIFIED)


@pytest.mark.parametrize(
    ("fix", "code"),
    [
        (timedelta(0), "place_differs"),
        (timedelta(seconds=-40), "place_differs"),
        (timedelta(minutes=-1), "place_of_old_fix"),
        (timedelta(minutes=-29), "place_of_old_fix"),
        (timedelta(minutes=-31), "place_of_old_fix"),
    ],
)
def test_distance_since_an_old_fix(fix: timedelta, code: str) -> None:
    """Cameras write the last fix they had: a distance that could be gone since then blames nobody."""
    report = checked(Shot(position=(22.548, 114.059), accuracy_m=None, gps_time=TAKEN + fix))
    assert named(report, code).measured == pytest.approx(778, abs=1)
    assert report.verdict is (Verdict.SUSPECT if code == "place_differs" else Verdict.UNVERIFIED)


def test_distance_beyond_what_an_old_fix_explains() -> None:
    """Nobody goes a hundred kilometres in twenty minutes."""
    report = checked(Shot(position=(23.541, 114.059), gps_time=TAKEN - timedelta(minutes=20)))
    assert named(report, "place_differs").effect is Effect.CONTRADICTS


def test_distance_without_fix() -> None:
    """A distance to the position of the last fix, with none at the moment of the photo, blames nobody either."""
    old = read(encoded(scene(1), exif=exif_of(Shot(position=(22.548, 114.059)), {9: "V"})))
    report = check(claims(task_place=CLAIMS.position), Facts(digest=DIGEST, photo=old), ())
    assert [one.code for one in report.findings].count("place_of_old_fix") == 2
    assert report.verdict is Verdict.UNVERIFIED
