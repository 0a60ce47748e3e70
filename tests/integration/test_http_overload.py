"""Overload over real HTTP: who is turned away comes back when told to, and everybody gets through without loss."""

import asyncio
from collections import Counter
from pathlib import Path

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
