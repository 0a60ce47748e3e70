"""Recording a patrol track: points are gathered and stored as packed segments."""

import asyncio
from itertools import pairwise
from types import TracebackType
from typing import Self

from client_sdk.device import Device
from field_schemas.datum import distance_m
from field_schemas.track_points import TrackPoint, pack
from field_schemas.types.patrol import Track


class TrackRecorder:
    """Adds points to a track, a segment each `points` points or `seconds` seconds of the points' own time.

    Points are in memory until their segment is stored: a kill loses at most one segment. Leaving the context
    stores what is left.
    """

    def __init__(self, device: Device, track: Track, *, points: int = 60, seconds: float = 300.0) -> None:
        self._device = device
        self._track = track
        self._points = points
        self._milliseconds = seconds * 1000
        self._gathered: list[TrackPoint] = []
        self._before: TrackPoint | None = None
        self._walked_m = 0.0
        self._storing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.flush()

    async def add(self, point: TrackPoint) -> None:
        """Add the next point of the walk."""
        self._gathered.append(point)
        spent = point.time_ms - self._gathered[0].time_ms
        if len(self._gathered) >= self._points or spent >= self._milliseconds:
            await self.flush()

    async def flush(self) -> None:
        """Store the points gathered so far as one segment."""
        # The task goes on when the caller is cancelled: half done it would lose its points or store them twice.
        if self._storing is not None and not self._storing.done():
            await asyncio.shield(self._storing)
        self._storing = asyncio.create_task(self._store())
        await asyncio.shield(self._storing)

    async def _store(self) -> None:
        segment = list(self._gathered)
        if not segment:
            return
        walked_m = self._walked_m + _length_m(self._before, segment)
        self._track = await self._device.update(
            self._track,
            segments=[pack(segment)],
            points=len(segment),
            length_m=round(walked_m) - round(self._walked_m),
        )
        self._before, self._walked_m = segment[-1], walked_m
        del self._gathered[: len(segment)]


def _length_m(before: TrackPoint | None, segment: list[TrackPoint]) -> float:
    path = segment if before is None else [before, *segment]
    return sum(distance_m(a.lon, a.lat, b.lon, b.lat) for a, b in pairwise(path))
