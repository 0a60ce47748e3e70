"""First sync by snapshot: the same copies as by pages, resumed, checked, and never beyond the reader's role."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from client_sdk.device import Device
from client_sdk.errors import Offline
from client_sdk.reports import Progress
from field_schemas.access import Grant, Role
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from tests.fake_server import FakeServer
from tests.phones import NEXT_STREET, PLACE, STREET, component, finding, opened, phone
from tests.snapshot_roads import (
    MANY,
    Road,
    RoadWithoutRanges,
    break_off,
    contents_asked,
    end,
    furnish,
    large_city,
    tamper,
    travelling,
)


async def make_a_conflict(folder: Path, server: FakeServer) -> None:
    """One component, judged differently by two inspectors."""
    async with phone(folder, server, "li") as li, phone(folder, server, "wang") as wang:
        await li.sync()
        await wang.sync()
        for device, condition in ((li, "worn"), (wang, "damaged")):
            await device.update((await device.find(Component))[0], condition=condition)
            await device.sync()


@pytest.fixture
async def server() -> FakeServer:
    """A city with enough components for a snapshot of five blocks."""
    return await large_city()


def by_id(record: Component) -> uuid.UUID:
    """Key to sort by."""
    return record.id


async def is_equal(device: Device) -> bool:
    """Whether the digests prove the device's copies equal to the server's."""
    report = await device.verify()
    return (report.fetched, report.forgotten) == (0, 0) and report.compared > 0


async def test_a_large_area_comes_as_a_snapshot(tmp_path: Path, server: FakeServer) -> None:
    """A first sync loads a large area as a snapshot, and the copies are the server's."""
    async with phone(tmp_path, server, "li") as device:
        await device.sync()
        assert contents_asked(server) == 1
        assert len(await device.find(Component)) == MANY
        assert await is_equal(device)


async def test_the_same_as_by_pages(tmp_path: Path, server: FakeServer) -> None:
    """Of two devices, one with a snapshot and one with pages, queries of every kind find the same."""
    async with phone(tmp_path, server, "li") as by_snapshot, phone(tmp_path, server, "wang") as by_pages:
        await by_snapshot.sync()
        server.snapshot_from = MANY * 10
        await by_pages.sync()
        assert contents_asked(server) == 1
        queries: list[dict[str, Any]] = [
            {},
            {"near": PLACE, "within_m": 100},
            {"text": "4403040101000007"},
            {"kind": "0101"},
        ]
        for query in queries:
            ours, theirs = await by_snapshot.find(Component, **query), await by_pages.find(Component, **query)
            assert sorted(ours, key=by_id) == sorted(theirs, key=by_id) != []


async def test_a_small_area_comes_by_pages(tmp_path: Path, server: FakeServer) -> None:
    """What holds less than the bound is sent in pages."""
    server.snapshot_from = MANY + 1
    async with phone(tmp_path, server, "li") as device:
        await device.sync()
        assert contents_asked(server) == 0
        assert len(await device.find(Component)) == MANY


async def test_own_things_come_first(tmp_path: Path, server: FakeServer) -> None:
    """What concerns the user in person is on the device before a snapshot is asked for."""
    async with phone(tmp_path, server, "li") as old:
        await old.create(finding("自己的"))
        await old.sync()
    road, seen = Road(server), list[list[str]]()
    async with travelling(tmp_path / "new.db", server, road) as device:

        async def look() -> None:
            seen.append([one.text for one in await device.find(Finding)])

        road.before_asking = look
        await device.sync()
    assert seen == [["自己的"]]


async def test_progress_has_a_total(tmp_path: Path, server: FakeServer) -> None:
    """While a snapshot loads, its caller sees how many records there will be."""
    told: list[Progress] = []
    async with phone(tmp_path, server, "li") as device:
        await device.sync(told.append)
    assert [(one.done, one.total) for one in told if one.total] == [(done, MANY) for done in (4, 8, 12, 16, 18)]


async def test_changes_after_the_snapshot_arrive(tmp_path: Path, server: FakeServer) -> None:
    """What was changed, deleted and moved away after a snapshot was made ends on the device as the server has it."""
    async with phone(tmp_path, server, "li") as first, phone(tmp_path, server, "chen") as chen:
        await first.sync()
        await chen.sync()
        changed, deleted, moved, *_ = await chen.find(Component)
        await chen.update(changed, remark="改")
        await chen.delete(deleted)
        await chen.update(moved, grid="440304002001001")
        await chen.sync()
        async with phone(tmp_path, server, "wang") as late:
            await late.sync()
            found = {one.id: one for one in await late.find(Component)}
            assert found.keys() == {one.id for one in await chen.find(Component)} - {moved.id}
            assert found[changed.id].remark == "改"
            assert await is_equal(late)


async def test_broken_off_it_goes_on(tmp_path: Path, server: FakeServer) -> None:
    """A download that breaks off goes on with the first block that is not stored."""
    road = Road(server)
    road.accidents = [break_off]
    async with travelling(tmp_path / "li.db", server, road) as device:
        await device.sync()
        assert len(await device.find(Component)) == MANY
    first, second = road.starts
    assert first == 0 < second


async def test_it_goes_on_where_ranges_get_lost(tmp_path: Path, server: FakeServer) -> None:
    """Where a proxy drops the header Range, a download that broke off goes on all the same, with the rest."""
    road = RoadWithoutRanges(server)
    road.accidents = [break_off]
    async with travelling(tmp_path / "li.db", server, road) as device:
        report = await device.sync()
        assert len(await device.find(Component)) == report.pulled == MANY
        assert await is_equal(device)
    assert len(road.starts) == 2


