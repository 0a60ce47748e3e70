"""The SDK against the real server over real HTTP."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client_sdk.device import Device
from client_sdk.errors import Offline, Rejected, SignInNeeded, Wiped
from field_schemas.access import Role
from field_schemas.places import Position
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.messages import Outcome
from tests.fake_server import REGISTRY
from tests.integration.http_server import GRID, MAX_BATCH, PASSWORD, STREET, Accounts, HttpServer

INSPECTOR = (f"grid:{STREET}", Role.INSPECTOR)
SUPERVISOR = ("grid:440304", Role.SUPERVISOR)


@asynccontextmanager
async def device_of(server: HttpServer, folder: Path, user: str) -> AsyncIterator[Device]:
    """The signed-in device of `user`; its clock is not the server's, which stands still."""
    async with Device.open(folder / f"{user}.db", server=server.url, registry=REGISTRY) as device:
        await device.sign_in(user, PASSWORD)
        yield device


async def user_of(server: HttpServer, *grants: tuple[str, Role]) -> str:
    """A new user with these grants."""
    return await asyncio.to_thread(server.new_user, *grants)


async def end_grant(server: HttpServer, user: str, scope: str) -> None:
    """End the user's grant on `scope`."""

    async def end(accounts: Accounts) -> None:
        (grant,) = [one for one in await accounts.grants.of(user) if one.grant.scope == scope]
        await accounts.grants.end(grant.id)

    await asyncio.to_thread(server.administer, end)


def finding(text: str) -> Finding:
    """A finding in the street that inspectors have."""
    return Finding(kind="0102", grid=GRID, text=text, place=Position(114.05, 22.54))


async def test_work_travels_from_device_to_device(server: HttpServer, tmp_path: Path) -> None:
    """What one device writes offline, in more changes than a batch may hold, another reads whole."""
    first, second = await user_of(server, INSPECTOR), await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, first) as one, device_of(server, tmp_path, second) as other:
        async with one.batch() as batch:
            made = [batch.create(finding(f"问题{n}")) for n in range(2 * MAX_BATCH + 5)]
        report = await one.sync()
        assert report.verdicts == {"applied": len(made)}
        await other.sync()
        got = {record.id: record for record in await other.find(Finding)}
        assert got.keys() >= {record.id for record in made}
        assert got == {record.id: record for record in await one.find(Finding)}


async def test_concurrent_values_are_settled_by_a_supervisor(server: HttpServer, tmp_path: Path) -> None:
    """A conflict between two inspectors goes to the supervisor, whose choice reaches both."""
    users = [await user_of(server, INSPECTOR), await user_of(server, INSPECTOR), await user_of(server, SUPERVISOR)]
    async with (
        device_of(server, tmp_path, users[0]) as li,
        device_of(server, tmp_path, users[1]) as wang,
        device_of(server, tmp_path, users[2]) as chen,
    ):
        made = await li.create(Component(code="1", kind="0101", grid=GRID, place=Position(114.05, 22.54)))
        await li.sync()
        await wang.sync()
        seen = await wang.get(Component, made.id)
        assert seen is not None
        await li.update(made, condition="worn", inspections=1)
        await wang.update(seen, condition="damaged", inspections=1)
        for device in (li, wang, chen):
            await device.sync()
        (conflict,) = [one for one in await chen.conflicts() if one.record == made.id]
        await chen.resolve(conflict, {"condition": "damaged"})
        for device in (chen, li, wang):
            await device.sync()
            final = await device.get(Component, made.id)
            assert final is not None
            assert (final.condition, final.inspections) == ("damaged", 2)


async def test_a_refused_change_is_told_in_words(server: HttpServer, tmp_path: Path) -> None:
    """A change that a grant taken away makes impossible comes back as a refusal the user understands."""
    user = await user_of(server, INSPECTOR, SUPERVISOR)
    async with device_of(server, tmp_path, user) as device:
        made = await device.create(
            Component(code="1", kind="0101", grid="440304009001001", place=Position(114, 22.5))
        )
        await device.sync()
        await end_grant(server, user, SUPERVISOR[0])
        server.now_ms += 60_000
        await device.update(made, remark="之后")
        await device.sync()
        outcomes = [one.outcome for one in await device.verdicts(made)]
        assert outcomes[-1] is Outcome.REFUSED
        assert {item.reason for item in await device.needs_attention("en")} == {"The record is outside your area"}


