"""Starting the server, and what it costs while nobody asks anything of it."""

import asyncio
import statistics
import time
from contextlib import AbstractAsyncContextManager

from client_sdk.demo.stage import Stage
from tests.bench import servers
from tests.bench.figures import Figure, Goal, figure
from tests.bench.first_device import peak_memory
from tests.bench.running import Place
from tests.bench.turns import cpu_s

RUNS, QUICK_RUNS = 7, 1
IDLE_S, QUICK_IDLE_S = 20, 1
_MB = 1e6
_BARE = "Litestar without rules"


async def measure(place: Place) -> list[Figure]:
    """Seconds until it is ready, its memory then, and the processor time it takes while it is idle."""
    runs, idle_s = (QUICK_RUNS, QUICK_IDLE_S) if place.quick else (RUNS, IDLE_S)
    stage = Stage(place.folder, place.url)
    await stage.command("init")
    ready, bare_ready = [], []
    for _ in range(runs):
        ready.append(await stage.start_server())
        await stage.stop_server()
        bare_ready.append(await _bare_start(servers.bare(place, 1)))
    await stage.start_server()
    try:
        async with servers.bare(place, 1) as bare:
            spent, bare_spent = await asyncio.gather(_idle(stage.pid, idle_s), _idle(bare.pid, idle_s))
            at_rest, bare_at_rest = peak_memory(stage.pid), peak_memory(bare.pid)
    finally:
        await stage.stop_server()
    took = (statistics.median(ready), "s", _BARE, statistics.median(bare_ready))
    return [
        figure(f"server ready after start, {place.database}", *took, Goal(at_most=2)),
        figure(
            f"server's memory at rest, {place.database}",
            at_rest / _MB,
            "MB",
            _BARE,
            bare_at_rest / _MB,
            Goal(at_most=120),
        ),
        figure(f"idle server's processor time, {place.database}", spent, "ms/s", _BARE, bare_spent),
    ]


async def _bare_start(starting: AbstractAsyncContextManager[object]) -> float:
    began = time.perf_counter()
    async with starting:
        return time.perf_counter() - began


async def _idle(pid: int, seconds: float) -> float:
    """Milliseconds of processor time a second."""
    before = cpu_s(pid)
    await asyncio.sleep(seconds)
    return (cpu_s(pid) - before) * 1000 / seconds
