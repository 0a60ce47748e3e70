"""Push and pull of a real server process over HTTP, beside the raw database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import LoadDevice, batches, encoder
from tests.bench import raw
from tests.bench.figures import Figure, Goal, figure, rate
from tests.bench.running import Place

CLIENTS = 8
BATCHES, QUICK_BATCHES = 25, 5
"""Pushes of 100 changes each client sends in one run."""
PUSH_GOALS = {"SQLite": Goal(at_least=12_000), "PostgreSQL": Goal(at_least=25_000, ratio_at_least=0.15)}
PULL_GOAL = Goal(at_least=150_000)
FIELDS = {
    "grid": "440304006001001",
    "kind": "0102",
    "text": "人行道盖板破损，边缘翘起，行人易绊倒，已放置警示锥，建议尽快更换",
    "address": "香梅路与红荔路交叉口东南角",
    "place": {"lon": 114.0391, "lat": 22.5518, "accuracy_m": 6.0},
    "reported_at": "2026-03-02T08:15:00Z",
}


async def push(place: Place) -> list[Figure]:
    """Changes/s pushed by all devices at once, beside the raw database."""
    base = await raw.inserts(place, encoder.encode(FIELDS), CLIENTS)
    async with signed_in(place) as devices:
        pushed = await rate(send_all, lambda: prepared(devices, place))
    what = f"push, 100 a batch, {CLIENTS} devices, {place.database}"
    name = f"raw {place.database}, 100-row transactions"
    return [figure(what, pushed, "changes/s", name, base, PUSH_GOALS[place.database])]


async def pull(place: Place) -> list[Figure]:
    """Records/s pulled by all devices at once, each of which gets all there is, beside the raw database."""
    await raw.inserts(place, encoder.encode(FIELDS), CLIENTS)
    base = await raw.reads(place, CLIENTS)
    async with signed_in(place) as devices:
        await send_all(prepared(devices, place))

        async def pull_all(_: None) -> int:
            return sum(await asyncio.gather(*(device.pull_all() for device in devices)))

        pulled = await rate(pull_all, lambda: None)
    what = f"pull, {CLIENTS} devices, {place.database}"
    return [figure(what, pulled, "records/s", f"raw {place.database}, pages of 10,000", base, PULL_GOAL)]


@asynccontextmanager
async def signed_in(place: Place) -> AsyncIterator[list[LoadDevice]]:
    """A server at `place`, and devices that are signed in to it."""
    stage = Stage(place.folder, place.url)
    await stage.command("init")
    await stage.add_user("bench", ("supervisor", "grid:440304"))
    await stage.start_server()
    try:
        async with AsyncExitStack() as stack:
            devices = [await stack.enter_async_context(LoadDevice(stage.url, "bench")) for _ in range(CLIENTS)]
            for device in devices:
                await device.sign_in(stage.password)
                # Signing in takes so long that the server may close the first connections before the last is in.
                device.close()
            yield devices
    finally:
        await stage.stop_server()


def prepared(devices: list[LoadDevice], place: Place) -> list[tuple[LoadDevice, list[bytes]]]:
    """Each device and the pushes it is to send."""
    count = QUICK_BATCHES if place.quick else BATCHES
    return [(device, batches(device, "finding", FIELDS, count)) for device in devices]


async def send_all(work: list[tuple[LoadDevice, list[bytes]]]) -> int:
    """All devices send their pushes at once, one after the other each; the number of changes."""
    return sum(await asyncio.gather(*(_send(*one) for one in work)))


async def _send(device: LoadDevice, bodies: list[bytes]) -> int:
    count = 0
    for body in bodies:
        answer = await device.push(body)
        if any(verdict.outcome != "applied" for verdict in answer.verdicts):
            raise RuntimeError(f"not applied: {answer.verdicts[0]}")
        count += len(answer.verdicts)
    return count
