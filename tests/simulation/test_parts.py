"""The parts of the simulation: time that jumps, locks that wait."""

import asyncio
import uuid

import pytest

from client_sdk.simulation.locks import Key, RowLocks
from client_sdk.simulation.loop import Stalled, VirtualLoop
from client_sdk.simulation.programs import NEWEST
from client_sdk.simulation.sight import seen_by
from field_schemas.access import Grant, Role
from sync.memory import NO_FIELDS
from sync.storage import Collision, StoredRecord

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


@pytest.mark.parametrize(("scope", "told"), [("grid:440304001", True), ("grid:440304002", False)])
def test_the_deletion_of_what_is_purged_is_told_where_it_lay(scope: str, told: bool) -> None:
    """The oracle lets those know of a purged record's deletion who could see it, though its fields are gone."""
    purged = StoredRecord(
        id=uuid.UUID(int=1), type="sample", version=2, tx=1, scopes=("grid:440304001001001",), owner="li",
        district="440304", fields=NO_FIELDS, marks=NO_FIELDS, deleted=True, type_version=1,
    )  # fmt: skip
    seen = seen_by(NEWEST.registry, "wang", [Grant(scope, Role.INSPECTOR)], 0, purged)
    assert (seen is not None) == told