async def test_tokens_are_renewed_for_hours(server: HttpServer, tmp_path: Path) -> None:
    """A device that comes back after hours syncs without signing in again."""
    user = await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, user) as device:
        for _ in range(3):
            server.now_ms += 3_600_000
            await device.create(finding("几小时后"))
            assert (await device.sync()).pushed == 1


async def test_a_session_that_was_ended_asks_for_sign_in(server: HttpServer, tmp_path: Path) -> None:
    """Signed out, a device keeps its work, cannot sync, and can sign in again."""
    user = await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, user) as device:
        await device.sign_out()
        await device.create(finding("离线"))
        with pytest.raises(SignInNeeded):
            await device.sync()
        with pytest.raises(Rejected, match="credentials_wrong"):
            await device.sign_in(user, "not the password")
        await device.sign_in(user, PASSWORD)
        assert (await device.sync()).pushed == 1


async def test_without_a_server_work_goes_on(server: HttpServer, tmp_path: Path) -> None:
    """Where no server answers, sync says offline, local work goes on, and a later sync sends all of it."""
    user = await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, user):
        pass
    async with Device.open(tmp_path / f"{user}.db", server="http://127.0.0.1:9", registry=REGISTRY) as device:
        await device.create(finding("没有网络"))
        with pytest.raises(Offline):
            await device.sync()
    async with Device.open(tmp_path / f"{user}.db", server=server.url, registry=REGISTRY) as device:
        assert (await device.sync()).pushed == 1


async def test_the_server_signs_for_what_was_sent(server: HttpServer, tmp_path: Path) -> None:
    """A sync brings a receipt that the device could check, built on the one before; asked again it is newer."""
    user = await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, user) as device:
        for held in (1, 2):
            server.now_ms += 3_600_000
            await device.create(finding("问题"))
            await device.sync()
            assert device.last_receipt is not None
            assert (device.last_receipt.held, device.last_receipt.user) == (held, user)
        server.now_ms += 1_000
        assert (await device.receipt()).issued_ms == server.now_ms


async def test_a_damaged_copy_is_repaired(server: HttpServer, tmp_path: Path) -> None:
    """Rows lost and changed behind the SDK's back are found by digests, and only they are fetched."""
    user = await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, user) as device:
        async with device.batch() as batch:
            for n in range(30):
                batch.create(finding(f"问题{n}"))
        await device.sync()
        whole = await device.find(Finding)
    with sqlite3.connect(tmp_path / f"{user}.db") as db:
        db.execute("DELETE FROM records WHERE rowid = 3")
        db.execute("UPDATE records SET version = 1 WHERE rowid = 7")
    db.close()
    async with device_of(server, tmp_path, user) as device:
        report = await device.verify()
        assert (report.fetched, report.forgotten) == (2, 0)
        assert await device.find(Finding) == whole


async def test_history_and_undo_over_http(server: HttpServer, tmp_path: Path) -> None:
    """The history of a record comes typed, and a change in it is taken back by a new one."""
    user = await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, user) as device:
        made = await device.create(finding("原来"))
        await device.update(made, text="改错了")
        await device.sync()
        first, second = await device.history(made)
        assert (first.user, second.fields[0].before, second.fields[0].operand) == (user, "原来", "改错了")
        await device.undo(second)
        assert (await device.sync()).verdicts == {"applied": 1}
        found = await device.get(Finding, made.id)
        assert found is not None
        assert found.text == "原来"


async def test_a_revoked_device_hands_in_its_work_and_wipes_itself(server: HttpServer, tmp_path: Path) -> None:
    """After the revocation the last work is taken, then nothing is left on the device."""
    user = await user_of(server, INSPECTOR)
    async with device_of(server, tmp_path, user) as device:
        await device.create(finding("已发送"))
        await device.sync()
        await device.create(finding("未发送"))
        revoked = device.id
        await asyncio.to_thread(server.administer, lambda accounts: accounts.devices.revoke(revoked))
        with pytest.raises(Wiped):
            await device.sync()
        assert (await device.find(Finding), device.user) == ([], None)
