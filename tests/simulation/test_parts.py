"""The parts of the simulation: time that jumps, locks that wait."""

import asyncio
import uuid

import pytest

from client_sdk.simulation.locks import Key, RowLocks
from client_sdk.simulation.loop import Stalled, VirtualLoop
from sync.storage import Collision

A, B = Key("record", uuid.UUID(int=1)), Key("record", uuid.UUID(int=2))


def test_time_jumps() -> None:
    """A day of sleep takes no time, and ends at the right moment."""

    async def sleep() -> float:
        await asyncio.sleep(86_400 * 3)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(sleep()) == pytest.approx(86_400 * 3)


def test_waiting_for_nothing_is_noticed() -> None:
    """Where nobody can ever go on, the loop says so instead of standing still."""
    loop = VirtualLoop()
    waiting = loop.create_future()
    with pytest.raises(Stalled):
        loop.run_until_complete(waiting)
    waiting.cancel()
    loop.close()


async def test_circle_collides() -> None:
    """The one who would close a circle of waiting collides; the others go on."""
    locks = RowLocks()
    await locks.take(1, A)
    await locks.take(2, B)
    waiting = asyncio.ensure_future(locks.take(1, B))
    await asyncio.sleep(0)
    with pytest.raises(Collision):
        await locks.take(2, A)
    locks.release(2)
    await waiting


async def test_lock_just_passed_on_counts_as_held() -> None:
    """Asking for a row in the moment in which it passes to another is waiting like any other."""
    locks = RowLocks()
    await locks.take(1, A)
    second = asyncio.ensure_future(locks.take(2, A))
    await asyncio.sleep(0)
    locks.release(1)
    third = asyncio.ensure_future(locks.take(3, A))
    await second
    locks.release(2)
    await third
