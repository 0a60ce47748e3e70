"""Cancelling: at whatever point a call is cancelled, it happened wholly or not at all, and nothing is lost."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from client_sdk.device import Device
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from tests.fake_server import FakeServer
from tests.phones import city, component, finding, opened, phone


async def cancelled_after(steps: int, work: Awaitable[object]) -> bool:
    """Run `work` and cancel it after so many turns of the loop; whether it was still running then."""
    task = asyncio.ensure_future(work)
    for _ in range(steps):
        await asyncio.sleep(0)
    if task.done():
        await task
        return False
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return True


def check_store(path: Path) -> None:
    """Outbox numbers run from 1 without holes, and each created record is there exactly with its change."""
    with sqlite3.connect(path) as db:
        numbers = [row[0] for row in db.execute("SELECT seq FROM outbox ORDER BY seq")]
        assert numbers == list(range(1, len(numbers) + 1))
        records = {row[0] for row in db.execute("SELECT id FROM records WHERE type = 'finding'")}
        changed = {row[0] for row in db.execute("SELECT record FROM outbox WHERE type = 'finding'")}
        assert records == changed
    db.close()


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_write_is_whole_or_nothing(tmp_path: Path, steps: int) -> None:
    """Record and outbox agree after a batch was cancelled at any turn of the loop."""

    async def write(device: Device) -> None:
        async with device.batch() as batch:
            for n in range(5):
                batch.create(finding(f"{n}"))

    server = city()
    async with phone(tmp_path, server, "li") as li:
        for _ in range(4):
            await cancelled_after(steps, write(li))
        count = len(await li.find(Finding))
        assert count % 5 == 0
        assert len(await li.pending()) == count
    check_store(tmp_path / "li.db")


async def _cancelled_at_call(li: Device, server: FakeServer, call: int, *, answered: bool) -> bool:
    """Sync and cancel it at its `call`th request, before or after the server handled it; whether it came to that."""
    task = asyncio.ensure_future(li.sync())
    reached = False

    async def cancel(_request: object) -> None:
        nonlocal reached
        reached = True
        task.cancel()
        await asyncio.sleep(0)

    faults = server.after if answered else server.faults
    faults.clear()
    faults.extend([None] * call + [cancel])
    with suppress(asyncio.CancelledError):
        await task
    faults.clear()
    return reached


@pytest.mark.parametrize("answered", [False, True])
async def test_a_sync_cancelled_at_any_request_loses_and_doubles_nothing(tmp_path: Path, answered: bool) -> None:
    """Whichever request a sync is cancelled at, the next one ends with every change applied exactly once."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component())
        for call in range(4):
            await li.update(made, inspections=1)
            await li.create(finding(f"{call}"))
            await _cancelled_at_call(li, server, call, answered=answered)
            assert (await li.find(Component))[0].inspections == call + 1
        await li.sync()
        assert await li.pending() == []
        fields = msgspec.msgpack.decode(server.state.records[made.id].fields)
        assert fields["inspections"] == 4
        assert len(server.state.records) == 5
    check_store(tmp_path / "li.db")


async def test_a_sync_cancelled_at_any_turn_keeps_every_invariant(tmp_path: Path) -> None:
    """A sync cancelled after any number of turns of the loop leaves a store that the next sync brings to the end."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component())
        for steps in range(0, 120, 3):
            await li.update(made, inspections=1)
            await cancelled_after(steps, li.sync())
            assert (await li.find(Component))[0].inspections == steps // 3 + 1
        await li.sync()
        assert msgspec.msgpack.decode(server.state.records[made.id].fields)["inspections"] == 40


@pytest.mark.parametrize("call", range(3))
async def test_a_cancelled_sign_in_can_be_repeated(tmp_path: Path, call: int) -> None:
    """Signing in, cancelled before or after the server heard of it, works the next time."""
    server = city()
    async with opened(tmp_path / "li.db", server) as li:
        await cancelled_after(call * 4, li.sign_in("li", "secret"))
        await li.sign_in("li", "secret")
        await li.create(finding())
        assert (await li.sync()).pushed == 1


async def test_a_cancelled_refresh_does_not_lock_the_device_out(tmp_path: Path) -> None:
    """When the answer with new tokens is cut off, the old refresh token still works."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        server.time.ms += 10_000_000
        await _cancelled_at_call(li, server, 0, answered=True)
        await li.create(finding())
        assert (await li.sync()).pushed == 1
