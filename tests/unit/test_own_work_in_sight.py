"""What a phone was told is applied stays in its user's sight, though the server still holds it back from readers."""

from pathlib import Path

import pytest

from client_sdk import pulling
from client_sdk.errors import Offline
from field_schemas.access import Grant, Role
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.memory import MemoryTransaction
from sync.storage import FeedEntry, FeedPosition
from tests.fake_server import FakeServer, lost
from tests.phones import NEXT_STREET, STREET, city, component, finding, phone


def hold_back(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    """As on PostgreSQL while some other writer's transaction is open: no feed shows anything later."""
    limit = FeedPosition(0, server.store.last_version)
    feed = MemoryTransaction.feed

    async def held(self: MemoryTransaction, key: str, after: FeedPosition, most: int) -> list[FeedEntry]:
        return [entry for entry in await feed(self, key, after, most) if entry.position <= limit]

    async def horizon(_self: MemoryTransaction) -> FeedPosition:
        return limit

    monkeypatch.setattr(MemoryTransaction, "feed", held)
    monkeypatch.setattr(MemoryTransaction, "horizon", horizon)


async def test_created_record_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was just created does not disappear with the sync that sends it."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        hold_back(monkeypatch, server)
        made = await li.create(finding())
        await li.sync()
        assert await li.get(Finding, made.id) is not None


async def test_updated_record_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record does not go back to what it was with the sync that sends the update."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component(condition="good"))
        await li.sync()
        hold_back(monkeypatch, server)
        await li.update(made, condition="worn")
        await li.sync()
        seen = await li.get(Component, made.id)
        assert seen is not None
        assert seen.condition == "worn"


async def test_deleted_record_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deleted record does not come back with the sync that sends the deletion."""
    server = city()
    async with phone(tmp_path, server, "chen") as chen:
        made = await chen.create(component())
        await chen.sync()
        hold_back(monkeypatch, server)
        await chen.delete(made)
        await chen.sync()
        assert await chen.get(Component, made.id) is None


async def test_work_stays_on_a_record_that_moved_while_the_old_place_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was applied to a record stays in sight though the copy here lies in a street that its user has lost:
    others have moved it to one that the user still has, as the next page will tell."""
    server = city()
    server.add_user("li", Grant(STREET, Role.INSPECTOR), Grant(NEXT_STREET, Role.INSPECTOR))
    monkeypatch.setattr(pulling, "_PAGE", 1)
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        made = await li.create(component(grid="440304002001001"))
        await li.sync()
        await chen.sync()
        await chen.create(component())
        moved = await chen.get(Component, made.id)
        assert moved is not None
        await chen.update(moved, grid="440304001001001")
        await chen.sync()
        await li.update(made, remark="改")
        server.add_user("li", Grant(STREET, Role.INSPECTOR))
        server.faults.extend([None, None, lost])
        with pytest.raises(Offline):
            await li.sync()
        seen = await li.get(Component, made.id)
        assert seen is not None
        assert seen.remark == "改"
