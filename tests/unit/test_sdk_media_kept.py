"""The device's copies of photos: kept until the server holds them, whatever happens, and freed then."""

import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_sdk import Invalid, MediaState, Rejected, UnsentWork, Urgency, Wiped
from client_sdk.store.media_files import folder_of
from field_schemas.types.finding import Note
from tests.fake_server import FakeServer
from tests.phones import GRID, city, finding, opened, phone
from tests.unit.media import digest_of, kept, photo, put


@pytest.fixture
def server() -> FakeServer:
    """A small city."""
    return city()


async def test_held_then_freed(tmp_path: Path, server: FakeServer) -> None:
    """Once the server says that it holds the photo, the device's copy goes; the user's own file stays."""
    content = photo(1)
    file = put(tmp_path, "a.jpg", content)
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), file)
        await li.sync()
        (item,) = await li.media()
        assert item.state is MediaState.HELD
    assert server.uploads.blobs == {digest_of(content): content}
    assert kept(tmp_path) == set()
    assert file.read_bytes() == content


async def test_attached_again_after_it_was_freed(tmp_path: Path, server: FakeServer) -> None:
    """A photo whose copy was freed can be attached to another record."""
    async with phone(tmp_path, server, "li") as li:
        file = put(tmp_path, "a.jpg", photo(1))
        await li.attach(await li.create(finding("1")), file)
        await li.sync()
        await li.attach(await li.create(finding("2")), file)
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.HELD] * 2
    assert sum(server.uploads.chunks) == 1_000
    assert kept(tmp_path) == set()


async def test_named_by_another_record_before_the_first_is_deleted(tmp_path: Path, server: FakeServer) -> None:
    """A photo that a second record names by the same MediaRef is sent, and told of, when the first is deleted."""
    async with phone(tmp_path, server, "li") as li:
        await li.pause_media()
        wrong = await li.create(Note(grid=GRID, text="wrong"))
        attached = await li.attach(wrong, put(tmp_path, "a.jpg", photo(1)))
        right = await li.create(Note(grid=GRID, text="right", media=[attached.ref]))
        await li.delete(wrong)
        await li.resume_media()
        await li.sync()
        assert right.id in [item.record for item in await li.media()]
    assert server.uploads.blobs == {digest_of(photo(1)): photo(1)}


async def test_named_by_somebody_else_before_the_record_is_deleted(tmp_path: Path, server: FakeServer) -> None:
    """A photo that somebody else's record names too is sent although its author deleted their own."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        await li.pause_media()
        mine = await li.create(Note(grid=GRID, text="mine"))
        attached = await li.attach(mine, put(tmp_path, "a.jpg", photo(1)))
        await li.sync()
        await wang.sync()
        await wang.create(Note(grid=GRID, text="see there", media=[attached.ref]))
        await wang.sync()
        await li.sync()
        await li.delete(mine)
        await li.resume_media()
        await li.sync()
    assert server.uploads.blobs == {digest_of(photo(1)): photo(1)}


async def test_another_user_cannot_take_over_unsent_photos(tmp_path: Path, server: FakeServer) -> None:
    """A store whose photos are not sent yet does not pass to another user; afterwards nothing of them is left."""
    async with phone(tmp_path, server, "li") as li:
        await li.pause_media()
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        await li.sync()
        with pytest.raises(UnsentWork):
            await li.sign_in("wang", "secret")
        await li.resume_media()
        await li.sync()
        await li.sign_in("wang", "secret")
        assert await li.media() == []


async def test_another_user_cannot_take_over_refused_photos(tmp_path: Path, server: FakeServer) -> None:
    """A photo that the server refused is on this device alone: the store passes on once its user has given it up."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        server.uploads.refusals.append("413 upload_too_large")
        await li.sync()
        with pytest.raises(UnsentWork):
            await li.sign_in("wang", "secret")
        (item,) = await li.media()
        await li.give_up_media(item)
        assert (await li.media(), kept(tmp_path)) == ([], set())
        await li.sign_in("wang", "secret")


