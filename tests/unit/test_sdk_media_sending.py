"""How photos and videos are sent: in which order, how much at once, when again, and when not."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from client_sdk import Invalid, MediaState, Urgency
from client_sdk.media.pace import LARGEST, SMALLEST, Pace
from field_schemas.types.finding import Note
from tests.fake_server import FakeServer
from tests.films import film
from tests.phones import GRID, city, finding, opened, phone
from tests.unit.media import digest_of, kept, photo, put


@pytest.fixture
def server() -> FakeServer:
    """A small city."""
    return city()


def note_of(text: str) -> Note:
    """A note in the street that inspectors have."""
    return Note(grid=GRID, text=text)


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


async def test_what_is_refused_at_its_end_again_and_again_waits(tmp_path: Path, server: FakeServer) -> None:
    """A file whose bytes are changed on the way is sent once more at once, then ever later, however many chunks of it
    are taken each time."""
    server.uploads.spoiled = True
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "walk.mp4", film() + bytes(300_000)))
        await asyncio.wait_for(li.sync(), 20)
        assert server.requests.count("POST /v1/uploads") == 2
        server.uploads.spoiled = False
        server.time.ms += 3_600_000
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.HELD]


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


async def test_a_busy_upload_holds_up_no_other(tmp_path: Path, server: FakeServer) -> None:
    """While the server is still at work on one file, the next one goes."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        await li.attach(made, put(tmp_path, "a.jpg", photo(1)))
        await li.attach(made, put(tmp_path, "b.jpg", photo(2)))
        server.uploads.faults.extend(["cut 500", "423 upload_busy 1", "", "423 upload_busy 1"])
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.WAITING, MediaState.HELD]
        server.time.ms += 400_000
        await li.sync()
        assert {item.state for item in await li.media()} == {MediaState.HELD}


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


async def turned_away(folder: Path, server: FakeServer, fault: str) -> None:
    """A phone whose photo was turned away, and that was closed."""
    async with phone(folder, server, "li") as li:
        await li.attach(await li.create(finding()), put(folder, "a.jpg", photo(1)))
        server.uploads.refusals.append(fault)
        await li.sync()
    server.requests.clear()


async def test_starting_anew_is_no_reason_to_ask_again(tmp_path: Path, server: FakeServer) -> None:
    """What was turned away until later is not asked for again because the app was started again."""
    await turned_away(tmp_path, server, "429 quota_exceeded 30000")
    for boot in ("boot", "boot", "another boot"):
        server.time.ms += 3_600_000
        async with opened(tmp_path / "li.db", server, clocks=server.time.clocks(boot=boot)) as li:
            await li.sync()
            assert (await li.media())[0].reason is not None
    assert "POST /v1/uploads" not in server.requests
    server.time.ms += 30_000_000
    async with opened(tmp_path / "li.db", server) as li:
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


async def test_now_means_now_after_a_restart_too(tmp_path: Path, server: FakeServer) -> None:
    """Who says now does not wait for what was turned away before the app was started."""
    await turned_away(tmp_path, server, "429 quota_exceeded 30000")
    async with opened(tmp_path / "li.db", server) as li:
        await li.resume_media()
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


async def test_trouble_is_counted_across_restarts(tmp_path: Path, server: FakeServer) -> None:
    """An upload that failed twice in the first run and once in each later one has failed that often in a row."""
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", photo(1)))
    for _ in range(5):
        async with opened(tmp_path / "li.db", server) as li:
            server.uploads.refusals.extend(["500 internal"] * 9)
            await li.sync()
            server.uploads.refusals.clear()
        server.time.ms += 400_000
    with closing(sqlite3.connect(tmp_path / "li.db")) as db:
        assert db.execute("SELECT failures FROM media").fetchall() == [(6,)]
    async with opened(tmp_path / "li.db", server) as li:
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


async def test_a_clock_that_was_set_back_does_not_make_it_wait(tmp_path: Path, server: FakeServer) -> None:
    """A phone whose clock says a time before its last try tries again at once."""
    await turned_away(tmp_path, server, "429 quota_exceeded 600")
    with closing(sqlite3.connect(tmp_path / "li.db", isolation_level=None)) as db:
        db.execute("UPDATE media SET asked_ms = asked_ms + 400 * 86400000")
    async with opened(tmp_path / "li.db", server) as li:
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
    async with phone(tmp_path, server, "li", wifi=True) as li:
        await li.wifi_only(Urgency.VIDEO)
        made = await li.create(finding())
        await li.attach(made, put(tmp_path, "walk.mp4", film()))
        await li.attach(made, put(tmp_path, "a.jpg", photo(1)))
    async with opened(tmp_path / "li.db", server, wifi=False) as li:
        await li.sync()
    assert server.uploads.order == ["a.jpg"]
    async with opened(tmp_path / "li.db", server, wifi=True) as li:
        await li.sync()
    assert server.uploads.order == ["a.jpg", "walk.mp4"]


async def test_without_word_of_the_network_nothing_can_wait_for_wifi(tmp_path: Path, server: FakeServer) -> None:
    """A device that is told nothing of the network says so instead of using any; what was to wait before, waits."""
    async with phone(tmp_path, server, "li", wifi=False) as li:
        await li.wifi_only(Urgency.VIDEO)
    async with phone(tmp_path, server, "li") as li:
        await li.attach(await li.create(finding()), put(tmp_path, "walk.mp4", film()))
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.WAITING]
        with pytest.raises(Invalid, match="on_wifi"):
            await li.wifi_only(Urgency.PHOTO)
        await li.wifi_only()
        await li.sync()
        assert [item.state for item in await li.media()] == [MediaState.HELD]


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
    server.add_user("chen", *server.accounts.users["chen"][1])
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
