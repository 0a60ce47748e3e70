"""Uploads beside a bare endpoint on the same HTTP server that hashes and syncs only; many at once, beside pushes."""

import asyncio
import http.client
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from client_sdk.demo.stage import Stage, free_port
from client_sdk.torture.wire import LoadDevice, batches
from tests.bench.figures import Figure, Goal, figure
from tests.bench.running import Place
from tests.bench.servers import FIELDS, listening

MEBIBYTE = 1024 * 1024
SIZE = 64 * MEBIBYTE
CHUNK = 5 * MEBIBYTE
ROUNDS, QUICK_ROUNDS = 5, 1
CROWDS, QUICK_CROWDS = 3, 1
PHONES, QUICK_PHONES = 50, 5
PHONE_BYTES = 2 * MEBIBYTE
PHONE_RATE = 512 * 1024
"""Bytes/s of a phone's uplink, 4 Mbit/s, give or take a fifth."""
PIECE = 64 * 1024
_JPEG = b"\xff\xd8\xff\xe0"
_BODY = bytearray(_JPEG + os.urandom(SIZE - len(_JPEG)))
_NEW = 16
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


async def measure(place: Place) -> list[Figure]:
    """Upload figures; the server is on SQLite."""
    stage = Stage(place.folder)
    rounds = QUICK_ROUNDS if place.quick else ROUNDS
    try:
        await stage.command("init")
        await stage.add_user("bench", ("supervisor", "grid:440304"))
        await stage.start_server()
        async with LoadDevice(stage.url, "bench") as device, bare_endpoint(place.folder) as bare:
            await device.sign_in(stage.password)
            ours, theirs = await alternately(stage.url, device, bare, rounds)
            crowd = await _crowd(stage, device, quick=place.quick)
    finally:
        await stage.stop_server()
    name = "bare endpoint, hashed and synced"
    return [
        figure(
            "upload, 64 MiB in 5 MiB chunks, hashed and synced", ours, "MB/s", name, theirs, Goal(ratio_at_least=0.8)
        ),
        *crowd,
    ]


async def alternately(url: str, device: LoadDevice, bare: str, rounds: int) -> tuple[float, float]:
    """MB/s of ours and of the bare endpoint, medians of rounds that take turns."""
    ours, theirs = [], []
    for number in range(rounds):
        theirs.append(await asyncio.to_thread(send, bare, f"/{number}"))
        ours.append(await asyncio.to_thread(send, url, await created(url, device, SIZE)))
    return statistics.median(ours), statistics.median(theirs)


async def created(url: str, device: LoadDevice, size: int) -> str:
    """The address of a new upload."""

    def post() -> str:
        connection = _connect(url)
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size)} | device.signature("/v1/uploads")
        connection.request("POST", "/v1/uploads", headers=headers)
        answer = connection.getresponse()
        location = answer.getheader("location")
        if answer.status != http.client.CREATED or location is None:
            raise RuntimeError(f"no upload: {answer.status} {answer.read()!r}")
        return location

    return await asyncio.to_thread(post)


def new_body(size: int) -> memoryview:
    """Bytes that look like a JPEG and that no server has seen: it would not store again what it has."""
    _BODY[len(_JPEG) : len(_JPEG) + _NEW] = os.urandom(_NEW)
    return memoryview(_BODY)[:size]


def send(url: str, path: str) -> float:
    """Send a new body in chunks by one connection; MB/s."""
    connection, body = _connect(url), new_body(SIZE)
    began = time.perf_counter()
    for start in range(0, SIZE, CHUNK):
        headers = TUS | {"Upload-Offset": str(start)}
        connection.request("PATCH", path, body[start : start + CHUNK], headers)
        answer = connection.getresponse()
        if answer.status != http.client.NO_CONTENT:
            raise RuntimeError(f"chunk not taken: {answer.status} {answer.read()!r}")
        answer.read()
    return SIZE / 1e6 / (time.perf_counter() - began)


@asynccontextmanager
async def bare_endpoint(folder: Path) -> AsyncIterator[str]:
    """The address of the bare endpoint, in a process of its own."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.bare_upload", str(folder), str(port)
    )
    try:
        await listening(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _crowd(stage: Stage, device: LoadDevice, *, quick: bool) -> list[Figure]:
    """Pushes alone and while phones upload as fast as a mobile network lets them; and the memory that takes."""
    crowds, phones = (QUICK_CROWDS, QUICK_PHONES) if quick else (CROWDS, PHONES)
    alone, beside = [], []
    for _ in range(crowds):
        # The server closes a connection that was idle.
        device.turn_to(stage.url)
        alone.append(await _pushes(device, PHONE_BYTES / PHONE_RATE))
        urls = [await created(stage.url, device, PHONE_BYTES) for _ in range(phones)]
        rates = [PHONE_RATE * (0.8 + 0.4 * number / phones) for number in range(phones)]
        uploading = asyncio.gather(*(_phone(stage.url, *one) for one in zip(urls, rates, strict=True)))
        device.turn_to(stage.url)
        beside.append(await _pushes(device, PHONE_BYTES / PHONE_RATE))
        await uploading
    name = f"{phones} uploads at once, 0.5 MiB/s each"
    return [
        figure(
            f"push beside {name}",
            statistics.median(beside),
            "changes/s",
            "push alone",
            statistics.median(alone),
            Goal(ratio_at_least=0.7),
        ),
        figure(f"server memory, {name}", _peak_mb(stage.pid), "MB", "allowed", 200, Goal(at_most=200)),
    ]


async def _pushes(device: LoadDevice, seconds: float) -> float:
    """Changes/s of one device that pushes for so long."""
    pushed, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for body in batches(device, "finding", FIELDS, 5):
            await device.push(body)
            pushed += 100
    return pushed / (time.perf_counter() - began)


async def _phone(url: str, path: str, rate: float) -> None:
    """One upload by an uplink of `rate` bytes/s."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    lines = [f"PATCH {path} HTTP/1.1", "Host: bench", f"Content-Length: {PHONE_BYTES}", "Upload-Offset: 0"]
    lines += [f"{name}: {value}" for name, value in TUS.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    body = bytes(new_body(PHONE_BYTES))
    began = time.perf_counter()
    for start in range(0, PHONE_BYTES, PIECE):
        await asyncio.sleep(max(0.0, began + start / rate - time.perf_counter()))
        writer.write(body[start : start + PIECE])
        await writer.drain()
    status = (await reader.readline()).split()[1]
    writer.close()
    if status != b"204":
        raise RuntimeError(f"upload not taken: {status!r}")


def _peak_mb(pid: int) -> float:
    """The most memory a process has held, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def _connect(url: str) -> http.client.HTTPConnection:
    where = urlsplit(url)
    return http.client.HTTPConnection(where.hostname or "", where.port, blocksize=MEBIBYTE)
