"""First sync of a large area: one device in a process of its own, then many devices' downloads at once."""

import asyncio
import datetime as dt
import sys
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path

import msgspec

from client_sdk import Device
from client_sdk.demo.stage import Stage
from field_schemas.record import type_of
from field_schemas.types.component import Component
from server.sample.inventory import components
from server.storage.database import open_database
from sync.ids import derived_id
from sync.storage import FeedRow, Store, StoredRecord, WriteBatch
from tests.bench.figures import Figure, Goal, figure
from tests.bench.first_device import FirstSync, Task, peak_memory, snapshot_of
from tests.bench.running import Place

STREET = "440304006"
SCOPE = f"grid:{STREET}"
COMPONENTS, FEW = 500_000, 20_000
DEVICES = 20
_BATCH = 10_000
_MB = 1e6
_SEED = 7
_SPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
_NO_MARKS = msgspec.msgpack.encode({})


async def measure(place: Place) -> list[Figure]:
    """Figures of a first sync on one database."""
    count = FEW if place.quick else COMPONENTS
    stage = Stage(place.folder, place.url)
    try:
        await stage.command("init")
        await stage.add_user("bench", ("inspector", SCOPE))
        raw = await _fill(place.url, count)
        await stage.start_server()
        at_rest = peak_memory(stage.pid)
        cold = await _first_sync(stage, place.folder / "cold.db")
        warm = await _first_sync(stage, place.folder / "warm.db")
        bare = await _first_sync(stage, place.folder / "bare-device.db", bare=True)
        await _many_downloads(stage, place.folder)
        serving = peak_memory(stage.pid)
    finally:
        await stage.stop_server()
    return [
        *_of_device(f"first sync of {count:,} components, {place.database}", warm, cold, bare, raw),
        figure(
            f"first sync, server's peak memory, {DEVICES} downloads of {count:,} at once, {place.database}",
            serving / _MB,
            "MB",
            "server at rest",
            at_rest / _MB,
            Goal(at_most=300),
        ),
    ]


def _of_device(what: str, warm: FirstSync, cold: FirstSync, bare: FirstSync, raw: int) -> list[Figure]:
    """Figures of single devices; `raw` are the bytes of the components' fields."""
    again = "downloaded and inserted by bare SQLite"
    processor = (warm.processor_seconds, "s", again, bare.processor_seconds)
    return [
        figure(what, warm.seconds, "s", again, bare.seconds, Goal(at_most=15)),
        figure(f"{what}, snapshot made for it", cold.seconds, "s", again, bare.seconds),
        figure(f"{what}, device's processor time", *processor),
        figure(f"{what}, own things there after", warm.own_tasks_after, "s", "all of it", warm.seconds),
        figure(f"{what}, all texts searchable after", warm.searchable_after, "s", "all of it", warm.seconds),
        figure(f"{what}, on the wire", warm.received / _MB, "MB", "fields, plain", raw / _MB, Goal(at_most=30)),
        figure(f"{what}, device's memory", warm.memory / _MB, "MB", again, bare.memory / _MB, Goal(at_most=200)),
    ]


async def _fill(url: str, count: int) -> int:
    """Put `count` components into the store, past the log, which no snapshot reads; the bytes of their fields."""
    database = open_database(url, 2)
    stored, size = _stored(count), 0
    while batch := list(islice(stored, _BATCH)):
        await _write(database.store, batch)
        size += sum(len(record.fields) for record in batch)
    await database.close()
    return size


async def _write(store: Store, batch: list[StoredRecord]) -> None:
    async with store.writing() as tx:
        first = await tx.reserve_versions(len(batch))
        for version, record in enumerate(batch, first):
            record.version, record.tx = version, tx.tx
        feed = [FeedRow(SCOPE, record.tx, record.version, record.id, False) for record in batch]
        await tx.write(WriteBatch(batch, [], [], feed, {}))


def _stored(count: int) -> Iterator[StoredRecord]:
    spec = type_of(Component)
    for one in components(count, _SEED):
        grid = f"{STREET}{int((one.lon - 113.9) * 100):03d}{int((one.lat - 22.5) * 500):03d}"
        fields = {
            "code": one.code,
            "kind": one.kind,
            "grid": grid,
            "place": {"lon": one.lon, "lat": one.lat},
            "name": one.name,
            "condition": one.condition,
            "address": one.address,
            "responsible": one.responsible,
            "installed_at": dt.datetime.fromisoformat(one.installed_at),
        }
        if one.material:
            fields["material"] = one.material
        yield StoredRecord(
            id=derived_id(_SPACE, one.code),
            type=spec.name,
            version=0,
            tx=0,
            scopes=(f"grid:{grid}",),
            owner=None,
            fields=msgspec.msgpack.encode(fields),
            marks=_NO_MARKS,
            district=STREET[:6],
            type_version=spec.form,
        )


async def _first_sync(stage: Stage, store: Path, *, bare: bool = False) -> FirstSync:
    task = Task(stage.url, "bench", stage.password, SCOPE, str(store), bare)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.first_device",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate(msgspec.json.encode(task))
    if process.returncode:
        raise RuntimeError(f"the device failed; the server says:\n{stage.log_tail()}")
    return msgspec.json.decode(printed, type=FirstSync)


async def _many_downloads(stage: Stage, folder: Path) -> None:
    """DEVICES phones download the whole snapshot at once; what they do with it costs the server nothing."""
    async with AsyncExitStack() as stack:
        devices = [
            await stack.enter_async_context(Device.open(folder / f"many-{number}.db", server=stage.url))
            for number in range(DEVICES)
        ]
        for device in devices:
            await device.sign_in("bench", stage.password)
        await asyncio.gather(*map(_download, devices))


async def _download(device: Device) -> None:
    snapshot = await snapshot_of(device._connection, SCOPE)
    received = 0
    async for piece in device._connection.snapshot_content(snapshot.id, 0):
        received += len(piece)
    if received != sum(block.bytes for block in snapshot.blocks):
        raise RuntimeError("the download is not whole")
