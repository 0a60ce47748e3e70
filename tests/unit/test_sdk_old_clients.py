"""Apps older or newer than the server: what they know travels with their questions, and nothing they hold is lost."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from client_sdk.device import Device
from client_sdk.errors import Offline, TooOld
from client_sdk.reports import Status, SyncState
from field_schemas.access import FIELD_WORKERS, Access, Grant, Role
from field_schemas.record import Field, Record, record_type, type_of
from field_schemas.registry import Registry
from field_schemas.scopes import in_grid
from field_schemas.types.finding import Finding
from field_schemas.versions import VersionStep
from tests.fake_server import REGISTRY, FakeServer
from tests.fake_time import Time
from tests.phones import GRID, STREET, URL, city, finding, phone

ELSEWHERE = "440304002001001"
ACCESS = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS)


@record_type("tree", zh="树", en="Tree", scopes=(in_grid("grid"),), access=ACCESS)
class OldTree(Record):
    """The type as an old app knows it."""

    grid: Annotated[str, Field("网格", "Grid")]
    height: Annotated[int, Field("高度", "Height")] = 0


@record_type("tree", zh="树", en="Tree", scopes=(in_grid("grid"),), access=ACCESS, version=2)
class NewTree(Record):
    """The same with a field more."""

    grid: Annotated[str, Field("网格", "Grid")]
    height: Annotated[int, Field("高度", "Height")] = 0
    species: Annotated[str | None, Field("树种", "Species")] = None


def _scaled(field: str, scale: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda fields: {name: int(value * scale) if name == field else value for name, value in fields.items()}


@record_type("lamp", zh="灯", en="Lamp", scopes=(in_grid("grid"),), access=ACCESS)
class OldLamp(Record):
    """A lamp, in centimetres."""

    grid: Annotated[str, Field("网格", "Grid")]
    height_cm: Annotated[int, Field("高度", "Height")]


@record_type(
    "lamp",
    zh="灯",
    en="Lamp",
    scopes=(in_grid("grid"),),
    access=ACCESS,
    version=2,
    steps={2: VersionStep(_scaled("height_mm", 10), _scaled("height_mm", 0.1), {"height_cm": "height_mm"})},
)
class Lamp(Record):
    """The same in millimetres."""

    grid: Annotated[str, Field("网格", "Grid")]
    height_mm: Annotated[int, Field("高度", "Height")]


def li_with(folder: Path, server: FakeServer, cls: type[Record]) -> AbstractAsyncContextManager[Device]:
    """Li's phone with a program that knows `cls`."""
    return Device.open(
        folder / "li.db",
        server=URL,
        registry=registry_with(cls),
        transport=server.transport,
        clocks=server.time.clocks(),
    )


def registry_with(*classes: type[Record]) -> Registry:
    return Registry([*(spec.cls for spec in REGISTRY), *classes])


@pytest.fixture
def server() -> FakeServer:
    """A server that knows the new trees."""
    server = FakeServer(Time(), registry_with(NewTree))
    server.add_user("li", Grant(STREET, Role.INSPECTOR))
    return server


async def test_unknown_fields_survive_on_the_device_and_on_the_server(tmp_path: Path, server: FakeServer) -> None:
    """A newer server's field stays in the local copy through local edits, and the server keeps it."""
    (tree,) = await server.import_records("tree", [{"grid": GRID, "species": "榕树"}])
    async with Device.open(
        tmp_path / "li.db",
        server=URL,
        registry=registry_with(OldTree),
        transport=server.transport,
        clocks=server.time.clocks(),
    ) as li:
        await li.sign_in("li", "secret")
        await li.sync()
        for height in (3, 4):
            found = await li.get(OldTree, tree)
            assert found is not None
            await li.update(found, height=height)
            row = await li._store.run(lambda tables: tables.records.get(tree))
            assert row is not None
            assert row.decoded() == {"grid": GRID, "height": height, "species": "榕树"}
            await li.sync()
    assert msgspec.msgpack.decode(server.state.records[tree].fields) == {
        "grid": GRID, "height": 4, "species": "榕树",
    }  # fmt: skip
    assert type_of(NewTree).version == 2


async def test_a_type_the_app_does_not_know_is_left_out_until_it_does(tmp_path: Path, server: FakeServer) -> None:
    """Records of unknown types never reach the store; after an update of the app they come by themselves."""
    (tree,) = await server.import_records("tree", [{"grid": GRID}])
    async with phone(tmp_path, server, "li") as li:
        report = await li.sync()
        assert report.pulled == 0
        assert (await li.verify()).fetched == 0
    async with Device.open(
        tmp_path / "li.db",
        server=URL,
        registry=registry_with(NewTree),
        transport=server.transport,
        clocks=server.time.clocks(),
    ) as li:
        await li.sync()
        assert [one.id for one in await li.find(NewTree)] == [tree]


async def test_an_updated_app_shows_what_it_holds_in_the_new_form(tmp_path: Path) -> None:
    """Records and unsent work of the older program are there under the new names, before any network."""
    server = FakeServer(Time(), registry_with(Lamp))
    server.add_user("li", Grant(STREET, Role.INSPECTOR))
    (sent,) = await server.import_records("lamp", [{"grid": GRID, "height_mm": 50}])
    async with li_with(tmp_path, server, OldLamp) as li:
        await li.sign_in("li", "secret")
        await li.sync()
        lamp = await li.get(OldLamp, sent)
        assert lamp is not None
        assert lamp.height_cm == 5
        made = await li.create(OldLamp(grid=GRID, height_cm=7))
    async with li_with(tmp_path, server, Lamp) as li:
        assert {one.id: one.height_mm for one in await li.find(Lamp)} == {sent: 50, made.id: 70}
        await li.sync()
        assert {one.id: one.height_mm for one in await li.find(Lamp)} == {sent: 50, made.id: 70}


