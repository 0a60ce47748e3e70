"""Photos and videos from device to server and back: real HTTP, connections that are cut, devices that are killed."""

import asyncio
import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from client_sdk import Device, MediaState, Offline, Rejected
from client_sdk.store.media import Delivery, file_name
from client_sdk.store.media_files import folder_of, is_whole
from client_sdk.store.opening import open_store
from field_schemas.access import Role
from field_schemas.places import Position
from field_schemas.types.finding import Finding
from field_schemas.types.media_check import MediaCheck
from media import exif as facts
from media.derivatives import Region
from tests.fake_server import REGISTRY
from tests.fake_time import START_MS
from tests.integration.http_server import GRID, PASSWORD, STREET, HttpServer
from tests.photos import Shot, photo
from tests.proxy import Proxy
from tests.unit.builders import NOW

INSPECTOR = (f"grid:{STREET}", Role.INSPECTOR)
SUPERVISOR = ("grid:440304", Role.SUPERVISOR)
HERE = Position(114.059, 22.541)
LOCAL = datetime.fromtimestamp(NOW / 1000 + 8 * 3_600, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@asynccontextmanager
async def device_of(
    server: HttpServer, folder: Path, *grants: tuple[str, Role], url: str = ""
) -> AsyncIterator[Device]:
    """A new user's device, signed in."""
    user = await asyncio.to_thread(server.new_user, *grants)
    opening = Device.open(folder / f"{user}.db", server=url or server.url, registry=REGISTRY, model="Huawei P60")
    async with opening as device:
        await device.sign_in(user, PASSWORD)
        yield device


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file as the camera leaves it."""
    path = folder / name
    path.write_bytes(content)
    return path


def large(size: int, seed: int = 1) -> bytes:
    """Bytes that begin as a film does."""
    return b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + random.Random(seed).randbytes(size - 24)


def finding(text: str = "盖板破损") -> Finding:
    """A finding where the photos are taken."""
    return Finding(kind="0102", grid=GRID, text=text, place=HERE)


async def until_checked(device: Device) -> None:
    """Stay online until each photo attached here has its verdict."""
    synced = asyncio.Event()
    device.observe(lambda _: synced.set())
    async with device.background(interval_s=1.0):
        while any(item.state is MediaState.HELD for item in await device.media()):
            synced.clear()
            await synced.wait()


async def test_from_upload_to_verdict(server: HttpServer, tmp_path: Path) -> None:
    """An honest photo comes back verified to its author and the supervisor, one without EXIF unverified, with why."""
    async with (
        device_of(server, tmp_path, INSPECTOR) as li,
        device_of(server, tmp_path, SUPERVISOR) as chen,
    ):
        made = await li.create(finding())
        honest = Shot(seed=random.randrange(10**9), taken=LOCAL, saved=LOCAL)
        first = await li.attach(made, put(tmp_path, "a.jpg", photo(honest)))
        bare = Shot(seed=random.randrange(10**9), exif=False)
        second = await li.attach(first.record, put(tmp_path, "b.jpg", photo(bare)))
        assert (first.warnings, [one.code for one in second.warnings]) == ((), ["metadata_missing"])
        await li.sync()
        await until_checked(li)
        good, unproven = await li.media()
        assert (good.state, unproven.state) == (MediaState.VERIFIED, MediaState.UNVERIFIED)
        assert "metadata_missing" in [one.code for one in unproven.findings]
        await chen.sync()
        seen = {check.media: check.verdict for check in await chen.find(MediaCheck) if check.record == made.id}
        assert seen == {first.ref.digest: "verified", second.ref.digest: "unverified"}


@pytest.fixture
def sm3_server(database_url: str, tmp_path: Path) -> Iterator[HttpServer]:
    """A server of the test's own that names media by SM3."""
    with HttpServer(tmp_path / "data", database_url, media_digest="sm3") as running:
        yield running


async def test_by_sm3(sm3_server: HttpServer, tmp_path: Path) -> None:
    """Where the server keeps media by SM3, phones learn that when they sign in: a photo attached offline is named by
    it, sent, checked, looked at by others, and known again when it is sent once more."""
    content = photo(Shot(seed=8))
    async with (
        device_of(sm3_server, tmp_path, INSPECTOR) as li,
        device_of(sm3_server, tmp_path, SUPERVISOR) as chen,
    ):
        attached = await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", content))
        assert attached.ref.digest == f"sm3:{hashlib.new('sm3', content).hexdigest()}"
        await li.sync()
        await until_checked(li)
        assert (await li.media())[0].state in (MediaState.UNVERIFIED, MediaState.SUSPECT, MediaState.VERIFIED)
        await chen.sync()
        seen = await chen.get(Finding, attached.record.id)
        assert seen is not None
        assert (await chen.media_file(seen, attached.ref)).read_bytes() == content
    assert not any(file.is_file() for file in folder_of(tmp_path / "user1.db").glob("*"))


@pytest.mark.parametrize(("metres", "warned"), [(50, True), (10_000, False)])
async def test_warned_by_the_thresholds_of_the_server(
    sqlite_url: str, tmp_path: Path, metres: int, warned: bool
) -> None:
    """Phones learn when they sign in within which distance the server takes a photo for one of the place."""
    far = put(tmp_path, "a.jpg", photo(Shot(seed=9, position=(22.6, 114.059))))
    with HttpServer(tmp_path / "data", sqlite_url, photo_place_gap_m=metres) as running:
        async with device_of(running, tmp_path, INSPECTOR) as li:
            attached = await li.attach(await li.create(finding()), far)
    assert ("place_differs" in [warning.code for warning in attached.warnings]) is warned


async def test_others_look_at_it(server: HttpServer, tmp_path: Path) -> None:
    """Who may read the record gets the very bytes, and keeps a copy to look at offline; an outsider gets nothing."""
    content = photo(Shot(seed=5))
    async with (
        device_of(server, tmp_path, INSPECTOR) as li,
        device_of(server, tmp_path, SUPERVISOR) as chen,
        device_of(server, tmp_path, ("grid:440305", Role.SUPERVISOR)) as outsider,
    ):
        attached = await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", content))
        await li.sync()
        await chen.sync()
        seen = await chen.get(Finding, attached.record.id)
        assert seen is not None
        assert (await chen.media_file(seen, seen.media[0])).read_bytes() == content
        copy = folder_of(tmp_path / f"{chen.user}.db") / file_name(attached.ref.digest)
        assert copy.exists()
        with pytest.raises(Rejected, match="media_unknown"):
            await outsider.media_file(seen, attached.ref)


async def test_small_pictures_and_public_ones(server: HttpServer, tmp_path: Path) -> None:
    """A reader gets a photo in small; a supervisor gets one for the public, without metadata, and others do not."""
    content = photo(Shot(seed=6, size=(900, 600)))
    async with (
        device_of(server, tmp_path, INSPECTOR) as li,
        device_of(server, tmp_path, SUPERVISOR) as chen,
    ):
        attached = await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", content))
        await li.sync()
        await chen.sync()
        small = await chen.media_file(attached.record, attached.ref, "thumbnail")
        public = await chen.public_picture(attached.record, attached.ref, Region(0.4, 0.4, 0.2, 0.2))
        assert [facts.read(one).has_exif for one in (small, public)] == [False, False]
        assert small.stat().st_size < public.stat().st_size
        with pytest.raises(Rejected, match="role_denied"):
            await li.public_picture(attached.record, attached.ref)


async def test_through_a_connection_cut_again_and_again(server: HttpServer, tmp_path: Path) -> None:
    """A film comes through a connection that is cut every few hundred kilobytes, each byte about once."""
    content = large(6_000_000)
    cuts: list[int] = []
    async with (
        Proxy(urlsplit(server.url).port or 0, cuts) as proxy,
        device_of(server, tmp_path, INSPECTOR, url=proxy.url) as li,
    ):
        made = await li.create(finding())
        await li.sync()
        attached = await li.attach(made, put(tmp_path, "walk.mp4", content))
        held = asyncio.Event()
        li.observe_media(lambda item: held.set() if item.state is MediaState.HELD else None)
        cuts.extend([700_000] * 9)
        async with li.background(interval_s=0.2):
            await held.wait()
        assert len(cuts) < 9
        assert (await li.media_file(attached.record, attached.ref)).read_bytes() == content


async def test_days_offline(server: HttpServer, tmp_path: Path) -> None:
    """What was attached over days without network, through restarts, arrives whole when there is one again."""
    user = await asyncio.to_thread(server.new_user, INSPECTOR)
    path = tmp_path / "phone.db"
    async with Device.open(path, server=server.url, registry=REGISTRY) as li:
        await li.sign_in(user, PASSWORD)
    for day in range(4):
        async with Device.open(path, server="http://127.0.0.1:9", registry=REGISTRY) as li:
            await li.attach(await li.create(finding(str(day))), put(tmp_path, "a.jpg", photo(Shot(seed=100 + day))))
            with pytest.raises(Offline):
                await li.sync()
    async with Device.open(path, server=server.url, registry=REGISTRY) as li:
        await li.sync()
        assert [item.sent == item.size for item in await li.media()] == [True] * 4
    assert list(folder_of(path).iterdir()) == []


async def test_one_photo_from_two_devices(server: HttpServer, tmp_path: Path) -> None:
    """A photo that a colleague of the same street has sent already is not sent a second time."""
    file = put(tmp_path, "a.jpg", photo(Shot(seed=77)))
    async with (
        device_of(server, tmp_path, INSPECTOR) as li,
        device_of(server, tmp_path, INSPECTOR) as wang,
    ):
        first = await li.attach(await li.create(finding()), file)
        await li.sync()
        await wang.sync()
        heard: list[int] = []
        wang.observe_media(lambda item: heard.append(item.percent))
        seen = await wang.get(Finding, first.record.id)
        assert seen is not None
        await wang.attach(await wang.create(finding()), file)
        await wang.sync()
        assert (await wang.media())[0].state is MediaState.HELD
        # It was whole with its creation: no chunk was sent.
        assert heard == [100, 100]


# Attaches and sends until it is killed, a line for each attachment that was confirmed.
CARRIER = """
import asyncio, sys
from pathlib import Path
from tests.phones import city, finding, opened
from tests.unit.media import photo, put

async def main():
    path, start = Path(sys.argv[1]), int(sys.argv[2])
    server = city()
    async with opened(path, server) as device:
        await device.sign_in("li", "secret")
        for n in range(start, start + 10_000):
            content = photo(n, 60_000)
            made = await device.create(finding(f"{n}"))
            attached = await device.attach(made, put(path.parent, f"{n}.jpg", content))
            print(attached.ref.digest, flush=True)
            if n % 2:
                await device.sync()

asyncio.run(main())
"""


def killed_carrier(path: Path, start: int, after_s: float) -> list[str]:
    """Let a device attach and send, and kill it so long after its first photo; the digests it confirmed."""
    command = [sys.executable, "-c", CARRIER, str(path), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as carrier:
        assert carrier.stdout is not None
        lines = [carrier.stdout.readline()]
        time.sleep(after_s)  # how far it gets is the point
        carrier.send_signal(signal.SIGKILL)
        lines += carrier.stdout.readlines()
    return [line.strip() for line in lines if len(line) == 72]


def test_killed_at_any_instant(tmp_path: Path) -> None:
    """After each of several kills every photo once attached is held by the server or whole on the device."""
    rng = random.Random(2)
    path = tmp_path / "phone.db"
    confirmed: list[str] = []
    held: set[str] = set()
    for round_ in range(5):
        confirmed += killed_carrier(path, round_ * 10_000, rng.uniform(0, 0.4))
        tables, rescue = open_store(path, REGISTRY, START_MS, rng.randbytes)
        assert rescue is None
        queue = {item.digest: item for item in tables.media.all()}
        tables.db.close()
        for digest in confirmed:
            if queue[digest].state is Delivery.HELD:
                held.add(digest)
            # Each round's server is another one: of it the phone asks whether it holds what an earlier one held.
            assert digest in held or is_whole(folder_of(path) / file_name(digest), digest)
    assert len(confirmed) > 5
    assert held
