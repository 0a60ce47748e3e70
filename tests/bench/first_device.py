"""One device's first sync, in a process of its own so that its memory can be told.

The same by bare means: the same bytes downloaded, unpacked, and inserted into a table with no index but the id's.
"""

import asyncio
import resource
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec

from client_sdk import Device
from client_sdk.connection import Connection
from field_schemas.types.component import Component
from sync.messages import Snapshot, SnapshotRequest
from sync.snapshot import decode_block

_PATIENCE = 30


class Task(msgspec.Struct):
    """What the process is to do, as JSON on its standard input."""

    server: str
    user: str
    password: str
    scope: str
    store: str
    bare: bool = False


class FirstSync(msgspec.Struct):
    """What it did, as JSON on its standard output. Processor time, until it was in sync, and peak memory (bytes) are
    the whole process's."""

    seconds: float
    searchable_after: float
    own_tasks_after: float
    records: int
    received: int
    processor_seconds: float
    memory: int


async def snapshot_of(connection: Connection, scope: str) -> Snapshot:
    """The snapshot of `scope` for whoever is signed in, made if need be."""
    for _ in range(_PATIENCE):
        response = await connection.snapshot(SnapshotRequest(scope))
        if response.snapshot is not None:
            return response.snapshot
    raise RuntimeError("the snapshot is not made")


async def sync(task: Task) -> FirstSync:
    """By the SDK."""
    async with Device.open(Path(task.store), server=task.server) as device:
        await device.sign_in(task.user, task.password)
        marks: list[float] = []
        began = time.perf_counter()
        report = await device.sync(lambda progress: marks.append(time.perf_counter()))
        seconds = time.perf_counter() - began
        used = _processor_seconds()
        found = len(await device.find(Component, text="井盖", limit=1))
        if not found:
            raise RuntimeError("what was loaded is not found")
        searchable = time.perf_counter() - began
        received = report.bytes_received
        return FirstSync(seconds, searchable, marks[0] - began, report.pulled, received, used, peak_memory("self"))


async def bare(task: Task) -> FirstSync:
    """By bare means."""
    async with Device.open(Path(task.store), server=task.server) as device:
        await device.sign_in(task.user, task.password)
        began = time.perf_counter()
        snapshot = await snapshot_of(device._connection, task.scope)
        content = b"".join([piece async for piece in device._connection.snapshot_content(snapshot.id, 0)])
        records = _insert(Path(task.store + ".bare"), snapshot, content)
        seconds = time.perf_counter() - began
        return FirstSync(seconds, 0.0, 0.0, records, len(content), _processor_seconds(), peak_memory("self"))


def _insert(path: Path, snapshot: Snapshot, content: bytes) -> int:
    start = records = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        database.execute("CREATE TABLE records (id BLOB PRIMARY KEY, version INTEGER, fields BLOB)")
        for block in snapshot.blocks:
            database.execute("BEGIN IMMEDIATE")
            for group in decode_block(content[start : start + block.bytes]):
                rows = zip(group.record_ids(), group.versions, group.fields(), strict=True)
                database.executemany("INSERT INTO records VALUES (?, ?, ?)", rows)
            database.execute("COMMIT")
            start += block.bytes
            records += block.records
    return records


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_memory(process: str | int) -> int:
    """The largest part of a process that was in memory, in bytes; what it was started from does not count."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Do what standard input says."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    done = asyncio.run(bare(task) if task.bare else sync(task))
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
