"""The queue of photos and videos on a device: attached offline, sent in order, kept until the server holds them."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client_sdk import Device, Invalid, MediaState, Rejected, UnsentWork, Urgency, Wiped
from client_sdk.media.pace import LARGEST, SMALLEST, Pace
from client_sdk.store.media_files import folder_of
from field_schemas.types.finding import Finding, Note
from field_schemas.types.patrol import ChecklistAnswer, PatrolTask
from tests.fake_server import REGISTRY, FakeServer
from tests.films import film
from tests.phones import GRID, URL, city, finding, opened, phone
from tests.photos import Shot
from tests.photos import photo as real_photo


@pytest.fixture
def server() -> FakeServer:
    """A small city."""
    return city()


def photo(seed: int, size: int = 1_000) -> bytes:
    """Bytes that begin as a JPEG does, other ones for each seed."""
    return b"\xff\xd8\xff\xe0" + random.Random(seed).randbytes(size - 4)


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file as the camera leaves it."""
    path = folder / name
    path.write_bytes(content)
    return path


def digest_of(content: bytes) -> str:
    """As records name it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def kept(folder: Path, user: str = "li") -> set[str]:
    """The files the device keeps."""
    media = folder_of(folder / f"{user}.db")
    return {file.name for file in media.iterdir()} if media.exists() else set()


@asynccontextmanager
async def on_network(folder: Path, server: FakeServer, *, wifi: bool) -> AsyncIterator[Device]:
    """The phone of li, on Wi-Fi or not."""
    opening = Device.open(
        folder / "li.db", server=URL, registry=REGISTRY, transport=server.transport,
        clocks=server.time.clocks(), on_wifi=lambda: wifi,
    )  # fmt: skip
    async with opening as device:
        yield device


async def test_attached_offline_named_at_once(tmp_path: Path, server: FakeServer) -> None:
    """A photo attached without network is in the record by its digest, and a copy of it is kept."""
    content = photo(1)
    async with phone(tmp_path, server, "li") as li:
        server.requests.clear()
        made = await li.create(finding())
        attached = await li.attach(made, put(tmp_path, "IMG_0412.jpg", content))
        assert server.requests == []
        assert attached.record.media == [attached.ref]
        assert (attached.ref.digest, attached.ref.size, attached.ref.media_type, attached.ref.name) == (
            digest_of(content), 1_000, "image/jpeg", "IMG_0412.jpg",
        )  # fmt: skip
        (item,) = await li.media()
        assert (item.state, item.record, item.sent) == (MediaState.WAITING, made.id, 0)
    assert kept(tmp_path) == {digest_of(content).replace(":", "-")}


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


async def test_evidence_then_photos_then_video(tmp_path: Path, server: FakeServer) -> None:
    """What is sent first is evidence, then photos, then video, each in the order of attaching."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        await li.attach(made, put(tmp_path, "walk.mp4", film() + bytes(300_000)))
        await li.attach(made, put(tmp_path, "1.jpg", photo(1)))
        await li.attach(made, put(tmp_path, "2.jpg", photo(2)))
        await li.attach(made, put(tmp_path, "proof.mp4", film(seconds=9)), evidence=True)
        await li.sync()
    assert server.uploads.order == ["proof.mp4", "1.jpg", "2.jpg", "walk.mp4"]


async def test_records_before_media(tmp_path: Path, server: FakeServer) -> None:
    """A record is pushed before the first byte of its photo travels."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        server.requests.clear()
        await li.sync()
    assert server.requests.index("POST /v1/push") < server.requests.index("POST /v1/uploads")


async def test_a_sync_goes_between_two_chunks(tmp_path: Path, server: FakeServer) -> None:
    """While a film is on its way, a record made meanwhile is pushed before the next chunk."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        await li.attach(made, put(tmp_path, "walk.mp4", film() + bytes(3_000_000)))
        meanwhile: list[asyncio.Task[object]] = []

        async def report() -> None:
            await li.create(finding("刚看到"))
            await li.sync()

        li.observe_media(lambda item: None if meanwhile else meanwhile.append(asyncio.create_task(report())))
        await li.sync()
        await asyncio.gather(*meanwhile)
    pushes = [number for number, request in enumerate(server.requests) if request == "POST /v1/push"]
    last_chunk = max(number for number, request in enumerate(server.requests) if request.startswith("PATCH"))
    assert pushes[-1] < last_chunk
    assert server.uploads.order == ["walk.mp4"]


