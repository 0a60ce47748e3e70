"""Resets that keep work: the server restored or replaced, the device away too long, its store old or lost."""

import shutil
from pathlib import Path

import msgspec
import pytest

from client_sdk.device import Device
from client_sdk.store.frames import IDENTITY, scan
from client_sdk.store.thread import Tables
from field_schemas.access import Grant, Role
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.memory import MemoryTransaction
from sync.messages import Outcome
from sync.storage import FeedEntry, FeedPosition
from tests.fake_server import FakeServer
from tests.phones import GRID, city, component, finding, opened, phone


@pytest.fixture
def server() -> FakeServer:
    return city()


async def texts(device: Device) -> list[str]:
    return sorted(one.text for one in await device.find(Finding))


async def purge(server: FakeServer) -> None:
    """Drop all traces of deleted records."""
    async with server.store.writing() as tx:
        await tx.purge(FeedPosition(0, server.store.last_version))


def hold_back(monkeypatch: pytest.MonkeyPatch, settled: int) -> None:
    """From now on feeds tell nothing past version `settled`: a transaction that began before the rest is open yet."""
    feed = MemoryTransaction.feed

    async def settled_feed(self: MemoryTransaction, key: str, after: FeedPosition, limit: int) -> list[FeedEntry]:
        return [entry for entry in await feed(self, key, after, limit) if entry.version <= settled]

    async def horizon(_self: MemoryTransaction) -> FeedPosition:
        return FeedPosition(0, settled)

    monkeypatch.setattr(MemoryTransaction, "feed", settled_feed)
    monkeypatch.setattr(MemoryTransaction, "horizon", horizon)


async def test_a_device_away_too_long_starts_over_and_resurrects_nothing(tmp_path: Path, server: FakeServer) -> None:
    """After the traces of deletions are gone, the deleted record leaves the device, and unsent work is kept."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        kept, deleted = [await chen.create(component(code=code)) for code in "ab"]
        await chen.sync()
        await li.sync()
        same = await chen.get(Component, deleted.id)
        assert same is not None
        await chen.delete(same)
        await chen.sync()
        await purge(server)
        made = await li.create(finding("离线"))
        seen = await li.get(Component, deleted.id)
        assert seen is not None
        await li.update(seen, remark="不知道已删除")
        report = await li.sync()
        assert report.verdicts == {"applied": 1, "refused": 1}
        assert [one.id for one in await li.find(Component)] == [kept.id]
        assert made.id in server.state.records
        await li.sync()
        assert [one.id for one in await li.find(Component)] == [kept.id]


async def test_a_database_that_was_set_back_and_says_nothing_of_it(tmp_path: Path, server: FakeServer) -> None:
    """Where the database went back and its epoch stayed, who had read further notices, and sends what is lost."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        await li.create(finding("之前"))
        await li.sync()
        backup, versions = server.state, server.store.last_version
        await li.create(finding("之后"))
        await li.sync()
        await wang.sync()
        server.store.state, server.store.last_version = backup, versions
        await wang.sync()
        assert await texts(wang) == ["之前"]
        for device in (li, wang):
            await device.sync()
        assert await texts(li) == await texts(wang) == ["之前", "之后"]


async def test_a_reset_under_way_survives_a_restart(tmp_path: Path, server: FakeServer) -> None:
    """Work made while a reset is under way stays in sight through it."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        one = await chen.create(component())
        await chen.sync()
        await li.sync()
        same = await chen.get(Component, one.id)
        assert same is not None
        await chen.delete(same)
        await chen.sync()
        await purge(server)

        async def write(_request: object) -> None:
            await li.create(finding("其间"))

        server.faults.extend([write, write])
        await li.sync()
        assert await texts(li) == ["其间", "其间"]
        assert await li.find(Component) == []
        await li.sync()
        assert len([r for r in server.state.records.values() if r.type == "finding"]) == 2


async def test_what_moved_out_of_a_street_that_is_empty_stays_in_sight(tmp_path: Path, server: FakeServer) -> None:
    """A street in which nothing lies any more is no lost grant: what is here of it stays until the reset has brought
    it from where it lies now."""
    server.add_user("zhao", Grant("grid:440304", Role.SUPERVISOR))
    async with phone(tmp_path, server, "zhao") as zhao, phone(tmp_path, server, "chen") as chen:
        await chen.create(component())
        moved = await chen.create(component(grid="440304002001001"))
        await chen.sync()
        await zhao.sync()
        await chen.update(moved, grid=GRID)
        await chen.sync()
        await purge(server)
        server.snapshot_from = 1
        found: list[int] = []

        async def look(_request: object) -> None:
            found.append(len(await zhao.find(Component)))

        server.faults.extend([look] * 4)
        await zhao.sync()
        assert found == [2] * 4


async def test_what_the_server_holds_back_stays_in_sight(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset does not drop what is being written to while it reads, and comes with a later pull."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        made = await chen.create(component())
        await chen.sync()
        await li.sync()
        settled = server.store.last_version
        await chen.update(made, remark="其间")
        await chen.sync()
        await purge(server)
        hold_back(monkeypatch, settled)
        await li.sync()
        assert [one.remark for one in await li.find(Component)] == ["其间"]


@pytest.mark.parametrize("cursor", ["nonsense", "xxxx"])
async def test_a_cursor_nobody_made_is_replaced(tmp_path: Path, server: FakeServer, cursor: str) -> None:
    """A cursor that the server does not accept costs a full reading, and nothing stays that should not."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        one = await chen.create(component())
        await chen.sync()
        await li.sync()
        await li._store.run(lambda tables: _set_cursor(tables, cursor))
        same = await chen.get(Component, one.id)
        assert same is not None
        await chen.delete(same)
        await chen.sync()
        await li.sync()
        assert await li.find(Component) == []


