"""One run: a seed and a scenario in, a trace and the first failure out."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from client_sdk.simulation.fate import Fate
from client_sdk.simulation.invariants import check
from client_sdk.simulation.loop import Stalled, VirtualLoop
from client_sdk.simulation.trace import Line
from client_sdk.simulation.world import Failure, Scenario, World

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 files of a run are worth nothing after it
_TOO_LONG_S = 86_400


class Run(msgspec.Struct):
    """What became of a seed. `digest` differs when any event does; `happened` counts what the mix is to hold."""

    seed: int
    digest: str
    lines: list[Line]
    failure: Failure | None
    changes: int
    virtual_s: float
    happened: dict[str, int]


def simulate(seed: int, scenario: Scenario) -> Run:
    """Play one seed; the same seed and scenario give the same run, bit for bit."""
    place = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(seed, scenario, Path(folder)))


async def _play(seed: int, scenario: Scenario, folder: Path) -> Run:
    world = World(seed, scenario, folder)
    try:
        async with asyncio.timeout(_TOO_LONG_S):
            await world.live(Fate(world).befall)
    except (TimeoutError, Stalled) as error:
        world.violated("comes_to_rest", f"{type(error).__name__}: the run never ends")
    if not world.failures:
        check(world)
    await world.close()
    return Run(
        seed,
        world.trace.digest(),
        world.trace.lines,
        world.failures[0] if world.failures else None,
        len(world.ledger.made),
        asyncio.get_running_loop().time(),
        _happened(world),
    )


def _happened(world: World) -> dict[str, int]:
    log = world.database.state.log.values()
    verdicts = Counter("quarantined" if one.code == "device_quarantined" else str(one.outcome) for one in log)
    # All servers end with the newest program.
    renamed = {one.record for one in log if one.type == "sign" and one.version and one.type_version == 1}
    return dict(verdicts + world.happened + Counter({"renamed after they were stored": len(renamed)}))
