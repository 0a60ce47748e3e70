"""A device's store of half a million records: opening it, asking near a place, writing; beside bare SQLite."""

import asyncio
import os
import random
import sqlite3
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from client_sdk import Device
from client_sdk.demo.stage import Stage
from client_sdk.store.opening import open_store
from client_sdk.store.records import RecordRow
from field_schemas.registry import load_types
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.ids import uuid7
from tests.bench.figures import Figure, Goal, figure
from tests.bench.running import Place

RECORDS, QUICK_RECORDS, PAGE = 500_000, 10_000, 5_000
PLACES, OPENINGS, WRITES, GROUP, GROUPS = 60, 5, 100, 100, 10
NEAREST = 20
_encode = msgspec.msgpack.Encoder().encode
Point = tuple[float, float]


def _built_up(rng: random.Random) -> Point:
    return rng.gauss(114.05, 0.03), rng.gauss(22.54, 0.02)


def _outskirts(rng: random.Random) -> Point:
    return rng.uniform(113.75, 114.62), rng.uniform(22.45, 22.86)


def _province(rng: random.Random) -> Point:
    return rng.uniform(109, 117), rng.uniform(20, 25)


def _anywhere(rng: random.Random) -> Point:
    return rng.uniform(-180, 180), rng.uniform(-80, 80)


WHERE: dict[str, Callable[[random.Random], Point]] = {
    "among many": _built_up,
    "at the outskirts": _outskirts,
    "where there are few": _province,
    "far from all": _anywhere,
}


async def measure(place: Place) -> list[Figure]:
    """Opening, near queries in dense, sparse and empty parts, local writes alone and in groups."""
    folder, records = place.folder, QUICK_RECORDS if place.quick else RECORDS
    path = folder / "phone.db"
    stage = Stage(folder)
    async with Device.open(path, server=stage.url) as device:
        try:
            await stage.add_user("bench", ("inspector", "grid:440304"))
            await stage.start_server()
            await device.sign_in("bench", stage.password)
        finally:
            await stage.stop_server()
    await asyncio.to_thread(_fill, path, records)
    figures = [await _opening(path, stage.url, records)]
    async with Device.open(path, server=stage.url) as device:
        for name, where in WHERE.items():
            figures.append(await _near(device, name, where, records))
        return [*figures, await _alone(folder, device, records), await _grouped(folder, device, records)]


def _fill(path: Path, records: int) -> None:
    """Records of a city: most of them close together, some around, a few all over the province."""
    rng = random.Random(1)
    tables, _ = open_store(path, load_types(), 1, os.urandom)
    with closing(tables.db):
        for first in range(0, records, PAGE):
            tables.db.execute("BEGIN IMMEDIATE")
            tables.records.put_many([_row(rng, number) for number in range(first, first + PAGE)])
            tables.db.execute("COMMIT")


def _row(rng: random.Random, number: int) -> RecordRow:
    (where,) = rng.choices((_built_up, _outskirts, _province), (700, 299, 1))
    lon, lat = where(rng)
    fields = {
        "code": f"0102{number:08d}",
        "kind": "0102",
        "grid": "440304006001001",
        "place": {"lon": round(lon, 6), "lat": round(lat, 6)},
        "name": f"雨水井盖{number}",
        "condition": "good",
    }
    record = uuid7(1_790_000_000_000 + number, rng.randbytes).bytes
    return RecordRow(record, "component", number + 1, None, 0, False, False, _encode(fields), None)


async def _opening(path: Path, url: str, records: int) -> Figure:
    async def opened() -> None:
        async with Device.open(path, server=url):
            pass

    def bare() -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("SELECT count(*) FROM outbox").fetchone()

    took = await _median_ms([opened] * OPENINGS)
    base = await _median_ms([lambda: asyncio.to_thread(bare)] * OPENINGS)
    return figure(f"opening a store of {records:,} records", took, "ms", "bare SQLite", base, Goal(at_most=300))


async def _near(device: Device, name: str, where: Callable[[random.Random], Point], records: int) -> Figure:
    rng = random.Random(2)
    took = await _median_ms([partial(device.find, Component, near=where(rng), limit=NEAREST) for _ in range(PLACES)])
    (some,) = await device.find(Component, near=where(rng), limit=1)
    base = await _median_ms([lambda: device.get(Component, some.id)] * PLACES)
    return figure(
        f"the {NEAREST} nearest of {records:,}, {name}", took, "ms", "one record by id", base, Goal(at_most=5)
    )


async def _alone(folder: Path, device: Device, records: int) -> Figure:
    took = await _median_ms([lambda: device.create(_finding())] * WRITES)
    bare = _BareStore(folder / "bare.db")
    base = await _median_ms([lambda: asyncio.to_thread(bare.write, 1)] * WRITES)
    return figure(
        f"a local write, durable, {records:,} records", took, "ms", "bare SQLite, two rows", base, Goal(at_most=5)
    )


async def _grouped(folder: Path, device: Device, records: int) -> Figure:
    async def group() -> None:
        async with device.batch() as batch:
            for _ in range(GROUP):
                batch.create(_finding())

    took = await _median_ms([group] * GROUPS)
    bare = _BareStore(folder / "bare-groups.db")
    base = await _median_ms([lambda: asyncio.to_thread(bare.write, GROUP)] * GROUPS)
    rate, base_rate = (GROUP * 1000 / one for one in (took, base))
    name = f"local writes, {GROUP} together, durable, {records:,} records"
    return figure(name, rate, "writes/s", "bare SQLite, two rows a write", base_rate, Goal(at_least=2_000))


class _BareStore:
    """A file with two tables and nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as database:
            database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE records (id BLOB PRIMARY KEY, body BLOB);")
            database.executescript("CREATE TABLE outbox (id BLOB PRIMARY KEY, body BLOB)")
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous=FULL")

    def write(self, count: int) -> None:
        """Two rows a record, one durable transaction."""
        rows = [(uuid.uuid4().bytes, b"x" * 300) for _ in range(count)]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO records VALUES (?, ?)", rows)
        self._database.executemany("INSERT INTO outbox VALUES (?, ?)", rows)
        self._database.execute("COMMIT")


async def _median_ms(works: Sequence[Callable[[], Awaitable[object]]]) -> float:
    """The median ms that one of `works` takes, without the first, which warms up."""
    spent = []
    for work in works:
        began = time.perf_counter()
        await work()
        spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent[1:])


def _finding() -> Finding:
    return Finding(kind="0102", grid="440304006001001", text="人行道盖板破损，边缘翘起，行人易绊倒，已放置警示锥")