async def test_work_refused_before_an_update_can_be_sent_after_it(tmp_path: Path) -> None:
    """A refused change of the older program is resent in the new form."""
    server = FakeServer(Time(), registry_with(Lamp))
    server.add_user("li", Grant(STREET, Role.INSPECTOR))
    async with li_with(tmp_path, server, OldLamp) as li:
        await li.sign_in("li", "secret")
        made = await li.create(OldLamp(grid=GRID, height_cm=7))
        server.add_user("li")
        await li.sync()
    server.add_user("li", Grant(STREET, Role.INSPECTOR))
    async with li_with(tmp_path, server, Lamp) as li:
        await li.sync()
        (refusal,) = await li.refusals()
        await li.resend(refusal)
        await li.sync()
        assert msgspec.msgpack.decode(server.state.records[made.id].fields) == {"grid": GRID, "height_mm": 70}


async def test_work_waits_for_a_server_that_is_rolled_back(tmp_path: Path) -> None:
    """A change of what only a newer server reads waits, what was made before it is taken; nothing is lost."""
    server = FakeServer(Time(), registry_with(Lamp))
    server.add_user("li", Grant(STREET, Role.INSPECTOR))
    async with li_with(tmp_path, server, OldLamp) as li:
        await li.sign_in("li", "secret")
        lamp = await li.create(OldLamp(grid=GRID, height_cm=7))
        await li.sync()
        server.registry = registry_with(OldLamp)
        found = await li.create(finding())
        seen = await li.get(OldLamp, lamp.id)
        assert seen is not None
        await li.update(seen, height_cm=8)
        with pytest.raises(Offline, match="server_behind"):
            await li.sync()
        assert found.id in server.state.records
        assert [one.record for one in await li.pending()] == [lamp.id]
        server.registry = registry_with(Lamp)
        await li.sync()
        assert msgspec.msgpack.decode(server.state.records[lamp.id].fields)["height_mm"] == 80


async def test_work_that_waits_for_a_newer_server_does_not_hold_up_what_comes(tmp_path: Path) -> None:
    """A device with work that only a newer server takes still gets what this one has for it, and says so."""
    server = FakeServer(Time(), registry_with(Lamp))
    server.add_user("li", Grant(STREET, Role.INSPECTOR), Grant(f"grid:{ELSEWHERE}", Role.INSPECTOR))
    async with li_with(tmp_path, server, OldLamp) as li:
        await li.sign_in("li", "secret")
        lamp = await li.create(OldLamp(grid=ELSEWHERE, height_cm=7))
        await li.sync()
        server.add_user("li", Grant(STREET, Role.INSPECTOR))
        server.registry = registry_with(OldLamp)
        await li.update(lamp, height_cm=8)
        (told,) = await server.import_records("finding", [{"kind": "0102", "grid": GRID, "text": "x"}])
        with pytest.raises(Offline, match="server_behind"):
            await li.sync()
        assert [one.id for one in await li.find(Finding)] == [told]
        assert [one.record for one in await li.pending()] == [lamp.id]


async def test_a_refusal_from_before_an_update_is_dealt_with_after_it(tmp_path: Path) -> None:
    """A refusal names fields as they were then; the newer program knows what is meant, and so does the server."""
    server = FakeServer(Time(), registry_with(OldLamp))
    server.add_user("li", Grant(STREET, Role.INSPECTOR))
    server.add_user("boss", Grant("grid:440304", Role.SUPERVISOR))
    async with li_with(tmp_path, server, OldLamp) as li:
        await li.sign_in("li", "secret")
        made = await li.create(OldLamp(grid=GRID, height_cm=7))
        server.add_user("li", Grant("grid:440304009", Role.INSPECTOR))
        await li.sync()
    server.registry = registry_with(Lamp)
    async with Device.open(
        tmp_path / "boss.db",
        server=URL,
        registry=registry_with(Lamp),
        transport=server.transport,
        clocks=server.time.clocks(),
    ) as boss:
        await boss.sign_in("boss", "secret")
        await boss.sync()
        (item,) = await boss.needs_attention("en")
        assert ("height_mm", 70) in [(row.field, row.offered) for row in item.differences]
        (refusal,) = await boss.refusals()
        await boss.resend(refusal)
        await boss.sync()
    assert msgspec.msgpack.decode(server.state.records[made.id].fields) == {"grid": GRID, "height_mm": 70}


async def test_a_client_too_old_is_told_after_its_work_was_taken(tmp_path: Path) -> None:
    """Everything is sent and receipted, then the error says that the app must be updated; so does the status."""
    server = city()
    seen: list[Status] = []
    async with phone(tmp_path, server, "li") as li:
        li.observe(seen.append)
        made = await li.create(finding())
        server.min_protocol = 99
        with pytest.raises(TooOld, match="client_too_old"):
            await li.sync()
        assert made.id in server.state.records
        assert await li.pending() == []
        assert li.last_receipt is not None
        assert [one.state for one in seen] == [SyncState.SYNCING, SyncState.TOO_OLD]
        assert isinstance(seen[-1].error, TooOld)
        await li.create(finding())
        assert len(await li.find(Finding)) == 2
