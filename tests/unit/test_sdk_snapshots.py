"""First sync by snapshot: the same copies as by pages, resumed, checked, and never beyond the reader's role."""

import random
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from client_sdk.device import Device
from client_sdk.errors import Offline
from client_sdk.reports import Progress
from client_sdk.store import loading, texts
from client_sdk.store.exchanging import start_over
from client_sdk.store.meta import Unindexed
from client_sdk.store.opening import open_store
from client_sdk.store.thread import Tables
from field_schemas.access import Grant, Role
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.messages import Snapshot, SnapshotBlock, WireRecord
from sync.snapshot import encode_block
from tests.fake_server import REGISTRY, START_MS, FakeServer
from tests.phones import GRID, NEXT_STREET, PLACE, STREET, city, component, finding, opened, phone

FROM = 5
"""Records from which on the server of these tests gives snapshots; its blocks hold four."""
MANY = 18


class Road(httpx.AsyncBaseTransport):
    """The way to a server, on which snapshots meet accidents: `accidents` are taken one a download."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.accidents: list[Callable[[bytes], bytes]] = []
        self.starts: list[int] = []
        self.before_asking: Callable[[], Awaitable[None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        if request.url.path == "/v1/snapshots" and self.before_asking is not None:
            await self.before_asking()
        response = await self._server.transport.handle_async_request(request)
        if not request.url.path.startswith("/v1/snapshots/") or response.status_code != 206:
            return response
        self.starts.append(int(request.headers["range"][len("bytes=") : -1]))
        content = await response.aread()
        accident = self.accidents.pop(0) if self.accidents else bytes
        return httpx.Response(206, stream=httpx.ByteStream(accident(content)))


class RoadWithoutRanges(Road):
    """A way that drops the header Range: each download is of the whole."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        if not request.url.path.startswith("/v1/snapshots/"):
            return await super().handle_async_request(request)
        request.headers["range"] = "bytes=0-"
        response = await super().handle_async_request(request)
        return httpx.Response(200, stream=response.stream)


@asynccontextmanager
async def travelling(path: Path, server: FakeServer, road: Road) -> AsyncIterator[Device]:
    """li's phone at the end of `road`."""
    async with opened(path, server, transport=road) as device:
        await device.sign_in("li", "secret")
        yield device


async def make_a_conflict(folder: Path, server: FakeServer) -> None:
    """One component, judged differently by two inspectors."""
    async with phone(folder, server, "li") as li, phone(folder, server, "wang") as wang:
        await li.sync()
        await wang.sync()
        for device, condition in ((li, "worn"), (wang, "damaged")):
            await device.update((await device.find(Component))[0], condition=condition)
            await device.sync()


