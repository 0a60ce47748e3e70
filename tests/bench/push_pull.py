"""Push and pull of a real server process over HTTP, beside the raw database."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import LoadDevice, batches, encoder
from tests.bench import raw
from tests.bench.figures import Figure, figure, rate

CLIENTS = 8
BATCHES = 25
"""Pushes of 100 changes each client sends in one run."""
FIELDS = {
    "grid": "440304006001001",
    "kind": "0102",
    "text": "人行道盖板破损，边缘翘起，行人易绊倒，已放置警示锥，建议尽快更换",
    "address": "香梅路与红荔路交叉口东南角",
    "place": {"lon": 114.0391, "lat": 22.5518, "accuracy_m": 6.0},
    "reported_at": "2026-03-02T08:15:00Z",
}


async def measure(folder: Path, database: str, url: str | None, dsn: str | None) -> list[Figure]:
    """Push and pull figures on one database; `dsn` is for the raw PostgreSQL baseline."""
    body = encoder.encode(FIELDS)
    if dsn:
        inserts = await raw.postgres_upserts(dsn, body, CLIENTS)
        reads = await raw.postgres_reads(dsn, CLIENTS)
    else:
        inserts = await raw.sqlite_inserts(folder, body)
        reads = await raw.sqlite_reads(folder)
    stage = Stage(folder, url)
    try:
        await stage.command("init")
        await stage.add_user("bench", ("supervisor", "grid:440304"))
        await stage.start_server()
        pushed, pulled = await _push_and_pull(stage)
    finally:
        await stage.stop_server()
    name = f"raw {database}, 100-row transactions"
    return [
        figure(f"push, 100 a batch, {CLIENTS} devices, {database}", pushed, "changes/s", name, inserts),
        figure(
            f"pull, {CLIENTS} devices, {database}", pulled, "records/s", f"raw {database}, pages of 10,000", reads
        ),
    ]


async def _push_and_pull(stage: Stage) -> tuple[float, float]:
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(LoadDevice(stage.url, "bench")) for _ in range(CLIENTS)]
        for device in devices:
            await device.sign_in(stage.password)
            # Signing in takes so long that the server may close the first connections before the last is in.
            device.close()

        def prepare() -> list[list[bytes]]:
            return [batches(device, "finding", FIELDS, BATCHES) for device in devices]

        async def push(work: list[list[bytes]]) -> int:
            await asyncio.gather(*map(_send, devices, work))
            return CLIENTS * BATCHES * 100

        async def pull(_: None) -> int:
            return sum(await asyncio.gather(*(device.pull_all() for device in devices)))

        return await rate(push, prepare), await rate(pull, lambda: None)


async def _send(device: LoadDevice, bodies: list[bytes]) -> None:
    for body in bodies:
        answer = await device.push(body)
        if any(verdict.outcome != "applied" for verdict in answer.verdicts):
            raise RuntimeError(f"not applied: {answer.verdicts[0]}")
