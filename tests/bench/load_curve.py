"""Throughput and latency of pushes while more and more devices send at once, each one push after the other."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from client_sdk.torture.wire import Connection, LoadDevice, batches
from tests.bench import servers
from tests.bench.crowd import percentile
from tests.bench.figures import Figure, Point, figure
from tests.bench.running import Place

DEVICES = (1, 2, 4, 8, 16, 32, 64)
PUSHES, QUICK_PUSHES = 256, 64
"""Pushes of 100 changes all devices of a run send together."""
RUNS, QUICK_RUNS = 3, 1
Send = Callable[[bytes], Awaitable[object]]


class Load(msgspec.Struct):
    """What so many devices met: changes/s of each run, and ms of each push."""

    rates: list[float] = []
    ms: list[float] = []

    @property
    def rate(self) -> float:
        """The median of the runs."""
        return statistics.median(self.rates)


async def measure(place: Place) -> list[Figure]:
    """Ours and the bare endpoint take turns, load by load."""
    ours, bare = ({count: Load() for count in DEVICES} for _ in range(2))
    async with servers.ours(place, DEVICES[-1]) as found, servers.bare(place, DEVICES[-1]) as base:
        for run in range(-1, QUICK_RUNS if place.quick else RUNS):
            for count in DEVICES:
                # The first run warms up.
                mine, theirs = (ours[count], bare[count]) if run >= 0 else (Load(), Load())
                pushes = QUICK_PUSHES if place.quick else PUSHES
                await _send_ours(found.devices[:count], pushes // count, mine)
                await _send_bare(base.connections[:count], pushes // count, theirs)
    return [row for count in DEVICES for row in _figures(place.database, count, ours, bare)]


async def _send_ours(devices: Sequence[LoadDevice], each: int, load: Load) -> None:
    work: list[tuple[Send, list[bytes]]] = []
    for device in devices:
        device.close()
        work.append((partial(servers.push_one, device), batches(device, "finding", servers.FIELDS, each)))
    await _send_all(work, load)


async def _send_bare(connections: Sequence[Connection], each: int, load: Load) -> None:
    work: list[tuple[Send, list[bytes]]] = []
    for connection in connections:
        connection.close()
        bodies = batches(LoadDevice("http://nowhere", "bare"), "finding", servers.FIELDS, each)
        work.append((partial(servers.bare_push, connection), bodies))
    await _send_all(work, load)


async def _send_all(work: list[tuple[Send, list[bytes]]], load: Load) -> None:
    async def one(send: Send, bodies: list[bytes]) -> None:
        for body in bodies:
            sent = time.perf_counter()
            await send(body)
            load.ms.append((time.perf_counter() - sent) * 1_000)

    began = time.perf_counter()
    await asyncio.gather(*(one(*each) for each in work))
    changes = sum(len(bodies) for _, bodies in work) * servers.BATCH
    load.rates.append(changes / (time.perf_counter() - began))


def _figures(database: str, count: int, ours: dict[int, Load], bare: dict[int, Load]) -> list[Figure]:
    what = f"load of {count} device{'s' * (count > 1)}, {database}"
    mine, theirs = ours[count], bare[count]
    name = "Litestar without rules"
    rows = [
        figure(
            f"{what}: throughput",
            mine.rate,
            "changes/s",
            name,
            theirs.rate,
            point=Point("throughput", database, count),
        ),
        figure(
            f"{what}: throughput of the bare endpoint",
            theirs.rate,
            "changes/s",
            "1 device",
            bare[DEVICES[0]].rate,
            point=Point("throughput", f"{database} bare", count),
        ),
    ]
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        value, base = percentile(mine.ms, share), percentile(theirs.ms, share)
        point = Point("latency", f"{database} {label}", count)
        rows.append(figure(f"{what}: {label} of a push", value, "ms", name, base, point=point))
    return rows
