"""What a pushed change costs while the store grows: new records, and changes of old ones anywhere in the store."""

import asyncio
import random
import sqlite3
import uuid
from contextlib import AsyncExitStack, closing
from functools import partial

import asyncpg
from sqlalchemy.engine import make_url

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import LoadDevice, encoder
from sync.messages import PushRequest
from tests.bench import servers
from tests.bench.figures import Figure, Goal, Point, figure
from tests.bench.filling import Filled, component_fields, fill
from tests.bench.running import Place
from tests.bench.turns import Contestant, Result, Work, take_turns

SIZES = (10_000, 100_000, 500_000, 2_000_000)
QUICK_SIZES = (1_000, 5_000, 20_000)
CLIENTS = 8
PUSHES = 2
"""Pushes of 100 changes each client sends in one run."""
RUNS, QUICK_RUNS = 7, 2
GOAL = Goal(ratio_at_most=1.2)
KINDS = {
    "creations": "push of new records",
    "updates": "push of changes of old ones",
    "raw": "raw update of old rows",
}


async def measure(place: Place) -> list[Figure]:
    """Time and processor time a change at each size, beside the smallest: stores of all sizes take turns."""
    sizes = QUICK_SIZES if place.quick else SIZES
    async with AsyncExitStack() as stack:
        contestants: dict[str, Contestant] = {}
        for size in sizes:
            contestants |= await _of_size(stack, place, size)
        results = await take_turns(contestants, QUICK_RUNS if place.quick else RUNS)
    return [
        row
        for kind in KINDS
        for size in sizes
        for row in _figures(place, kind, size, results[f"{kind} {size}"], results[f"{kind} {sizes[0]}"], sizes[0])
    ]


async def _of_size(stack: AsyncExitStack, place: Place, size: int) -> dict[str, Contestant]:
    here = await stack.enter_async_context(place.another(str(size)))
    await Stage(here.folder, here.url).command("init")
    filled = await fill(here.url, size)
    found = await stack.enter_async_context(servers.ours(here, CLIENTS))
    database = await servers.postmaster(here)
    chance = random.Random(size)
    return {
        f"creations {size}": Contestant(partial(_creations, found.devices, chance), found.pids, database),
        f"updates {size}": Contestant(partial(_updates, found.devices, chance, filled), found.pids, database),
        f"raw {size}": Contestant(partial(_raw_updates, here, chance, filled), (), database),
    }


def _creations(devices: list[LoadDevice], chance: random.Random) -> Work:
    def body(device: LoadDevice) -> bytes:
        numbers = [chance.randrange(10_000_000) for _ in range(servers.BATCH)]
        changes = [device.change("component", dict(component_fields(number))) for number in numbers]
        return encoder.encode(PushRequest(changes))

    return servers.sending([(device, [body(device) for _ in range(PUSHES)]) for device in devices])


def _updates(devices: list[LoadDevice], chance: random.Random, filled: Filled) -> Work:
    fields = {"remark": f"复查 {chance.randrange(10_000)}，盖板完好，无异响", "address": "香梅路与红荔路交叉口西北角"}

    def body(device: LoadDevice) -> bytes:
        wanted = (filled.component(chance.randrange(filled.count)) for _ in range(servers.BATCH))
        changes = [device.change("component", fields, record, version) for record, version in wanted]
        return encoder.encode(PushRequest(changes))

    return servers.sending([(device, [body(device) for _ in range(PUSHES)]) for device in devices])


def _raw_updates(place: Place, chance: random.Random, filled: Filled) -> Work:
    """As many rows anywhere in the table of records, written anew by the bare driver, 100 a durable transaction."""
    count = CLIENTS * PUSHES
    work = [[filled.component(chance.randrange(filled.count))[0] for _ in range(servers.BATCH)] for _ in range(count)]
    return partial(_raw_postgres, place.url, work) if place.on_postgres else partial(_raw_sqlite, place.url, work)


async def _raw_postgres(url: str, work: list[list[uuid.UUID]]) -> int:
    connection = await asyncpg.connect(url)
    try:
        for batch in work:
            await connection.execute("UPDATE records SET version = version WHERE id = ANY($1::uuid[])", batch)
    finally:
        await connection.close()
    return len(work) * servers.BATCH


async def _raw_sqlite(url: str, work: list[list[uuid.UUID]]) -> int:
    def update() -> int:
        with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None, timeout=30)) as database:
            database.execute("PRAGMA synchronous=FULL")
            for batch in work:
                database.execute("BEGIN IMMEDIATE")
                rows = [(record.bytes,) for record in batch]
                database.executemany("UPDATE records SET version = version WHERE id = ?", rows)
                database.execute("COMMIT")
        return len(work) * servers.BATCH

    return await asyncio.to_thread(update)


def _figures(place: Place, kind: str, size: int, found: Result, base: Result, smallest: int) -> list[Figure]:
    what = f"{KINDS[kind]}, {size:,} in the store, {place.database}"
    goal, name = GOAL if size > smallest else None, f"{smallest:,} in the store"
    elapsed = 1e6 / found.rate, 1e6 / base.rate
    if kind == "raw":
        # One row where a push writes five, in the same tables, and no goal: how much of the growth is the database's.
        return [figure(what, elapsed[0], "µs/row", name, elapsed[1])] if goal else []
    cost, least = (one.cost.server + one.cost.database for one in (found, base))
    point = Point("growth", f"{place.database} {kind}", size)
    rows = [figure(f"{what}: processor time", cost, "µs/change", name, least, goal, point=point)]
    return [figure(what, elapsed[0], "µs/change", name, elapsed[1], goal), *rows] if goal else rows
