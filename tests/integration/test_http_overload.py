"""Overload over real HTTP: who is turned away comes back when told to, and everybody gets through without loss."""

import asyncio
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import LoadDevice, NotAsExpected, Unanswered, encoder
from sync.messages import PushRequest
from tests.bench.crowd import enrol

DEVICES, CHANGES = 150, 2
GRID = "440304001001001"


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A server that lets few requests wait."""
    monkeypatch.setenv("GRIDWALK_MAX_WAITING", "5")
    made = Stage(tmp_path)
    await made.command("init")
    return made


async def get_through(device: LoadDevice, refusals: Counter[str]) -> int:
    """Push, coming back as often and as late as the server says; the changes held."""
    body = encoder.encode(
        PushRequest(device.changes("finding", CHANGES, {"grid": GRID, "kind": "0102", "text": "x"}))
    )
    while True:
        try:
            return (await device.push(body)).held
        except NotAsExpected as error:
            refusals[error.code or ""] += 1
            await asyncio.sleep(error.retry_after_s or 0)
        except Unanswered:
            continue


async def test_endless_headers_are_broken_off(stage: Stage) -> None:
    """A request whose headers do not end is answered and cut off, however it goes on."""
    await stage.start_server()
    try:
        address = urlsplit(stage.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n")
        writer.writelines([b"x-more: " + b"x" * 4_000 + b"\r\n"] * 20)
        # What the server had not read when it hung up may cut the rest of its answer off.
        answer = await reader.readuntil(b"\r\n")
        writer.close()
    finally:
        await stage.stop_server()
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_large_body_is_no_header(stage: Stage) -> None:
    """However its bytes fall into the server's reads, a body is not counted with the headers, nor is the last one."""
    await stage.start_server()
    try:
        async with httpx.AsyncClient(base_url=stage.url) as client:
            statuses = [(await client.post("/v1/push", content=b"x" * 2_000_000)).status_code for _ in range(3)]
    finally:
        await stage.stop_server()
    assert statuses == [401] * 3


async def test_everybody_gets_through(stage: Stage) -> None:
    """Far more devices at once than may wait: all are told when to come back, do so, and lose nothing."""
    members = await enrol(stage, "user", [f"grid:{GRID[:9]}"] * DEVICES)
    refusals: Counter[str] = Counter()
    try:
        await stage.start_server()
        async with asyncio.timeout(100):
            held = await asyncio.gather(*(get_through(member.device, refusals) for member in members))
    finally:
        await stage.stop_server()
        for member in members:
            member.device.close()
    assert held == [CHANGES] * DEVICES
    assert refusals.keys() == {"overloaded"}