async def test_a_server_restored_from_an_older_backup_gets_what_it_lacks(tmp_path: Path, server: FakeServer) -> None:
    """Everything after the backup that devices still know reaches the restored server; each happens once."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        made = await li.create(component())
        await li.sync()
        await wang.sync()
        backup = server.state
        await li.update(made, inspections=2)
        await li.create(finding("备份之后"))
        await li.sync()
        await wang.create(finding("王的"))
        await wang.sync()
        await server.restore(backup)
        await li.update(made, inspections=1)
        for device in (li, wang, li):
            await device.sync()
        for device in (li, wang):
            assert await texts(device) == ["备份之后", "王的"]
            got = await device.get(Component, made.id)
            assert got is not None
            assert got.inspections == 3
        assert {one.outcome for one in await li.verdicts()} == {Outcome.APPLIED}
        assert (await li.verify()).fetched == 0


async def test_a_record_made_after_the_backup_by_a_lost_device_goes(tmp_path: Path, server: FakeServer) -> None:
    """What nobody can send again is gone everywhere after a restore: copies do not outlive the server's word."""
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        backup = server.state
        await server.import_records(
            "component", [{"code": "1", "kind": "0101", "grid": "440304001001001", "place": {"lon": 114, "lat": 22}}]
        )
        await li.sync()
        assert len(await li.find(Component)) == 1
        await server.restore(backup)
        await li.sync()
        assert await li.find(Component) == []


async def test_a_store_restored_from_an_old_copy(tmp_path: Path, server: FakeServer) -> None:
    """A phone whose store went back in time numbers its new work after what the server holds; nothing is lost."""
    path, copy = tmp_path / "li.db", tmp_path / "copy.db"
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding("一"))
        await li.sync()
    shutil.copyfile(path, copy)
    async with opened(path, server) as li:
        await li.create(finding("二"))
        await li.create(finding("三"))
        await li.sync()
    shutil.copyfile(copy, path)
    async with opened(path, server) as li:
        await li.create(finding("四"))
        await li.sync()
        await li.receipt()
        assert await texts(li) == ["一", "三", "二", "四"]
        assert server.state.sequences[li.id] == 4
        assert li.last_receipt is not None
        assert li.last_receipt.held == 2


async def test_a_rescued_store_under_a_new_device_id(tmp_path: Path, server: FakeServer) -> None:
    """When not even the device's id could be saved, rescued work is sent by the new device, once, with a receipt."""
    path = tmp_path / "li.db"
    async with phone(tmp_path, server, "li") as li:
        old = li.id
        await li.create(finding("已发送"))
        await li.sync()
        await li.create(finding("未发送"))
    _damage(path)
    async with opened(path, server) as li:
        assert li.rescue is not None
        assert not li.rescue.identity_kept
        assert li.id != old
        await li.sign_in("li", "secret")
        await li.sync()
        assert await texts(li) == ["已发送", "未发送"]
        assert [one for one in server.state.log.values() if one.outcome is not Outcome.APPLIED] == []
        assert li.last_receipt is not None
        assert li.last_receipt.device == li.id


def _damage(path: Path) -> None:
    """Make the file's head and every copy of the identity unreadable."""
    data = bytearray(path.read_bytes())
    for payload in list(scan(bytes(data), IDENTITY)):
        position = data.find(payload)
        data[position : position + len(payload)] = b"\0" * len(payload)
    data[:100] = b"\0" * 100
    path.write_bytes(bytes(data))


def _set_cursor(tables: Tables, cursor: str) -> None:
    tables.meta.progressed = msgspec.structs.replace(tables.meta.progressed, cursor=cursor)
