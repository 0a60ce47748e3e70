"""Photos of a device whose server was set back to a backup: asked for by digest, so that none is lost unnoticed."""

from pathlib import Path

import pytest

from client_sdk import Device, MediaState
from tests.fake_server import FakeServer
from tests.phones import city, finding, opened, phone
from tests.unit.media import digest_of, kept, photo, put


@pytest.fixture
def server() -> FakeServer:
    """A small city."""
    return city()


async def attach(li: Device, folder: Path, name: str, content: bytes) -> None:
    """A finding with a photo."""
    await li.attach(await li.create(finding()), put(folder, name, content))


async def send_before_a_restore(li: Device, server: FakeServer, folder: Path) -> None:
    """A photo is sent and freed; then the server is set back to a backup that knows nothing of it."""
    await li.sync()
    backup = server.state
    await attach(li, folder, "a.jpg", photo(1))
    await li.sync()
    await server.restore(backup)
    server.uploads.open.clear()


async def test_what_was_held_is_asked_for(tmp_path: Path, server: FakeServer) -> None:
    """After a restore the device asks by digest for each photo it has freed; what is held still is not sent again."""
    async with phone(tmp_path, server, "li") as li:
        await send_before_a_restore(li, server, tmp_path)
        server.requests.clear()
        await li.sync()
        assert server.requests.count("POST /v1/uploads") == 1
        assert [item.state for item in await li.media()] == [MediaState.HELD]
        server.requests.clear()
        await li.sync()
        assert server.requests.count("POST /v1/uploads") == 0
    assert sum(server.uploads.chunks) == 1_000
    assert kept(tmp_path) == set()


async def test_what_the_server_has_lost_is_told(tmp_path: Path, server: FakeServer) -> None:
    """A photo that neither the server nor the device has any more is told as lost; attached again it goes."""
    async with phone(tmp_path, server, "li") as li:
        await send_before_a_restore(li, server, tmp_path)
        server.uploads.blobs.clear()
        await li.sync()
        (item,) = await li.media()
        assert item.state is MediaState.REFUSED
        assert item.reason is not None
        assert item.reason.en == "The server has lost the file, and the copy here was freed"
        await li.resume_media()
        await li.sync()
        assert [one.reason for one in await li.media()] == [item.reason]
        await attach(li, tmp_path, "a.jpg", photo(1))
        await li.sync()
        assert {item.state for item in await li.media()} == {MediaState.HELD}
    assert server.uploads.blobs == {digest_of(photo(1)): photo(1)}


async def test_asked_for_after_a_restart(tmp_path: Path, server: FakeServer) -> None:
    """A device that learned of the restore and was ended before it could ask does so when it is opened again."""
    async with phone(tmp_path, server, "li") as li:
        await send_before_a_restore(li, server, tmp_path)
        await li.pause_media()
        await li.sync()
    async with opened(tmp_path / "li.db", server) as li:
        await li.resume_media()
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.HELD]


async def test_what_is_on_its_way_goes_on(tmp_path: Path, server: FakeServer) -> None:
    """A photo that was half sent when the server was set back is sent anew."""
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        backup = server.state
        await attach(li, tmp_path, "a.jpg", photo(1, 400_000))
        server.uploads.faults.extend(["cut 100000", "503 overloaded 1"])
        await li.sync()
        await server.restore(backup)
        server.uploads.open.clear()
        server.time.ms += 60_000
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.HELD]
    assert server.uploads.blobs == {digest_of(photo(1, 400_000)): photo(1, 400_000)}


async def test_a_store_that_is_away_has_lost_nothing(tmp_path: Path, server: FakeServer) -> None:
    """Where the server cannot tell whether it has a freed photo, the device asks again later, and says nothing of a
    loss; one that it still has a copy of is sent all the same."""
    async with phone(tmp_path, server, "li") as li:
        await send_before_a_restore(li, server, tmp_path)
        server.uploads.away = True
        await attach(li, tmp_path, "b.jpg", photo(2))
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.UPLOADING, MediaState.HELD]
        server.uploads.away = False
        server.time.ms += 60_000
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.HELD] * 2
