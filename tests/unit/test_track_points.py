"""Packed track points: what comes back, how small it is, and what hostile bytes do."""

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from field_schemas.track_points import MAX_POINTS, TrackPoint, pack, unpack

START_MS = 1_790_000_000_000
METRES_PER_LAT = 111_195.0
METRES_PER_LON = 102_700.0

track_points = st.builds(
    TrackPoint,
    lon=st.floats(-180, 180),
    lat=st.floats(-90, 90),
    time_ms=st.integers(-(2**53) + 1, 2**53 - 1),
    accuracy_m=st.none() | st.floats(0, 1_000_000),
)


def walk(count: int, seed: int = 7) -> list[TrackPoint]:
    """A patrol on foot in Futian: 1.3 m/s with turns and stops, a fix each 5 s give or take 30 ms.

    Phone GPS noise: 4 m that drift within a minute plus 0.6 m that are new in each fix.
    """
    dice = random.Random(seed)
    east = north = drift_east = drift_north = 0.0
    heading, accuracy = dice.uniform(0, math.tau), 6.0
    keep = math.exp(-5 / 60)
    renew = 4.0 * math.sqrt(1 - keep * keep)
    points = []
    for step in range(count):
        heading += dice.gauss(0, 0.15) if dice.random() > 0.03 else dice.choice([-1.57, 1.57, 3.14])
        speed = 1.3 if dice.random() > 0.1 else 0.0
        east += speed * 5 * math.cos(heading)
        north += speed * 5 * math.sin(heading)
        drift_east = keep * drift_east + dice.gauss(0, renew)
        drift_north = keep * drift_north + dice.gauss(0, renew)
        accuracy = min(40.0, max(3.0, accuracy + dice.gauss(0, 1) + (6 - accuracy) * 0.05))
        points.append(
            TrackPoint(
                lon=114.059 + (east + drift_east + dice.gauss(0, 0.6)) / METRES_PER_LON,
                lat=22.541 + (north + drift_north + dice.gauss(0, 0.6)) / METRES_PER_LAT,
                time_ms=START_MS + step * 5_000 + round(dice.gauss(0, 30)),
                accuracy_m=accuracy,
            )
        )
    return points


def test_bytes_a_point() -> None:
    """A walk with accuracy takes at most 5.5 bytes a point (the goal was 7)."""
    points = walk(5_000)
    assert len(pack(points)) <= 5.5 * len(points)


def test_segment_of_a_minute_is_small() -> None:
    """The head of a segment costs little: a minute's 12 points take at most 100 bytes."""
    assert len(pack(walk(12))) <= 100


def test_walk_comes_back() -> None:
    """A walk comes back with exact times, within 6 cm a coordinate, accuracy within 5 cm."""
    points = walk(500)
    for point, back in zip(points, unpack(pack(points)), strict=True):
        assert back.time_ms == point.time_ms
        assert back.lon == pytest.approx(point.lon, abs=5.1e-7)
        assert back.lat == pytest.approx(point.lat, abs=5.1e-7)
        assert back.accuracy_m == pytest.approx(point.accuracy_m, abs=0.0501)


@given(st.lists(track_points, max_size=30))
@example(
    [
        TrackPoint(-180, -90, -(2**53) + 1, 1_000_000),
        TrackPoint(180, 90, 2**53 - 1, 0),
        TrackPoint(-180, -90, -(2**53) + 1, None),
    ]
)
def test_any_points_come_back(points: list[TrackPoint]) -> None:
    """Any points in any order of time come back rounded to 1e-6 degree and 0.1 m, times exact."""
    back = unpack(pack(points))
    assert [point.time_ms for point in back] == [point.time_ms for point in points]
    for point, other in zip(points, back, strict=True):
        assert (other.lon, other.lat) == pytest.approx((point.lon, point.lat), abs=5.1e-7)
        assert (other.accuracy_m is None) == (point.accuracy_m is None)
        assert (other.accuracy_m or 0.0) == pytest.approx(point.accuracy_m or 0.0, abs=0.0501)


@given(st.lists(track_points, max_size=30))
def test_packing_again_changes_nothing(points: list[TrackPoint]) -> None:
    """Unpacking and packing again yields the same bytes."""
    packed = pack(points)
    assert pack(unpack(packed)) == packed


def test_layout_is_stable() -> None:
    """The bytes of version 1: stored tracks must stay readable."""
    points = [TrackPoint(0.000001, -0.000001, 0), TrackPoint(0.000002, -0.000001, 100, 1.5)]
    packed = bytes.fromhex("0102 000204 000101 0000c801 000020")
    assert pack(points) == packed
    assert unpack(packed) == points


def test_differenced_columns_are_read() -> None:
    """A column differenced once or twice is summed up again."""
    packed = bytes.fromhex("0103 01020202 02020000 00000000 00000000")
    assert [(point.lon, point.lat) for point in unpack(packed)] == [
        (0.000001, 0.000001),
        (0.000002, 0.000002),
        (0.000003, 0.000003),
    ]


