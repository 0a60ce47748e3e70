"""Who stands behind sessions, looked up together."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert

from server.accounts.devices import Devices
from server.accounts.grants import Grants
from server.accounts.identities import Identities, Identity
from server.accounts.tables import devices, sessions, users
from server.storage.database import Database, open_database
from sync.errors import SyncError
from tests.contracts.samples import an_id

NOW = 1_790_000_000_000
PEOPLE = 20
ENDED = 7


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """PEOPLE accounts, each with a device and a session of the same number; session ENDED has ended."""
    database = open_database(database_url, 4)
    async with database.engine.begin() as connection:
        for number in range(PEOPLE):
            user = f"user-{number}"
            await connection.execute(insert(users).values(id=user, display_name=user, password_hash="", created_ms=0))
            key = bytes(32)
            await connection.execute(
                insert(devices).values(id=an_id(number), user_id=user, public_key=key, name="", enrolled_ms=0)
            )
            ended = NOW if number == ENDED else None
            await connection.execute(
                insert(sessions).values(
                    id=an_id(number), device_id=an_id(number), started_ms=0, ended_ms=ended, generation=0
                )
            )
    yield database
    await database.close()


async def _code(identities: Identities, session: uuid.UUID) -> str:
    with pytest.raises(SyncError) as caught:
        await identities.of(session)
    return caught.value.code


async def test_each_gets_its_own(database: Database) -> None:
    """Calls that wait together each get their own identity, and an ended session fails alone."""
    grants = Grants(database, lambda: NOW)
    for scope in ("grid:440304001", "grid:440304002"):
        await grants.give("user-3", "inspector", scope)
    identities = Identities(database.read_engine)
    found = await asyncio.gather(*(identities.of(an_id(number)) for number in range(PEOPLE) if number != ENDED))
    assert await _code(identities, an_id(ENDED)) == "token_invalid"
    assert [one.user for one in found] == [f"user-{number}" for number in range(PEOPLE) if number != ENDED]
    assert [grant.scope for grant in found[3].grants] == ["grid:440304001", "grid:440304002"]
    assert not any(one.grants for one in found if one.user != "user-3")


async def test_a_waiting_call_that_is_given_up(database: Database) -> None:
    """A call that is given up takes the answer from nobody else."""
    identities = Identities(database.read_engine)
    given_up = asyncio.create_task(identities.of(an_id(1)))
    await asyncio.sleep(0)
    waiting: list[asyncio.Task[Identity]] = [asyncio.create_task(identities.of(an_id(n))) for n in (1, 2, 1)]
    await asyncio.sleep(0)
    given_up.cancel()
    assert [one.user for one in await asyncio.gather(*waiting)] == ["user-1", "user-2", "user-1"]


async def test_nothing_is_remembered(database: Database) -> None:
    """A device that was revoked is known as revoked by the next call."""
    identities = Identities(database.read_engine)
    before = await identities.of(an_id(1))
    await Devices(database, lambda: NOW).revoke(an_id(1))
    after = await identities.of(an_id(1))
    assert (before.revoked, after.revoked) == (False, True)