async def test_a_new_process_goes_on(tmp_path: Path, server: FakeServer) -> None:
    """What was loaded when the process ended is not loaded again."""
    road = Road(server)

    road.accidents = [break_off, end]
    async with travelling(tmp_path / "li.db", server, road) as device:
        with pytest.raises(Offline):
            await device.sync()
        assert 0 < len(await device.find(Component)) < MANY
    async with travelling(tmp_path / "li.db", server, road) as device:
        await device.sync()
        assert len(await device.find(Component)) == MANY
        assert await is_equal(device)
    assert road.starts == [0, road.starts[1], road.starts[1]]


async def test_a_tampered_block_is_fetched_again(tmp_path: Path, server: FakeServer) -> None:
    """A block that is not what the server named is not stored, but asked for again."""
    road = Road(server)
    road.accidents = [tamper]
    async with travelling(tmp_path / "li.db", server, road) as device:
        await device.sync()
        assert await is_equal(device)
    assert len(road.starts) == 2


async def test_damaged_for_good_it_goes_by_pages(tmp_path: Path, server: FakeServer) -> None:
    """Where no block arrives whole, the device gives up snapshots and reads pages."""
    road = Road(server)
    road.accidents = [tamper] * 20
    async with travelling(tmp_path / "li.db", server, road) as device:
        await device.sync()
        assert len(await device.find(Component)) == MANY
        assert await is_equal(device)


async def test_a_lost_snapshot_is_begun_anew(tmp_path: Path, server: FakeServer) -> None:
    """A snapshot that the server has dropped meanwhile is replaced by the newest, and nothing stale stays."""
    road = Road(server)
    async with travelling(tmp_path / "li.db", server, road) as device, phone(tmp_path, server, "chen") as chen:
        await chen.sync()
        first, *_ = await chen.find(Component)

        def drop(content: bytes) -> bytes:
            server.snapshots.kept.clear()
            return break_off(content)

        road.accidents = [drop]
        await device.sync()
        await chen.delete(first)
        await chen.sync()
        await device.sync()
        assert len(await device.find(Component)) == MANY - 1
        assert await is_equal(device)


async def test_own_work_stays(tmp_path: Path, server: FakeServer) -> None:
    """What is written here while a snapshot loads stays in sight and is sent."""
    road = Road(server)
    async with travelling(tmp_path / "li.db", server, road) as device:

        async def write() -> None:
            await device.create(component(remark="新的"))

        road.before_asking = write
        await device.sync()
        assert len(await device.find(Component, remark="新的")) == 1
        await device.sync()
        assert len(await device.find(Component)) == MANY + 1
        assert await device.pending() == []


async def test_a_neighbouring_area_costs_only_itself(tmp_path: Path, server: FakeServer) -> None:
    """A grant on another street brings that street's snapshot, and the old one is not loaded again."""
    await furnish(server, 7, "440304002001001")
    async with phone(tmp_path, server, "li") as device:
        await device.sync()
        server.add_user("li", Grant(STREET, Role.INSPECTOR), Grant(NEXT_STREET, Role.INSPECTOR))
        report = await device.sync()
        assert report.pulled == 7
        assert contents_asked(server) == 2
        server.add_user("li", Grant(NEXT_STREET, Role.INSPECTOR))
        await device.sync()
        assert len(await device.find(Component)) == 7
        assert await is_equal(device)


async def test_roles_that_change_amid_a_snapshot(tmp_path: Path, server: FakeServer) -> None:
    """A device whose user lost the area amid its snapshot keeps nothing of it."""
    road = Road(server)

    def revoke(content: bytes) -> bytes:
        server.add_user("li", Grant(NEXT_STREET, Role.INSPECTOR))
        return break_off(content)

    road.accidents = [revoke]
    async with travelling(tmp_path / "li.db", server, road) as device:
        await device.sync()
        assert await device.find(Component) == []


async def test_conflicts_come_before_the_rest(tmp_path: Path, server: FakeServer) -> None:
    """An area's conflicts are on a supervisor's device before the area's snapshot is downloaded."""
    await make_a_conflict(tmp_path, server)
    server.requests.clear()
    async with phone(tmp_path, server, "chen") as chen:
        await chen.sync()
        assert len(await chen.conflicts()) == 1
        assert await is_equal(chen)
    reads = [one for one in server.requests if "/v1/snapshots/" in one or one.endswith("/fetch")]
    assert reads[0] == "POST /v1/records/fetch"


async def test_conflicts_go_with_the_role_though_the_snapshot_broke_off(tmp_path: Path, server: FakeServer) -> None:
    """Conflicts that came ahead of a snapshot are forgotten when their reader is supervisor no more, though nothing
    of the snapshot itself had arrived."""
    await make_a_conflict(tmp_path, server)
    server.add_user("zhao", Grant(STREET, Role.SUPERVISOR))
    road = Road(server)

    road.accidents = [end]
    async with opened(tmp_path / "zhao.db", server, transport=road) as device:
        await device.sign_in("zhao", "secret")
        with pytest.raises(Offline):
            await device.sync()
        assert len(await device.conflicts()) == 1
        server.add_user("zhao", Grant(STREET, Role.STEWARD))
        await device.sync()
        assert await device.conflicts() == []
