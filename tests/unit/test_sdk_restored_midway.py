"""A restore from backup between two requests of one sync: answers of other contents are not taken for those read."""

import contextlib
from pathlib import Path

import httpx
import msgspec
import pytest

from client_sdk.device import Device
from client_sdk.errors import Offline, Wiped
from field_schemas.types.component import Component
from sync.authority import Actor
from sync.errors import SyncError
from sync.memory import State
from sync.messages import PushRequest
from tests.fake_server import FakeServer, lost
from tests.phones import city, component, finding, phone
from tests.unit.test_own_work_in_sight import hold_back
from tests.unit.test_sdk_reset import purge

FETCH = "/v1/records/fetch"


def restore_before(server: FakeServer, path: str, backup: State) -> None:
    """Go back to `backup` just before the first request to `path`, and break the network after the next fetch."""
    seen: set[str] = set()

    async def fault(request: httpx.Request) -> httpx.Response | None:
        server.faults.append(fault)
        if FETCH in seen:
            return await lost(request)
        if request.url.path == path and path not in seen:
            await server.restore(backup)
        seen.add(request.url.path)
        return None

    server.faults.append(fault)


async def work_since_a_backup(li: Device, server: FakeServer) -> State:
    """A component that li makes and changes; the contents before the change was applied."""
    made = await li.create(component(condition="good"))
    await li.sync()
    backup = server.state
    await li.update(made, condition="worn")
    await li.sync()
    return backup


async def worn(device: Device) -> list[str | None]:
    return [one.condition for one in await device.find(Component)]


async def test_applied_work_stays_when_what_a_page_leaves_out_is_of_other_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was applied stays in sight though the contents that lost it answer what the page before them left out."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component(condition="good"))
        await li.sync()
        backup = server.state
        hold_back(monkeypatch, server)
        await li.update(made, condition="worn")
        restore_before(server, FETCH, backup)
        with pytest.raises(Offline):
            await li.sync()
        assert await worn(li) == ["worn"]


async def test_applied_work_stays_when_a_repair_is_of_other_contents(tmp_path: Path) -> None:
    """What was applied stays in sight though a verification compares the copies with contents that lost it."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        backup = await work_since_a_backup(li, server)
        restore_before(server, "/v1/digests", backup)
        with pytest.raises(Offline):
            await li.verify()
        assert await worn(li) == ["worn"]


async def test_applied_work_stays_when_a_history_is_of_other_contents(tmp_path: Path) -> None:
    """What was applied stays in sight though its author looks at the history that others went on with without it."""
    server = city()
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        backup = await work_since_a_backup(li, server)
        await server.restore(backup)
        await chen.sync()
        (same,) = await chen.find(Component)
        await chen.update(same, remark="之后")
        await chen.sync()
        (seen,) = await li.find(Component)
        await li.history(seen)
        assert await worn(li) == ["worn"]


async def test_work_that_a_restore_in_the_middle_lost_is_sent_again_in_the_same_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that meets other contents half way begins anew and brings them what they lack."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component(condition="good"))
        await li.sync()
        backup = server.state
        await li.update(made, condition="worn")

        async def restored(_request: httpx.Request) -> None:
            monkeypatch.undo()
            await server.restore(backup)

        hold_back(monkeypatch, server)
        server.faults.extend([None, restored])
        report = await li.sync()
        assert (report.verdicts, await worn(li)) == ({"applied": 2}, ["worn"])


async def test_applied_work_stays_when_a_snapshot_is_of_other_contents(tmp_path: Path) -> None:
    """What was applied stays in sight though a snapshot, asked for after the page that offered it, lacks it."""
    server = city()
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        backup = await work_since_a_backup(li, server)
        await chen.create(finding())
        await chen.sync()
        await purge(server)
        server.snapshot_from = 1

        async def restored(request: httpx.Request) -> None:
            if request.url.path != "/v1/snapshots":
                server.faults.append(restored)
                return
            await server.restore(backup)
            await chen.sync()
            (same,) = await chen.find(Component)
            await chen.update(same, remark="之后")
            await chen.sync()
            server.faults.append(break_before_pull)

        async def break_before_pull(request: httpx.Request) -> httpx.Response | None:
            server.faults.append(break_before_pull)
            return await lost(request) if request.url.path in ("/v1/pull", "/v1/push") else None

        server.faults.append(restored)
        with pytest.raises(Offline):
            await li.sync()
        assert await worn(li) == ["worn"]


async def test_a_push_that_comes_again_after_a_restore_is_not_decided_behind_its_sender(tmp_path: Path) -> None:
    """What a phone was told of its work is what the log says, though the network doubled a push across a restore."""
    server, sent = city(), list[PushRequest]()

    async def note(request: httpx.Request) -> None:
        sent.append(msgspec.msgpack.decode(request.content, type=PushRequest))

    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component(condition="good"))
        await li.sync()
        backup = server.state
        await li.update(made, condition="worn")
        server.faults.append(note)
        await li.sync()
        await server.restore(backup)
        with contextlib.suppress(SyncError):
            await server.submit(Actor("li", li.id, li.grants), *sent)
        await li.sync()
        told = {row.change.id: row.version for row in await li._store.run(lambda tables: [*tables.outbox.all()])}
        assert told == {logged.id: logged.version for logged in server.state.log.values()}


async def test_a_push_for_replaced_contents_is_sent_again_for_the_new_ones(tmp_path: Path) -> None:
    """A device that does not know of a restore yet gets its work in, old and new, in one sync."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        backup = await work_since_a_backup(li, server)
        (made,) = await li.find(Component)
        await server.restore(backup)
        await li.update(made, remark="之后")
        await li.sync()
        assert (await li.pending(), len(server.state.log)) == ([], 3)
        assert [(one.condition, one.remark) for one in await li.find(Component)] == [("worn", "之后")]


async def test_a_revoked_device_hands_in_what_it_made_for_replaced_contents(tmp_path: Path) -> None:
    """A restore while a revoked device hands in its work costs it none of that."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        backup = server.state
        await li.create(finding("一"))
        await li.sync()
        server.accounts.revoked.add(li.id)

        async def write(_request: httpx.Request) -> None:
            await li.create(finding("二"))

        async def restored(_request: httpx.Request) -> None:
            await server.restore(backup)

        server.faults.extend([None, write, restored])
        with pytest.raises(Wiped):
            await li.sync()
        assert [one.code for one in server.state.log.values()].count("device_quarantined") == 2
