"""What the machine refuses reaches the app as an error of the SDK, and costs nothing that was stored before."""

import errno
import os
from pathlib import Path

import pytest

from client_sdk.device import Device
from client_sdk.errors import StorageFull, StoreUnusable
from client_sdk.store.thread import Tables
from field_schemas.types.finding import Finding
from tests.fake_server import FakeServer
from tests.phones import city, finding, opened, phone
from tests.photos import Shot, photo


@pytest.fixture
def server() -> FakeServer:
    """A city."""
    return city()


def limit(tables: Tables, more_pages: int) -> None:
    """Let the store's file grow by so many pages and no further: SQLite then answers as on a full disk."""
    (pages,) = tables.db.execute("PRAGMA page_count").fetchone()
    tables.db.execute(f"PRAGMA max_page_count = {pages + more_pages}").fetchall()


async def fill(device: Device) -> int:
    """Create findings until one is StorageFull; how many were stored."""
    for made in range(10_000):
        try:
            await device.create(finding(os.urandom(3_000).hex()))
        except StorageFull:
            return made
    raise AssertionError("there is room for everything")


async def test_a_full_disk_stores_nothing_of_a_call_and_all_before_it(tmp_path: Path, server: FakeServer) -> None:
    """Writes fail as StorageFull; what was stored is still read, and all of it is sent when there is room again."""
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        await li._parts.store.run(limit, 20)
        made = await fill(li)
        assert len(await li.find(Finding)) == len(await li.pending()) == made > 0
        await li._parts.store.run(limit, 2_000)
        assert (await li.sync()).pushed == made


async def test_a_photo_without_room_is_not_attached(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo for whose copy there is no room is StorageFull; nothing of it stays behind."""
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(photo(Shot()))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with phone(tmp_path, server, "li") as li:
        found = await li.create(finding())
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            await li.attach(found, picture, field="photos")
        assert await li.media() == []
        assert [*(tmp_path / "li.db.media").iterdir()] == []


@pytest.mark.parametrize("place", ["missing/li.db", "file/li.db", "folder"])
async def test_a_place_for_no_store(tmp_path: Path, server: FakeServer, place: str) -> None:
    """A store in a folder that is not there, or whose place is taken by a folder, is StoreUnusable, with the path."""
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreUnusable, match=place):
        async with opened(tmp_path / place, server):
            pass