async def test_more_urgent_goes_between(tmp_path: Path, server: FakeServer) -> None:
    """Evidence attached while a video is on its way does not wait for the video's end."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        await li.attach(made, put(tmp_path, "walk.mp4", film() + bytes(3_000_000)))
        server.uploads.faults.extend(["", "cut 200000", "", "503 overloaded 5"])
        await li.sync()
        (item,) = await li.media()
        assert item.state is MediaState.UPLOADING
        assert item.words().en == f"uploading {item.percent} %"
        await li.attach(made, put(tmp_path, "proof.jpg", photo(2)), evidence=True)
        await li.sync()
    assert server.uploads.order == ["proof.jpg", "walk.mp4"]


async def test_kept_bytes_are_not_sent_again(tmp_path: Path, server: FakeServer) -> None:
    """After a cut, and after a restart of the device, sending goes on from what the server holds."""
    content = photo(1, 400_000)
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", content))
        server.uploads.faults.extend(["cut 100000", "503 overloaded 1"])
        await li.sync()
    async with opened(tmp_path / "li.db", server) as li:
        await li.sync()
    assert sum(server.uploads.chunks) == 300_000
    assert server.uploads.blobs == {digest_of(content): content}


async def test_expired_upload_starts_anew(tmp_path: Path, server: FakeServer) -> None:
    """An upload that the server has given up is begun again by itself."""
    content = photo(1, 400_000)
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", content))
        server.uploads.faults.extend(["", "gone"])
        await li.sync()
    assert server.uploads.blobs == {digest_of(content): content}


async def test_resuming_does_not_wait_for_earlier_trouble(tmp_path: Path, server: FakeServer) -> None:
    """After trouble upon trouble, resuming begins an upload that is gone anew at once."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        server.uploads.faults.extend(["409 upload_superseded", "gone", "409 upload_superseded"])
        await li.sync()
        assert (await li.media())[0].state is MediaState.WAITING
        await li.resume_media()
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


async def test_quota_is_told_and_waited_for(tmp_path: Path, server: FakeServer) -> None:
    """A full quota is told in the user's words, not asked again before its time, and then the photo goes."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        server.uploads.refusals.append("429 quota_exceeded 3600")
        await li.sync()
        await li.sync()
        (item,) = await li.media()
        assert item.state is MediaState.WAITING
        assert item.reason is not None
        assert item.reason.zh == "今日上传量已用完"
        assert server.requests.count("POST /v1/uploads") == 1
        server.time.ms += 7_300_000
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


async def test_too_large_is_kept_and_told(tmp_path: Path, server: FakeServer) -> None:
    """What the server will not take stays on the device, with the reason, until it is tried again."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        await li.attach(await li.create(finding()), put(tmp_path, "b.jpg", photo(2)))
        server.uploads.refusals.append("413 upload_too_large")
        await li.sync()
        first, second = await li.media()
        assert (first.state, second.state) == (MediaState.REFUSED, MediaState.HELD)
        assert first.reason is not None
        assert first.reason.en == "The file is too large"
        assert kept(tmp_path) == {digest_of(photo(1)).replace(":", "-")}
        await li.resume_media()
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


async def test_paused_across_a_restart(tmp_path: Path, server: FakeServer) -> None:
    """Paused, nothing is sent until it is resumed, whatever happens in between; records go on."""
    async with phone(tmp_path, server, "li") as li:
        await li.pause_media()
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        assert (await li.sync()).pushed == 2
    async with opened(tmp_path / "li.db", server) as li:
        await li.sync()
        assert server.uploads.blobs == {}
        await li.resume_media()
        await li.sync()
    assert len(server.uploads.blobs) == 1


async def test_video_waits_for_wifi(tmp_path: Path, server: FakeServer) -> None:
    """What the user wants over Wi-Fi alone waits for it, also after a restart; the rest goes."""
    async with phone(tmp_path, server, "li") as li:
        await li.wifi_only(Urgency.VIDEO)
        made = await li.create(finding())
        await li.attach(made, put(tmp_path, "walk.mp4", film()))
        await li.attach(made, put(tmp_path, "a.jpg", photo(1)))
    async with on_network(tmp_path, server, wifi=False) as li:
        await li.sync()
    assert server.uploads.order == ["a.jpg"]
    async with on_network(tmp_path, server, wifi=True) as li:
        await li.sync()
    assert server.uploads.order == ["a.jpg", "walk.mp4"]


async def test_progress_of_each_file(tmp_path: Path, server: FakeServer) -> None:
    """Observers hear of each file how far it is, up to held."""
    heard: list[tuple[str, int, MediaState]] = []
    async with phone(tmp_path, server, "li") as li:
        li.observe_media(lambda item: heard.append((item.name, item.percent, item.state)))
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1, 600_000)))
        await li.sync()
    percents = [percent for _, percent, _ in heard]
    assert percents == sorted(percents)
    assert len(set(percents)) > 2
    assert heard[-1] == ("a.jpg", 100, MediaState.HELD)


async def test_same_photo_for_two_records(tmp_path: Path, server: FakeServer) -> None:
    """One photo of two records is sent once, and told of for each."""
    async with phone(tmp_path, server, "li") as li:
        file = put(tmp_path, "a.jpg", photo(1))
        made = [await li.create(finding(str(number))) for number in range(2)]
        for one in made:
            await li.attach(one, file)
        await li.sync()
        assert {item.record for item in await li.media()} == {one.id for one in made}
    assert sum(server.uploads.chunks) == 1_000


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


