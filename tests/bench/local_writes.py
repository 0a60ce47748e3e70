"""Writes on the device, beside bare SQLite writing a record and an outbox row in one durable transaction."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from client_sdk import Device
from client_sdk.demo.stage import Stage
from field_schemas.types.finding import Finding
from tests.bench.figures import Figure, figure, rate
from tests.bench.running import Place

ALONE, GROUP, GROUPS = 500, 100, 20
_QUICK_ALONE, _QUICK_GROUPS = 20, 2
BODY = b"x" * 300


async def measure(place: Place) -> list[Figure]:
    """Local writes/s of the SDK, one by one and in groups."""
    folder = place.folder
    writes, groups = (_QUICK_ALONE, _QUICK_GROUPS) if place.quick else (ALONE, GROUPS)
    stage = Stage(folder)
    async with Device.open(folder / "phone.db", server=stage.url) as device:
        try:
            await stage.add_user("bench", ("inspector", "grid:440304"))
            await stage.start_server()
            await device.sign_in("bench", stage.password)
        finally:
            await stage.stop_server()

        async def alone(nothing: None) -> int:
            for _ in range(writes):
                await device.create(_finding())
            return writes

        async def grouped(nothing: None) -> int:
            for _ in range(groups):
                async with device.batch() as batch:
                    for _ in range(GROUP):
                        batch.create(_finding())
            return groups * GROUP

        single, group = await rate(alone, lambda: None), await rate(grouped, lambda: None)
    raw_single, raw_group = await _bare(folder, 1, writes), await _bare(folder, GROUP, groups)
    name = "bare SQLite, two rows a write"
    return [
        figure("local writes, one by one, device", single, "writes/s", name, raw_single),
        figure(f"local writes, {GROUP} together, device", group, "writes/s", name, raw_group),
    ]


async def _bare(folder: Path, size: int, count: int) -> float:
    return await rate(lambda work: asyncio.to_thread(work), lambda: _bare_writer(folder, size, count))


def _bare_writer(folder: Path, size: int, count: int) -> Callable[[], int]:
    path = folder / f"bare-{size}-{time.time_ns()}.db"

    def write() -> int:
        database = sqlite3.connect(path, isolation_level=None)
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        database.executescript("CREATE TABLE records (id INTEGER PRIMARY KEY, body BLOB)")
        database.executescript("CREATE TABLE outbox (seq INTEGER PRIMARY KEY, body BLOB)")
        for _ in range(count):
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT INTO records (body) VALUES (?)", [(BODY,)] * size)
            database.executemany("INSERT INTO outbox (body) VALUES (?)", [(BODY,)] * size)
            database.execute("COMMIT")
        database.close()
        return size * count

    return write


def _finding() -> Finding:
    return Finding(kind="0102", grid="440304006001001", text="人行道盖板破损，边缘翘起，行人易绊倒，已放置警示锥")
