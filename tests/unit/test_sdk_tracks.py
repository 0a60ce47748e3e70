"""Recording tracks on the device."""

import asyncio
from contextlib import suppress
from pathlib import Path

from client_sdk.tracks import TrackRecorder
from field_schemas.datum import distance_m
from field_schemas.track_points import TrackPoint, unpack
from field_schemas.types.patrol import Track
from tests.fake_time import START_MS
from tests.phones import GRID, city, phone


def walk(count: int, step_ms: int = 5_000) -> list[TrackPoint]:
    """A walk to the east, a point each `step_ms`, about 10 m apart."""
    return [TrackPoint(114.05 + 0.0001 * n, 22.54, START_MS + step_ms * n) for n in range(count)]


async def test_a_track_is_stored_in_segments(tmp_path: Path) -> None:
    """All points come back in order; counters say how many and how long, across the seams of segments."""
    points = walk(130)
    async with phone(tmp_path, city(), "li") as li:
        track = await li.create(Track(grid=GRID))
        async with TrackRecorder(li, track, points=60) as recorder:
            for point in points:
                await recorder.add(point)
        (stored,) = await li.find(Track)
        assert [len(unpack(segment)) for segment in stored.segments] == [60, 60, 10]
        assert [point.time_ms for segment in stored.segments for point in unpack(segment)] == [
            point.time_ms for point in points
        ]
        assert stored.points == 130
        assert stored.length_m == round(129 * distance_m(114.05, 22.54, 114.0501, 22.54))


async def test_a_segment_is_stored_after_a_time(tmp_path: Path) -> None:
    """A slow walk is stored each few minutes even when few points came."""
    async with phone(tmp_path, city(), "li") as li:
        recorder = TrackRecorder(li, await li.create(Track(grid=GRID)), points=1_000, seconds=30)
        for point in walk(8):
            await recorder.add(point)
        assert (await li.find(Track))[0].points == 7


async def test_cancelling_loses_and_doubles_no_points(tmp_path: Path) -> None:
    """Points added by calls that were cancelled midway are stored exactly once."""
    points = walk(40)
    async with phone(tmp_path, city(), "li") as li:
        async with TrackRecorder(li, await li.create(Track(grid=GRID)), points=2) as recorder:
            for n, point in enumerate(points):
                task = asyncio.ensure_future(recorder.add(point))
                for _ in range(1 + n % 7):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        (stored,) = await li.find(Track)
        times = [point.time_ms for segment in stored.segments for point in unpack(segment)]
        assert times == [point.time_ms for point in points]
