"""Signing in and staying signed in: clocks, tokens, and whose the store is."""

import shutil
from pathlib import Path

import pytest

from client_sdk.errors import Rejected, UnsentWork
from client_sdk.reports import SyncState
from field_schemas.types.finding import Finding
from tests.fake_accounts import TOKEN_MS
from tests.fake_server import FakeServer
from tests.phones import city, finding, opened, phone


@pytest.fixture
def server() -> FakeServer:
    return city()


async def test_a_wrong_clock_is_set_right(tmp_path: Path, server: FakeServer) -> None:
    """A device whose clock is a year off signs in at the second try, and its captures are trusted."""
    async with opened(tmp_path / "li.db", server, clocks=server.time.clocks(wrong_by_ms=-31_536_000_000)) as li:
        await li.sign_in("li", "secret")
        await li.create(finding())
        await li.sync()
        (change,) = [one for one in server.state.log.values() if one.seq]
        assert abs(change.captured_ms - server.time.ms) <= (change.error_ms or 0)
        assert server.requests[:2] == ["POST /v1/sessions", "POST /v1/sessions"]


async def test_tokens_refresh_by_themselves(tmp_path: Path, server: FakeServer) -> None:
    """Hours later the device syncs without asking anybody; one refresh does."""
    async with phone(tmp_path, server, "li") as li:
        server.time.ms += 10 * TOKEN_MS
        await li.sync()
        assert server.requests.count("POST /v1/sessions/refresh") == 1


async def test_an_expired_token_is_refreshed_when_the_server_says_so(tmp_path: Path, server: FakeServer) -> None:
    """A token that ends before the device thinks so is renewed, and the request repeated."""
    async with phone(tmp_path, server, "li") as li:
        server.accounts.sessions[0].expires_ms = server.time.ms
        await li.create(finding())
        assert (await li.sync()).pushed == 1


async def test_a_store_belongs_to_one_user(tmp_path: Path, server: FakeServer) -> None:
    """Another user cannot sign in over unsent work; after a sync they can, and find an empty store."""
    async with opened(tmp_path / "phone.db", server) as device:
        await device.sign_in("li", "secret")
        first = device.id
        await device.create(finding())
        with pytest.raises(UnsentWork):
            await device.sign_in("wang", "secret")
        assert device.user == "li"
        await device.sync()
        await device.sign_in("wang", "secret")
        assert (device.user, await device.find(Finding), await device.verdicts()) == ("wang", [], [])
        assert device.id != first
        await device.create(finding())
        await device.sync()
        assert len(await device.find(Finding)) == 2


async def test_signing_out_keeps_the_work(tmp_path: Path, server: FakeServer) -> None:
    """After signing out nothing can be sent, but local work goes on, and the next sign-in sends it."""
    async with phone(tmp_path, server, "li") as li:
        await li.sign_out()
        await li.create(finding())
        with pytest.raises(Rejected, match="token_missing"):
            await li.sync()
        assert li.status.state is SyncState.FAILED
        await li.sign_in("li", "secret")
        assert (await li.sync()).pushed == 1


async def test_a_copied_store_serves_another_user(tmp_path: Path, server: FakeServer) -> None:
    """Phones set up from one copy of a store share its key; the second user's gets its own at the sign-in."""
    async with opened(tmp_path / "image.db", server):
        pass
    shutil.copy(tmp_path / "image.db", tmp_path / "copy.db")
    async with opened(tmp_path / "image.db", server) as first, opened(tmp_path / "copy.db", server) as second:
        await first.sign_in("li", "secret")
        await second.sign_in("wang", "secret")
        assert first.id != second.id
        await second.create(finding())
        assert (await second.sync()).pushed == 1
