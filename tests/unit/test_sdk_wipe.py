"""A revoked device sends what it has, then forgets everything."""

import asyncio
from pathlib import Path

import httpx
import pytest

from client_sdk.device import Device
from client_sdk.errors import NotAllowed, Offline, SignInNeeded, Wiped
from client_sdk.reports import Status, SyncState
from field_schemas.types.finding import Finding
from sync.messages import Outcome
from tests.fake_server import FakeServer, lost
from tests.phones import bytes_of, city, finding, opened, phone

SECRET = "只有这部手机知道的内容"


@pytest.fixture
def server() -> FakeServer:
    return city()


async def traces(device: Device) -> list[bytes]:
    """What must not be found on the disk of a wiped device."""
    account = device._parts.sessions.account
    assert account is not None
    identity = device._parts.sessions.identity
    return [SECRET.encode(), identity.private_key, account.refresh_token.encode(), account.access_token.encode()]


async def test_a_revoked_device_sends_everything_then_wipes_itself(tmp_path: Path, server: FakeServer) -> None:
    """Its work is quarantined on the server; records, tokens and key leave no byte behind; observers are told."""
    seen: list[Status] = []
    folder = tmp_path / "phone"
    folder.mkdir()
    async with phone(folder, server, "li") as li:
        await li.create(finding(SECRET))
        await li.sync()
        made = await li.create(finding(SECRET + "二"))
        old = li.id
        hidden = await traces(li)
        assert all(one in bytes_of(folder) for one in hidden)
        (folder / "li.db.damaged-1").write_bytes(SECRET.encode())
        server.accounts.revoked.add(li.id)
        li.observe(seen.append)
        with pytest.raises(Wiped):
            await li.sync()
        (quarantined,) = [one for one in server.state.log.values() if one.record == made.id]
        assert (quarantined.outcome, quarantined.code) == (Outcome.REFUSED, "device_quarantined")
        assert [one for one in hidden if one in bytes_of(folder)] == []
        assert [one.state for one in seen] == [SyncState.SYNCING, SyncState.WIPED]
        assert (await li.find(Finding), await li.verdicts(), li.user, li.grants) == ([], [], None, ())
        assert li.id != old
        assert li.last_receipt is None
        with pytest.raises(SignInNeeded):
            await li.sync()
        with pytest.raises(NotAllowed):
            await li.create(finding())
    async with opened(folder / "li.db", server) as li:
        assert li.rescue is None
        assert (await li.find(Finding), li.user) == ([], None)


async def test_unsent_work_is_never_wiped(tmp_path: Path, server: FakeServer) -> None:
    """Work that could not be sent, or is made while the revocation is being told, stays until it is sent."""
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        server.accounts.revoked.add(li.id)
        await li.create(finding("一"))
        server.faults.append(lost)
        with pytest.raises(Offline):
            await li.sync()
        assert len(await li.pending()) == 1

        async def write(_request: httpx.Request) -> None:
            await li.create(finding("二"))

        server.faults.extend([None, write])
        with pytest.raises(Wiped):
            await li.sync()
        texts = {one.fields for one in server.state.log.values() if one.code == "device_quarantined"}
        assert len(texts) == 2


async def test_what_a_restored_server_lacks_is_sent_before_the_wipe(tmp_path: Path, server: FakeServer) -> None:
    """A revoked device with nothing to send asks once more what the server holds, and sends what a restore lost."""
    async with phone(tmp_path, server, "li") as li:
        backup = server.state
        made = await li.create(finding("恢复前"))
        await li.sync()
        await server.restore(backup)
        server.accounts.revoked.add(li.id)
        with pytest.raises(Wiped):
            await li.sync()
    (quarantined,) = [one for one in server.state.log.values() if one.record == made.id]
    assert quarantined.code == "device_quarantined"


async def test_unsent_work_of_a_session_that_is_over(tmp_path: Path, server: FakeServer) -> None:
    """Who signed out with work unsent, and whose device was revoked since, signs in to hand it in."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding("未上传"))
        await li.sign_out()
        server.accounts.revoked.add(li.id)
        with pytest.raises(SignInNeeded):
            await li.sync()
        await li.sign_in("li", "secret")
        with pytest.raises(Wiped):
            await li.sync()
    (quarantined,) = [one for one in server.state.log.values() if one.record == made.id]
    assert quarantined.code == "device_quarantined"


async def test_background_sync_ends_with_the_wipe(tmp_path: Path, server: FakeServer) -> None:
    """After a wipe nothing is asked of the server any more, and the status stays."""
    wiped = asyncio.Event()
    async with phone(tmp_path, server, "li") as li:
        server.accounts.revoked.add(li.id)
        li.observe(lambda status: wiped.set() if status.state is SyncState.WIPED else None)
        async with li.background(interval_s=1):
            await asyncio.wait_for(wiped.wait(), 10)
            for _ in range(20):
                await asyncio.sleep(0)
            assert li.status.state is SyncState.WIPED