def break_off(content: bytes) -> bytes:
    """The connection ends in the second half of the content."""
    return content[: len(content) * 2 // 3]


def tamper(content: bytes) -> bytes:
    """One byte of the second half is another one."""
    place = len(content) * 2 // 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


async def loaded(path: Path, server: FakeServer) -> Tables:
    """The store of a phone that was killed when its snapshot was loaded, and nothing of it indexed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "index_some", lambda _tables, _goal: False)
        async with opened(path, server) as device:
            await device.sign_in("chen", "secret")
            await device.sync()
    tables, _ = open_store(path, REGISTRY, START_MS, random.Random(1).randbytes)
    assert tables.meta.unindexed == Unindexed(0, MANY)
    return tables


@pytest.fixture
async def server() -> FakeServer:
    """A city with enough components for a snapshot of five blocks."""
    server = city()
    server.snapshot_from = FROM
    await place(server, MANY)
    return server


async def place(server: FakeServer, count: int, grid: str = GRID) -> None:
    """Components that the server imports."""
    rows = [
        {"code": f"440304010100{number:04d}", "kind": "0101", "grid": grid, "place": {"lon": 114.05, "lat": 22.54}}
        for number in range(count)
    ]
    await server.import_records("component", rows)


def contents_asked(server: FakeServer) -> int:
    """How often a snapshot's content was asked for."""
    return sum(request.startswith("GET /v1/snapshots/") for request in server.requests)


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

    def end(content: bytes) -> bytes:
        raise httpx.ReadError("the network broke")

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


async def test_texts_are_found_while_a_snapshot_loads(tmp_path: Path, server: FakeServer) -> None:
    """A search finds all that is here by then, though texts are indexed only after the snapshot, in steps."""
    road = Road(server)

    def end(content: bytes) -> bytes:
        raise httpx.ReadError("the network broke")

    road.accidents = [break_off, end]
    async with travelling(tmp_path / "li.db", server, road) as device:
        with pytest.raises(Offline):
            await device.sync()
        here = await device.find(Component)
        assert sorted(await device.find(Component, text="44030401"), key=by_id) == here
        await device.sync()
        assert len(await device.find(Component, text="44030401")) == MANY


@pytest.mark.parametrize("steps", range(4))
async def test_indexing_survives_being_killed(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Killed after any step of indexing, the next process goes on where it was; changes in between are kept."""
    monkeypatch.setattr(texts, "_STEP", 5)
    tables = await loaded(tmp_path / "chen.db", server)
    for _ in range(steps):
        tables.db.execute("BEGIN IMMEDIATE")
        texts.index_some(tables, MANY)
        tables.db.execute("COMMIT")
    tables.db.execute("BEGIN IMMEDIATE")
    texts.index_some(tables, MANY)
    tables.db.close()
    async with opened(tmp_path / "chen.db", server) as device:
        changed, deleted, *_ = await device.find(Component)
        await device.update(changed, remark="井盖松动")
        await device.delete(deleted)
        assert await device.find(Component, text="盖松") == [await device.get(Component, changed.id)]
        assert len(await device.find(Component, text="44030401")) == MANY - 1


async def test_a_neighbouring_area_costs_only_itself(tmp_path: Path, server: FakeServer) -> None:
    """A grant on another street brings that street's snapshot, and the old one is not loaded again."""
    await place(server, 7, "440304002001001")
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

    def end(content: bytes) -> bytes:
        raise httpx.ReadError("the network broke")

    road.accidents = [end]
    async with opened(tmp_path / "zhao.db", server, transport=road) as device:
        await device.sign_in("zhao", "secret")
        with pytest.raises(Offline):
            await device.sync()
        assert len(await device.conflicts()) == 1
        server.add_user("zhao", Grant(STREET, Role.STEWARD))
        await device.sync()
        assert await device.conflicts() == []


@pytest.mark.parametrize("replaced", [False, True])
async def test_an_older_snapshot_hides_nothing_newer(tmp_path: Path, server: FakeServer, replaced: bool) -> None:
    """A snapshot read anew leaves what is newer here in sight, until it comes again; not so where the server's
    contents were replaced, whose versions tell nothing."""
    tables = await loaded(tmp_path / "chen.db", server)
    row = tables.records.of_type("component")[0]
    fields = msgspec.Raw(row.fields)
    snapshot = Snapshot("old", "cursor", [SnapshotBlock(1, 1, "")])
    tables.records.put(row._replace(version=row.version + 100))
    start_over(tables, uuid.uuid4() if replaced else tables.meta.progressed.epoch)
    loading.begin(tables, STREET, snapshot, {})
    old = WireRecord(uuid.UUID(bytes=row.id), row.type, row.version, fields, row.owner)
    loading.take_block(tables, encode_block([old]))
    (here,) = [one for one in tables.records.of_type("component") if one.id == row.id]
    assert here.version - row.version == (0 if replaced else 100)
    tables.db.close()


def indexes(path: Path) -> set[str]:
    """The names of the store's indexes."""
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}


async def test_indexes_are_there_when_loading_ends(tmp_path: Path, server: FakeServer) -> None:
    """However a load ends, and after a kill amid it when the store is opened, place and type are indexed."""
    road, path = Road(server), tmp_path / "li.db"

    def end(content: bytes) -> bytes:
        raise httpx.ReadError("the network broke")

    road.accidents = [end]
    async with travelling(path, server, road) as device:
        with pytest.raises(Offline):
            await device.sync()
    after_break = indexes(path)
    async with travelling(path, server, road) as device:
        await device.sync()
    assert after_break == indexes(path) >= {"records_place", "records_type"}
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP INDEX records_place")
    async with opened(path, server):
        pass
    assert indexes(path) == after_break