async def test_photo_of_a_checklist_answer(tmp_path: Path, server: FakeServer) -> None:
    """A photo can go deep into a record: into an answer of a task."""
    chief_task = {"subject": "x", "grid": GRID, "assignee": "li"}
    await server.import_records("patrol_task", [chief_task])
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        (task,) = await li.find(PatrolTask)
        attached = await li.attach(
            task,
            put(tmp_path, "a.jpg", photo(1)),
            entry=lambda ref: ChecklistAnswer("cover", "fault", task_time(), media=[ref]),
        )
        await li.sync()
        assert attached.record.answers[0].media == [attached.ref]
    assert len(server.uploads.blobs) == 1


async def test_record_of_it_refused(tmp_path: Path, server: FakeServer) -> None:
    """A photo of a record that was refused is sent all the same: a supervisor may yet apply it."""
    async with phone(tmp_path, server, "li") as li:
        server.add_user("li")
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        await li.sync()
        assert [one.outcome for one in await li.verdicts()] == ["refused", "refused"]
    assert len(server.uploads.blobs) == 1


async def test_record_of_it_deleted(tmp_path: Path, server: FakeServer) -> None:
    """A photo of a record that its author deleted is not sent any more, once the server has taken the deletion."""
    server.add_user("chen", *server.users["chen"][1])
    async with phone(tmp_path, server, "li") as li:
        await li.pause_media()
        note = await li.create(note_of("x"))
        await li.attach(note, put(tmp_path, "a.jpg", photo(1)))
        await li.delete(note)
        await li.resume_media()
        await li.sync()
        assert await li.media() == []
    assert server.uploads.blobs == {}
    assert kept(tmp_path) == set()


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


async def test_revoked_device_hands_in_its_photos(tmp_path: Path, server: FakeServer) -> None:
    """A revoked device sends its photos too, whatever the user wanted, before it wipes itself."""
    async with phone(tmp_path, server, "li") as li:
        await li.pause_media()
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
        server.revoked.add(li.id)
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


@pytest.mark.parametrize(("content", "code"), [(b"", "media_empty"), (b"%PDF-1.7 and so on", "media_refused")])
async def test_what_is_no_media(tmp_path: Path, server: FakeServer, content: bytes, code: str) -> None:
    """A file of another kind, whatever its name, is refused at once, and nothing is left of it."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        with pytest.raises(Invalid, match=code):
            await li.attach(made, put(tmp_path, "a.jpg", content))
        found = await li.get(Finding, made.id)
        assert found is not None
        assert found.media == []
    assert kept(tmp_path) == set()


async def test_nothing_is_left_of_an_attach_that_is_not_allowed(tmp_path: Path, server: FakeServer) -> None:
    """Where the record may not be written, the file is not kept."""
    await server.import_records("patrol_task", [{"subject": "x", "grid": GRID}])
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        (task,) = await li.find(PatrolTask)
        with pytest.raises(Invalid):
            await li.attach(task, put(tmp_path, "a.jpg", photo(1)))
    assert kept(tmp_path) == set()


async def test_warned_before_walking_away(tmp_path: Path, server: FakeServer) -> None:
    """A photo without position is told at once, in both languages."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        attached = await li.attach(made, put(tmp_path, "a.jpg", real_photo(Shot(position=None))))
        words = [warning.words() for warning in attached.warnings]
    assert ("照片没有位置", "No position in this photo") in [(one.zh, one.en) for one in words]


async def test_films_are_warned_of_too(tmp_path: Path, server: FakeServer) -> None:
    """A film that says neither when nor where it was made is told, one that does is not."""
    made_at = datetime.fromtimestamp(server.time.ms / 1000, UTC)
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        bare = await li.attach(made, put(tmp_path, "a.mp4", film()))
        good = await li.attach(made, put(tmp_path, "b.mp4", film(made_at, "+22.5400+114.0500/")))
    assert {warning.code for warning in bare.warnings} == {"time_missing", "place_missing"}
    assert good.warnings == ()


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


def test_pace_follows_the_network() -> None:
    """Chunks grow by doubling while the network is quick, fit a slow one, and become small at a cut."""
    pace = Pace()
    first = pace.chunk_bytes
    pace.sent(first, 0.1)
    assert pace.chunk_bytes == 2 * first
    for _ in range(10):
        pace.sent(pace.chunk_bytes, 0.5)
    assert pace.chunk_bytes == LARGEST
    pace.sent(LARGEST, 80.0)
    assert pace.chunk_bytes == LARGEST // 20
    for _ in range(5):
        pace.cut()
    assert pace.chunk_bytes == SMALLEST


def task_time() -> datetime:
    """A moment of the day's work."""
    return datetime(2026, 9, 21, tzinfo=UTC)


def note_of(text: str) -> Note:
    """A note in the street that inspectors have."""
    return Note(grid=GRID, text=text)


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
