"""Verification: what differs between a device's copies and the server's is found, and only that is fetched."""

import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from client_sdk import verification
from client_sdk.device import Device
from client_sdk.reports import Progress
from field_schemas.access import Grant, Role
from field_schemas.types.component import Component
from sync.clock import DAY_MS
from tests.fake_server import FakeServer
from tests.phones import GRID, NEXT_STREET, STREET, city, finding, opened, phone

COUNT = 700
NEXT_GRID = "440304002001001"
Damage = Callable[[sqlite3.Connection], object]


@pytest.fixture
async def server() -> FakeServer:
    """A server with COUNT components in the street, and a few in the next one."""
    server = city()
    common = {"kind": "0101", "place": {"lon": 114.05, "lat": 22.54}}
    await server.import_records("component", [{"code": str(n), "grid": GRID, **common} for n in range(COUNT)])
    await server.import_records("component", [{"code": "n", "grid": NEXT_GRID, **common}] * 5)
    server.add_user("li", Grant(STREET, Role.INSPECTOR), Grant(NEXT_STREET, Role.INSPECTOR))
    return server


async def all_of(device: Device) -> dict[uuid.UUID, tuple[str, int]]:
    return {one.id: (one.code, one.version) for one in await device.find(Component)}


async def damaged(folder: Path, server: FakeServer, damage: Damage) -> dict[uuid.UUID, tuple[str, int]]:
    """Sync li's phone, then damage the closed store; what the phone held before."""
    async with phone(folder, server, "li") as li:
        await li.sync()
        whole = await all_of(li)
    with sqlite3.connect(folder / "li.db") as db:
        damage(db)
    db.close()
    return whole


async def test_equal_copies_cost_a_question_a_scope(tmp_path: Path, server: FakeServer) -> None:
    """A sound copy is proven by one request a scope; nothing is fetched."""
    seen: list[Progress] = []
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        report = await li.verify(progress=seen.append)
    assert (report.fetched, report.forgotten, report.compared) == (0, 0, COUNT + 5)
    assert report.requests == report.scopes
    assert seen[-1] == Progress("verify", report.scopes, report.scopes)


DAMAGES: dict[str, tuple[Damage, int, int]] = {
    "lost": (lambda db: db.execute("DELETE FROM records WHERE rowid IN (3, 300)"), 2, 0),
    "old": (lambda db: db.execute("UPDATE records SET version = 1 WHERE rowid IN (5, 50, 500)"), 3, 0),
    "newer": (lambda db: db.execute("UPDATE records SET version = 999999 WHERE rowid = 7"), 1, 0),
    "foreign": (
        lambda db: db.execute(
            "INSERT INTO records (id, type, version, round, gone, deleted, fields)"
            " SELECT randomblob(16), type, version, round, gone, deleted, fields FROM records WHERE rowid = 9"
        ),
        0,
        1,
    ),
    "of no type": (lambda db: db.execute("UPDATE records SET type = 'nothing' WHERE rowid = 11"), 1, 0),
    "of another place": (
        lambda db: db.execute("UPDATE records SET fields = (SELECT fields FROM records WHERE rowid = 702)"
                              " WHERE rowid = 12"), 1, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
async def test_damage_is_found_and_repaired(tmp_path: Path, server: FakeServer, kind: str) -> None:
    """Rows lost, changed or added behind the SDK's back are found; nothing else is fetched."""
    damage, fetched, forgotten = DAMAGES[kind]
    whole = await damaged(tmp_path, server, damage)
    async with opened(tmp_path / "li.db", server) as li:
        assert await all_of(li) != whole
        report = await li.verify()
        assert await all_of(li) == whole
        assert (report.fetched, report.forgotten) == (fetched, forgotten)
        assert (await li.verify()).fetched == 0


async def test_an_emptied_store_is_read_afresh(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nearly everything differs, the device reads from the beginning rather than ask range by range."""
    monkeypatch.setattr(verification, "MOST_DIGESTS", 10)
    whole = await damaged(tmp_path, server, lambda db: db.execute("DELETE FROM records WHERE rowid % 2"))
    async with opened(tmp_path / "li.db", server) as li:
        report = await li.verify()
        assert await all_of(li) == whole
        assert report.fetched == COUNT + 5


async def test_unsent_work_outlives_a_repair(tmp_path: Path, server: FakeServer) -> None:
    """A change made while a repair is under way, to a record that is repaired, stays in sight and is sent."""
    await damaged(tmp_path, server, lambda db: db.execute("UPDATE records SET version = 7777 WHERE rowid = 5"))
    async with opened(tmp_path / "li.db", server) as li:
        (record,) = [one for one in await li.find(Component) if one.version == 7777]

        async def edit(_request: object) -> None:
            await li.update(record, remark="趁修复时")

        server.after.extend([None, edit])
        report = await li.verify()
        assert report.fetched == 1
        found = await li.get(Component, record.id)
        assert found is not None
        assert (found.remark, found.version) == ("趁修复时", 5)
        assert (await li.sync()).verdicts == {"applied": 1}


async def test_a_change_between_pull_and_digest_does_no_harm(tmp_path: Path, server: FakeServer) -> None:
    """A record that changes on the server between pull and digests is fetched newer, and pulled again later."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        await wang.sync()
        target = (await wang.find(Component, limit=1))[0]

        async def meanwhile(_request: object) -> None:
            await wang.update(target, remark="同时")
            await wang.sync()

        server.after.append(meanwhile)
        report = await li.verify()
        assert report.fetched == 1
        for _ in range(2):
            found = await li.get(Component, target.id)
            assert found is not None
            assert found.remark == "同时"
            assert (await li.sync()).forgotten == 0
        assert (await li.verify()).fetched == 0


async def test_once_a_day_by_itself(tmp_path: Path, server: FakeServer) -> None:
    """A sync verifies when the last verification is more than a day ago by the trusted clock, and says so."""
    async with phone(tmp_path, server, "li") as li:
        first = await li.sync()
        server.time.ms += DAY_MS - 1
        second = await li.sync()
        server.time.ms += 1
        third = await li.sync()
        fourth = await li.sync()
        assert [one.verified is not None for one in (first, second, third, fourth)] == [False, False, True, False]


async def test_own_work_is_no_difference(tmp_path: Path, server: FakeServer) -> None:
    """Own changes, sent or not, refused or applied, need no repair."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        await li.sync()
        target = (await li.find(Component, limit=1))[0]
        await li.update(target, inspections=1)
        await li.sync()
        await li.update(target, inspections=1)
        report = await li.verify()
        assert (report.fetched, report.forgotten) == (0, 0)
