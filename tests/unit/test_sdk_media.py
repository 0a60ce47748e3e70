"""Photos and videos on a device: attached offline, named at once, warned of, told of."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from client_sdk import Invalid, MediaState
from field_schemas.types.finding import Finding
from field_schemas.types.patrol import ChecklistAnswer, PatrolTask
from tests.fake_server import FakeServer
from tests.films import film
from tests.phones import GRID, city, finding, phone
from tests.photos import Shot
from tests.photos import photo as real_photo
from tests.unit.media import digest_of, kept, photo, put


@pytest.fixture
def server() -> FakeServer:
    """A small city."""
    return city()


def task_time() -> datetime:
    """A moment of the day's work."""
    return datetime(2026, 9, 21, tzinfo=UTC)


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


async def test_the_record_tells_when_and_where(tmp_path: Path, server: FakeServer) -> None:
    """What the file says of time and place stands in the record before the bytes travel."""
    async with phone(tmp_path, server, "li") as li:
        attached = await li.attach(await li.create(finding()), put(tmp_path, "a.jpg", real_photo(Shot())))
    assert attached.record.media == [attached.ref]
    assert attached.ref.captured_at == datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
    assert attached.ref.place is not None
    assert attached.ref.place.lat == pytest.approx(22.541)
    assert attached.ref.place.accuracy_m == 5


async def test_warned_of_the_wrong_place_of_the_task(tmp_path: Path, server: FakeServer) -> None:
    """Where the task lies, and the grid of a finding without position, the phone knows without network."""
    ring = [(114.0, 22.0), (114.01, 22.0), (114.01, 22.01), (114.0, 22.01), (114.0, 22.0)]
    await server.import_records("unit_grid", [{"code": GRID, "boundary": {"rings": [ring]}}])
    await server.import_records("patrol_task", [{"subject": "x", "grid": GRID, "place": {"lon": 114.2, "lat": 22.5}}])
    here = put(tmp_path, "a.jpg", real_photo(Shot()))
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        (task,) = await li.find(PatrolTask)
        of_task = await li.attach(await li.create(finding(task=task.id)), here)
        of_grid = await li.attach(await li.create(finding(place=None)), here)
    assert "task_place_differs" in {warning.code for warning in of_task.warnings}
    assert "grid_differs" in {warning.code for warning in of_grid.warnings}
