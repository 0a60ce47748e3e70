"""A session ends, or another user takes the phone over, while the first one's requests are under way."""

import asyncio
import hashlib
import threading
from pathlib import Path

import httpx
import pytest

from client_sdk.device import Device
from client_sdk.errors import NotAllowed, Offline, SignInNeeded
from client_sdk.histories import HistoryItem
from client_sdk.store.media_files import folder_of
from client_sdk.wire import MediaLink
from field_schemas.access import Grant, Role
from field_schemas.media import MediaRef
from field_schemas.types.finding import Finding
from tests.fake_server import FakeServer
from tests.phones import NEXT_STREET, bytes_of, city, finding, phone
from tests.unit.media import photo, put

TOKEN_MS = 900_000


@pytest.fixture
def server() -> FakeServer:
    """A city in which zhao works in the next street."""
    made = city()
    made.add_user("zhao", Grant(NEXT_STREET, Role.INSPECTOR))
    return made


class Held:
    """An answer that comes late: when `go` is set. `arrived`: its request is with the server."""

    def __init__(self) -> None:
        self.arrived, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, _request: httpx.Request) -> None:
        self.arrived.set()
        await self.go.wait()


async def renewing(device: Device, server: FakeServer) -> tuple[Held, "asyncio.Task[list[HistoryItem]]"]:
    """A look at a history for which the device's token has to be renewed, and the answer that renews it."""
    made = await device.create(finding())
    await device.sync()
    server.time.ms += TOKEN_MS
    held = Held()
    server.after.append(held)
    looking = asyncio.create_task(device.history(made))
    await held.arrived.wait()
    return held, looking


async def test_taken_over_amid_a_sync(tmp_path: Path, server: FakeServer) -> None:
    """A sync under way ends where another user signs in, who sees nothing of what it would have brought."""
    async with phone(tmp_path, server, "wang") as wang:
        await wang.create(finding("旁人看不到"))
        await wang.sync()
    async with phone(tmp_path, server, "li") as li:
        held = Held()
        server.after.append(held)
        syncing = asyncio.create_task(li.sync())
        await held.arrived.wait()
        await li.sign_in("zhao", "secret")
        held.go.set()
        with pytest.raises(SignInNeeded):
            await syncing
        assert (li.user, await li.find(Finding)) == ("zhao", [])
        await li.sync()
        assert await li.find(Finding) == []


async def test_nothing_of_the_first_user_is_left_on_the_disk(tmp_path: Path, server: FakeServer) -> None:
    """What the first user read and wrote is not to be found in the store's files by who has the phone then."""
    secret = "只给前一个人看的内容"
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding(secret))
        await li.sync()
        assert secret.encode() in bytes_of(tmp_path)
        await li.sign_in("zhao", "secret")
        assert secret.encode() not in bytes_of(tmp_path)


async def test_taken_over_while_a_token_is_renewed(tmp_path: Path, server: FakeServer) -> None:
    """Tokens that come when the phone is another user's are nobody's: the new one is who they said they are."""
    async with phone(tmp_path, server, "li") as li:
        held, looking = await renewing(li, server)
        await li.sign_in("zhao", "secret")
        held.go.set()
        with pytest.raises(SignInNeeded):
            await looking
        assert [one.scope for one in li.grants] == [NEXT_STREET]
        await li.create(finding("本街道", grid="440304002001001"))
        report = await li.sync()
        assert report.verdicts == {"applied": 1}


async def test_signed_out_while_a_token_is_renewed(tmp_path: Path, server: FakeServer) -> None:
    """Who has signed out is not signed in again by an answer that comes late."""
    async with phone(tmp_path, server, "li") as li:
        held, looking = await renewing(li, server)
        await li._parts.sessions.end()
        held.go.set()
        with pytest.raises(SignInNeeded):
            await looking
        with pytest.raises(SignInNeeded):
            await li.sync()


async def test_signing_out_does_not_wait_for_a_sync(tmp_path: Path, server: FakeServer) -> None:
    """A sync that the network holds up does not hold up who wants to leave, and no other begins in between."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
        held = Held()
        server.faults.append(held)
        syncing = [asyncio.create_task(li.sync()), asyncio.create_task(li.sync())]
        await held.arrived.wait()
        await li.sign_out()
        outcomes = await asyncio.gather(*syncing, return_exceptions=True)
        assert [type(one) for one in outcomes] == [SignInNeeded, SignInNeeded]
        assert len(await li.pending()) == 1


async def test_work_that_meets_another_users_sign_in_is_not_theirs(tmp_path: Path, server: FakeServer) -> None:
    """What a user saves in the moment the store passes to another is not stored in the other's name."""
    async with phone(tmp_path, server, "li") as li:
        held, gate = Held(), threading.Event()
        server.faults.append(held)
        taking_over = asyncio.create_task(li.sign_in("zhao", "secret"))
        await held.arrived.wait()
        busy = asyncio.create_task(li._store.run(lambda _tables: gate.wait(10)))
        held.go.set()
        # Until the new session waits for the store.
        for _ in range(50):
            await asyncio.sleep(0)
        saving = asyncio.create_task(li.create(finding("李的")))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(busy, taking_over)
        with pytest.raises(NotAllowed, match="token_missing"):
            await saving
        assert (await busy, li.user, await li.pending()) == (True, "zhao", [])


async def test_two_sign_ins_of_one_user(tmp_path: Path, server: FakeServer) -> None:
    """Who signs in twice at once, on a phone that was another's, has one device and one session."""
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        await asyncio.gather(li.sign_in("zhao", "secret"), li.sign_in("zhao", "secret"))
        assert [device for device, (user, _) in server.accounts.devices.items() if user == "zhao"] == [li.id]


async def test_a_photo_that_is_being_attached_is_not_another_users(tmp_path: Path, server: FakeServer) -> None:
    """What a user began is not stored in the name of who has signed in by the time that the file is read."""
    file = put(tmp_path, "IMG_0001.jpg", photo(1))
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        await li.sync()
        attaching = asyncio.create_task(li.attach(made, file))
        await asyncio.sleep(0)
        await li.sign_in("zhao", "secret")
        # By the moment: the copy it was making has gone, or the store is not the user's any more.
        with pytest.raises((OSError, NotAllowed)):
            await attaching
        assert (await li.pending(), await li.media()) == ([], [])


@pytest.mark.parametrize("whole", [True, False])
async def test_a_photo_that_comes_when_the_phone_is_anothers(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """A photo that the first user asked for is not left on the disk, whether it arrives or breaks off by then."""
    content, arrived, go = b"the first user's photo", asyncio.Event(), asyncio.Event()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"

    async def link(*_asked: object) -> MediaLink:
        return MediaLink(digest, len(content), "image/jpeg", "/photo", 0)

    async def download(_link: MediaLink, target: Path) -> None:
        await asyncio.to_thread(target.write_bytes, content)
        arrived.set()
        await go.wait()
        await asyncio.to_thread(target.write_bytes, content)
        if not whole:
            raise Offline("broken off")

    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        await li.sync()
        monkeypatch.setattr(li._connection, "media_link", link)
        monkeypatch.setattr(li._addresses, "download", download)
        looking = asyncio.create_task(li.media_file(made, MediaRef(digest, len(content), "image/jpeg")))
        await arrived.wait()
        await li.sign_in("zhao", "secret")
        assert content not in bytes_of(folder_of(tmp_path / "li.db"))
        go.set()
        with pytest.raises(SignInNeeded if whole else Offline):
            await looking
        assert content not in bytes_of(folder_of(tmp_path / "li.db"))