def test_no_points() -> None:
    """An empty track packs to a few bytes and comes back empty."""
    packed = pack([])
    assert len(packed) <= 6
    assert unpack(packed) == []


def test_absent_accuracy_differs_from_zero() -> None:
    """Absent accuracy stays absent, and 0 m stays 0 m."""
    points = [TrackPoint(114, 22, 0, None), TrackPoint(114, 22, 1, 0.0)]
    assert unpack(pack(points)) == points


def test_clock_correction() -> None:
    """A clock set back in mid-track keeps the order of the points and their times."""
    points = [TrackPoint(114, 22, time) for time in (START_MS, START_MS + 5_000, START_MS - 3_600_000, 0)]
    assert unpack(pack(points)) == points


def test_most_points() -> None:
    """MAX_POINTS points fit one segment, one more does not."""
    point = TrackPoint(114, 22, START_MS, 5.0)
    assert len(unpack(pack([point] * MAX_POINTS))) == MAX_POINTS
    with pytest.raises(ValueError, match="too many"):
        pack([point] * (MAX_POINTS + 1))


@pytest.mark.parametrize(
    "point",
    [
        TrackPoint(math.nan, 22, 0),
        TrackPoint(114, math.inf, 0),
        TrackPoint(1e308, 22, 0),
        TrackPoint(180.1, 22, 0),
        TrackPoint(114, -90.1, 0),
        TrackPoint(114, 22, 2**53),
        TrackPoint(114, 22, 0, -0.01),
        TrackPoint(114, 22, 0, math.nan),
        TrackPoint(114, 22, 0, 1_000_001),
    ],
)
def test_impossible_points_are_refused(point: TrackPoint) -> None:
    """What cannot be a fix is refused before it is packed."""
    with pytest.raises(ValueError, match="track point"):
        pack([point])


def test_every_truncation_is_noticed() -> None:
    """A segment cut anywhere raises ValueError that says it is truncated."""
    packed = pack(walk(20))
    for length in range(len(packed)):
        with pytest.raises(ValueError, match="truncated"):
            unpack(packed[:length])


def test_bytes_after_the_end_are_noticed() -> None:
    """Bytes after the last point raise ValueError."""
    with pytest.raises(ValueError, match="oversized: 3 bytes"):
        unpack(pack(walk(20)) + b"\0\0\0")


@pytest.mark.parametrize("version", [0, 2, 255])
def test_unknown_version(version: int) -> None:
    """A version this program does not know is named in the error."""
    with pytest.raises(ValueError, match=f"version {version} is unknown"):
        unpack(bytes([version]) + pack(walk(2))[1:])


def test_too_many_points_are_refused() -> None:
    """A count above MAX_POINTS is refused, however many bytes follow."""
    with pytest.raises(ValueError, match="oversized: 100001 points"):
        unpack(bytes.fromhex("01a18d06") + bytes(500_000))


def test_count_beyond_the_bytes_is_refused_at_once() -> None:
    """A count that the bytes cannot hold is refused before any point is read."""
    with pytest.raises(ValueError, match="cannot hold 100000 points"):
        unpack(bytes.fromhex("01a08d06") + bytes(1_000))


def test_endless_number_is_refused() -> None:
    """A number that goes on for more than 9 bytes is refused."""
    with pytest.raises(ValueError, match="more than 9 bytes"):
        unpack(b"\x01" + b"\xff" * 100)


def test_unknown_order_is_refused() -> None:
    """A column that claims to be differenced three times is refused."""
    with pytest.raises(ValueError, match="differenced 3 times"):
        unpack(bytes.fromhex("0101 0302 0000 0000 0000"))


def test_sums_out_of_range_are_refused() -> None:
    """Differences that add up beyond 180 degrees are refused, even from the largest hostile segment."""
    column = b"\x02" + (b"\xff" * 8 + b"\x7e") * MAX_POINTS
    with pytest.raises(ValueError, match="longitude is out of range"):
        unpack(bytes.fromhex("01a08d06") + column * 4)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\x01" + tail))
def test_any_bytes_give_points_or_value_error(data: bytes) -> None:
    """Arbitrary bytes give points in range, or ValueError and nothing else."""
    try:
        points = unpack(data)
    except ValueError:
        return
    assert all(abs(point.lon) <= 180 and abs(point.lat) <= 90 for point in points)


@given(st.data())
def test_flipped_bytes_give_points_or_value_error(data: st.DataObject) -> None:
    """A good segment with a changed byte gives as many points in range, or ValueError."""
    packed = bytearray(pack(walk(10)))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] = data.draw(st.integers(0, 255))
    try:
        points = unpack(bytes(packed))
    except ValueError:
        return
    assert len(points) <= 10
    assert all(abs(point.lon) <= 180 and abs(point.lat) <= 90 for point in points)