async def test_only_what_was_refused_can_be_given_up(tmp_path: Path, server: FakeServer) -> None:
    """A photo that waits cannot be given up."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        (item,) = await li.media()
        with pytest.raises(Invalid):
            await li.give_up_media(item)
        assert await li.media() == [item]


async def test_revoked_device_hands_in_its_photos(tmp_path: Path, server: FakeServer) -> None:
    """A revoked device sends its photos too, whatever the user wanted, before it wipes itself."""
    async with phone(tmp_path, server, "li") as li:
        await li.pause_media()
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        server.accounts.revoked.add(li.id)
        server.uploads.refusals.append("507 storage_full 60")
        with pytest.raises(Rejected, match="device_revoked"):
            await li.sync()
        server.time.ms += 200_000
        with pytest.raises(Wiped):
            await li.sync()
    assert len(server.uploads.blobs) == 1
    assert kept(tmp_path) == set()


async def test_damaged_copy_is_told(tmp_path: Path, server: FakeServer) -> None:
    """A copy that was cut short behind the SDK's back is told, and holds up nothing else."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        await li.attach(await li.create(finding()), put(tmp_path, "b.jpg", photo(2)))
        (folder_of(tmp_path / "li.db") / digest_of(photo(1)).replace(":", "-")).write_bytes(b"short")
        await li.sync()
        first, second = await li.media()
    assert (first.state, second.state) == (MediaState.REFUSED, MediaState.HELD)
    assert first.reason is not None
    assert first.reason.en == "The file on this device is gone or damaged"


async def test_queue_of_an_older_program(tmp_path: Path, server: FakeServer) -> None:
    """What waited when the program was updated is sent by the new one."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)), evidence=True)
    with closing(sqlite3.connect(tmp_path / "li.db", isolation_level=None)) as db:
        for column in ("failures", "asked_ms", "wait_ms"):
            db.execute(f"ALTER TABLE media DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 2")
    async with opened(tmp_path / "li.db", server) as li:
        (item,) = await li.media()
        assert (item.name, item.urgency) == ("a.jpg", Urgency.EVIDENCE)
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


async def test_files_of_a_damaged_store_are_sent(tmp_path: Path, server: FakeServer) -> None:
    """Photos that wait when the store turns out damaged are found by their files, and sent."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
    path = tmp_path / "li.db"
    damaged = bytearray(path.read_bytes())
    damaged[:100] = bytes(100)
    path.write_bytes(damaged)
    async with opened(path, server) as li:
        assert li.rescue is not None
        (item,) = await li.media()
        assert item.state is MediaState.WAITING
        await li.sign_in("li", "secret")
        await li.sync()
    assert server.uploads.blobs == {digest_of(photo(1)): photo(1)}


FAULTS = ["", "cut 0", "cut 700", "lost", "gone", "409 upload_superseded", "423 upload_busy", "503 overloaded 2"]
REFUSALS = ["", "429 quota_exceeded 60", "507 storage_full 60", "500 internal_error", "413 upload_too_large"]
STEPS = st.one_of(
    st.tuples(st.just("attach"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("sync"), st.lists(st.sampled_from(FAULTS), max_size=6), st.sampled_from(REFUSALS)),
    st.tuples(st.sampled_from(["restart", "pause", "resume", "wait"])),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=14))
async def test_whatever_happens_a_photo_is_here_or_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    """Through cuts, refusals, pauses and restarts in any order, every photo is whole on the device until the server
    holds it, and in the end the server holds them all and the device keeps no copy."""
    folder, server = tmp_path_factory.mktemp("queue"), city()
    attached: dict[str, bytes] = {}
    stack = AsyncExitStack()
    device = await stack.enter_async_context(phone(folder, server, "li"))
    for name, *how in [*steps, ("resume",), ("wait",)]:
        if name == "attach":
            content = photo(how[0], 1_500)
            attached[digest_of(content)] = content
            made = await device.create(finding())
            await device.attach(made, put(folder, f"{how[0]}.jpg", content), evidence=how[1])
        elif name == "sync":
            server.uploads.faults.extend(how[0])
            server.uploads.refusals.append(how[1])
            await device.sync()
            server.uploads.faults.clear()
            server.uploads.refusals.clear()
        elif name == "restart":
            await stack.aclose()
            device = await stack.enter_async_context(opened(folder / "li.db", server))
        elif name == "wait":
            server.time.ms += 3_600_000
        else:
            await (device.pause_media() if name == "pause" else device.resume_media())
        here = kept(folder)
        for digest, content in attached.items():
            copy = folder_of(folder / "li.db") / digest.replace(":", "-")
            assert server.uploads.blobs.get(digest) == content or copy.read_bytes() == content
        assert here <= {digest.replace(":", "-") for digest in attached}
    await device.sync()
    assert {item.state for item in await device.media()} <= {MediaState.HELD}
    await stack.aclose()
    assert server.uploads.blobs == attached
    assert kept(folder) == set()
