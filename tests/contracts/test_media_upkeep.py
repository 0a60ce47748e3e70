"""What becomes of uploads and blobs by themselves, on both databases: expiry, leftovers, collection, checks."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from obstore.store import MemoryStore
from sqlalchemy import insert, select

from field_schemas.access import FIELD_WORKERS, Access, Grant, Role
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.registry import Registry, load_types
from field_schemas.scopes import of_person
from field_schemas.types.values import ShortText, UserId
from media.blobs import Blobs
from media.errors import MediaError, Unavailable
from media.inspection.inspector import Inspector
from media.receiving import Body, Piece
from media.tus import Metadata
from media.uploads import Chunk, State
from server.accounts.identities import Identity
from server.accounts.tables import devices, users
from server.group_commit import PushQueue, QueueBounds
from server.media.arrivals import Arrival, Arrivals
from server.media.parts import Media
from server.media.pictures import Pictures
from server.media.rows import StoredUpload, Wanted, upload_of
from server.media.tables import blobs, media_claims, media_references, uploads
from server.settings import Settings
from server.storage.database import Database, open_database
from sync.clock import DAY_MS
from sync.messages import Outcome
from tests.integration.media import digest_of, media_ref, photo
from tests.unit.builders import GRID, NOW, Office, actor, new_id

pytestmark = pytest.mark.timeout(120)
USER = "li"
DEVICE = uuid.UUID(int=7)
GRANT = Grant("grid:440304", Role.SUPERVISOR)


@record_type(
    "media_verdict",
    zh="核验",
    en="Verdict",
    scopes=(of_person("author"),),
    access=Access(read=FIELD_WORKERS),
)
class Verdict(Record):
    """What a check of these tests says."""

    author: Annotated[UserId, Field("提交人", "Author", Policy.SERVER_ONLY)]
    said: Annotated[ShortText, Field("结论", "Said", Policy.SERVER_ONLY)]


class Desk:
    """Media on a database, with one device, and a clock that tests move."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.now = NOW
        self.database = database
        self.folder = folder
        self.registry = Registry([*(spec.cls for spec in load_types()), Verdict])
        settings = Settings(data_dir=str(folder), media_grace_days=30, media_upload_hours=24)
        self.media = Media(settings, database, self.registry, Ed25519PrivateKey.generate(), lambda: self.now)
        self.queue = PushQueue(database.store, self.registry, QueueBounds(100, 100, 1), lambda: self.now)
        self.office = Office()
        self.author = actor(USER, (GRANT.scope, GRANT.role), device=DEVICE)
        self.checked: list[Arrival] = []
        self.fails: dict[str, int] = {}
        self.away = False
        self.who = Identity(USER, "Li", DEVICE, uuid.UUID(int=1), (GRANT,))
        pictures = Pictures(self.media.shelf, Inspector())
        self.arrivals = Arrivals(
            database, self.media.shelf, self.queue, self.check, pictures, lambda: self.now, os.urandom
        )

    async def enrol(self) -> None:
        """The account and the device."""
        account = {"id": USER, "display_name": "Li", "password_hash": "", "created_ms": NOW}
        device = {"id": DEVICE, "user_id": USER, "public_key": b"k" * 32, "name": "phone", "enrolled_ms": NOW}
        async with self.database.engine.begin() as connection:
            await connection.execute(insert(users).values(account))
            await connection.execute(insert(devices).values(device))

    async def check(self, file: Path, arrival: Arrival) -> Record:
        """Note what is checked; fail as often as told, or as a store does that is away."""
        if self.away:
            raise Unavailable
        if self.fails.get(arrival.blob.digest):
            self.fails[arrival.blob.digest] -= 1
            raise ValueError("cannot look into it")
        assert digest_of(await asyncio.to_thread(file.read_bytes)) == arrival.blob.digest
        self.checked.append(arrival)
        return Verdict(author=arrival.change.user, said=f"{arrival.device.name}: fine")

    async def begin(self, content: bytes, **wanted: Any) -> uuid.UUID:
        """An upload without bytes."""
        made = await self.media.uploads.create(self.who, Wanted(Metadata(), len(content), **wanted))
        return made.row.id

    async def send(self, content: bytes) -> uuid.UUID:
        """An upload with all its bytes."""
        upload = await self.begin(content)
        await self.media.uploads.append(upload, Chunk(0, len(content)), body(content))
        return upload

    async def row(self, upload: uuid.UUID) -> StoredUpload | None:
        """An upload's row."""
        async with self.database.read_engine.connect() as connection:
            found = (await connection.execute(select(uploads).where(uploads.c.id == upload))).first()
        return upload_of(found) if found else None

    async def name(self, *contents: bytes, noted: bool = True) -> uuid.UUID:
        """Push a note that names these photos, as the HTTP layer does; its id."""
        record = new_id()
        fields = {"grid": GRID, "text": "x", "media": [media_ref(content) for content in contents]}
        await self.push(record, fields, noted=noted)
        return record

    async def push(self, record: uuid.UUID, fields: dict[str, Any], *, noted: bool = True, **more: Any) -> None:
        """Push a change of a note."""
        self.office.now = self.now
        change = self.office.change(self.author, "note", record, fields, **more)
        if noted:
            await self.media.references.note_pushed(USER, [change], as_json=False)
        answer = await self.queue.submit(self.author, [change], as_json=False)
        assert answer.verdicts[0].outcome is Outcome.APPLIED, answer.verdicts

    async def stored(self, content: bytes) -> bool:
        """Whether the photo is in the store, by its row and by its bytes alike."""
        there = await self.media.shelf.find(digest_of(content)) is not None
        size = await self.media.shelf.bytes_of.size(digest_of(content))
        assert there == (size is not None)
        return there


def body(content: bytes) -> Body:
    """A body in one piece."""

    async def next_piece() -> Piece:
        return content, False

    return next_piece


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """Media on each database."""
    database = open_database(database_url, 4)
    made = Desk(database, tmp_path / "data")
    await made.enrol()
    made.queue.start()
    yield made
    await made.queue.stop()
    made.media.close()
    await database.close()


async def test_named_media_stays(desk: Desk) -> None:
    """What a record names is kept however old it is; what nothing names goes when its time of grace is over."""
    named, idle = photo(), photo()
    await desk.send(named)
    await desk.send(idle)
    await desk.name(named)
    desk.now += 29 * DAY_MS
    await desk.media.upkeep.collect()
    assert (await desk.stored(named), await desk.stored(idle)) == (True, True)
    desk.now += 2 * DAY_MS
    done = await desk.media.upkeep.collect()
    assert done is not None
    assert (done.blobs, done.bytes) == (1, 1_000)
    assert (await desk.stored(named), await desk.stored(idle)) == (True, False)


async def test_named_before_it_comes(desk: Desk) -> None:
    """A record may name a photo long before its bytes arrive."""
    content = photo()
    await desk.name(content)
    desk.now += 40 * DAY_MS
    await desk.send(content)
    desk.now += 40 * DAY_MS
    await desk.media.upkeep.collect()
    assert await desk.stored(content)


async def test_a_reference_that_was_not_noted_is_found(desk: Desk) -> None:
    """Records written by another way than a push by HTTP keep their media, too."""
    content = photo()
    await desk.send(content)
    await desk.name(content, noted=False)
    desk.now += 40 * DAY_MS
    await desk.media.upkeep.collect()
    assert await desk.stored(content)


async def test_media_of_a_deleted_record(desk: Desk) -> None:
    """What only a deleted record named goes, when its time of grace is over from then on."""
    content = photo()
    await desk.send(content)
    record = await desk.name(content)
    desk.now += 40 * DAY_MS
    await desk.media.upkeep.collect()
    await desk.push(record, {}, delete=True, base=1)
    await desk.media.upkeep.collect()
    assert await desk.stored(content)
    desk.now += 31 * DAY_MS
    await desk.media.upkeep.collect()
    assert not await desk.stored(content)


async def test_sent_again_after_it_was_collected(desk: Desk) -> None:
    """A photo that was let go can be sent again."""
    content = photo()
    for _ in range(2):
        await desk.send(content)
        assert await desk.stored(content)
        desk.now += 31 * DAY_MS
        await desk.media.upkeep.collect()
        assert not await desk.stored(content)


async def test_a_collection_that_broke_off(desk: Desk) -> None:
    """Between mark and removal nobody stores or sees the blob; the next collection ends it, then it comes again."""
    content = photo()
    await desk.send(content)
    async with desk.database.engine.begin() as connection:
        await connection.execute(blobs.update().values(collecting=True))
    assert await desk.media.shelf.find(digest_of(content)) is None
    waiting = await desk.send(content)
    row = await desk.row(waiting)
    assert row is not None
    assert row.state is State.OPEN
    await desk.media.upkeep.collect()
    assert await desk.media.upkeep.finish_left() == 1
    assert await desk.stored(content)


async def test_uploading_and_collecting_at_once(desk: Desk) -> None:
    """However uploads and collections of one photo meet, the row never promises bytes that are not there."""
    content = photo()
    for _ in range(5):
        await desk.send(content)
        desk.now += 31 * DAY_MS
        await asyncio.gather(desk.send(content), desk.media.upkeep.collect(), desk.send(content))
        await desk.media.upkeep.finish_left()
        await desk.stored(content)


async def test_expired_uploads_go(desk: Desk) -> None:
    """An upload that was not finished in time leaves neither bytes nor, a day later, a row."""
    upload = await desk.begin(photo())
    desk.now += DAY_MS
    done = await desk.media.upkeep.collect()
    assert done is not None
    assert done.uploads == 1
    with pytest.raises(MediaError) as caught:
        await desk.media.uploads.head(upload)
    assert caught.value.code == "upload_gone"
    assert list((desk.folder / "uploads").iterdir()) == []
    desk.now += DAY_MS
    await desk.media.upkeep.collect()
    assert await desk.row(upload) is None


async def test_stray_files_go(desk: Desk) -> None:
    """Files of an upload that the database does not know are removed when they are old."""
    upload, known = uuid.uuid4(), await desk.begin(photo())
    desk.media.receiver.spool.create(upload, 0)
    for one in (upload, known):
        os.utime(desk.media.receiver.spool.data(one), (0, 0))
    await desk.media.upkeep.collect()
    left = {path.stem for path in (desk.folder / "uploads").glob("*.data")}
    assert left == {known.hex}


async def test_left_by_a_process_that_ended(desk: Desk) -> None:
    """An upload whose last byte was taken by a process that then ended becomes a blob all the same."""
    content = photo()
    upload = await desk.begin(content)
    async with desk.media.receiver.spool.turn(upload) as turn:
        turn.append([content])
        turn.keep(len(content))
    assert await desk.media.upkeep.finish_left() == 1
    assert await desk.stored(content)
    assert (await desk.media.uploads.head(upload)).offset == 1_000


async def test_store_that_fails_for_a_while(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that the store does not take are acknowledged, kept, and stored when it works again."""
    content = photo()

    async def fails(*_: object) -> None:
        raise OSError("the store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(Blobs, "put", fails)
        upload = await desk.send(content)
    assert (await desk.media.uploads.look(upload)).offset == 1_000
    assert await desk.media.upkeep.finish_left() == 1
    assert await desk.stored(content)


async def test_a_blob_that_was_lost_is_stored_again(desk: Desk) -> None:
    """When the bytes of a blob are missing, the next upload of them heals it."""
    content = photo()
    await desk.send(content)
    await desk.media.shelf.bytes_of.drop(digest_of(content))
    await desk.send(content)
    assert await desk.stored(content)


async def test_another_store(desk: Desk) -> None:
    """A store that is no folder holds blobs just so: put, read in part, copied for a check, dropped."""
    store = Blobs(MemoryStore())
    content = photo(600_000)
    file = desk.folder / "file"
    file.write_bytes(content)
    await store.put(digest_of(content), file, "image/jpeg")
    assert await store.size(digest_of(content)) == 600_000
    assert b"".join([piece async for piece in await store.read(digest_of(content), 5, 500_000)]) == content[5:500_000]
    await store.fetch(digest_of(content), desk.folder / "copy")
    assert (desk.folder / "copy").read_bytes() == content
    assert store.path(digest_of(content)) is None
    await store.drop(digest_of(content))
    await store.drop(digest_of(content))
    assert await store.size(digest_of(content)) is None


async def verdicts(desk: Desk) -> list[Record]:
    """The verdicts written so far."""
    spec = desk.registry.get(Verdict.__record_type__.name)  # type: ignore[attr-defined]
    async with desk.database.store.reading() as tx:
        return [spec.typed(one.fields, one.id, one.version) async for page in tx.scan(spec.name) for one in page]


@pytest.mark.parametrize("record_first", [True, False])
async def test_checked_when_both_are_there(desk: Desk, record_first: bool) -> None:
    """A photo is checked once bytes and record are there, whichever comes first; the verdict is a record."""
    content = photo()
    if record_first:
        await desk.name(content)
        assert await desk.arrivals.check_due() == 0
        await desk.send(content)
    else:
        await desk.send(content)
        assert await desk.arrivals.check_due() == 0
        await desk.name(content)
    assert await desk.arrivals.check_due() == 1
    (verdict,) = await verdicts(desk)
    assert isinstance(verdict, Verdict)
    assert (verdict.author, verdict.said) == (USER, "phone: fine")
    (arrival,) = desk.checked
    assert (arrival.change.device, arrival.record.type) == (DEVICE, "note")


async def test_checked_once_for_each_record(desk: Desk) -> None:
    """Each record that names a photo gets its own verdict, once."""
    content = photo()
    await desk.send(content)
    for _ in range(2):
        await desk.name(content)
    assert await desk.arrivals.check_due() == 2
    await desk.media.upkeep.collect()
    assert await desk.arrivals.check_due() == 0
    assert len(await verdicts(desk)) == 2


async def test_a_check_that_fails_is_tried_again(desk: Desk) -> None:
    """A check that fails waits longer each time, and holds nobody else up."""
    first, other = photo(), photo()
    await desk.send(first)
    await desk.name(first)
    desk.fails[digest_of(first)] = 2
    assert await desk.arrivals.check_due() == 0
    await desk.send(other)
    await desk.name(other)
    desk.now += 60_000
    assert await desk.arrivals.check_due() == 1
    desk.now += 60_000
    assert await desk.arrivals.check_due() == 0
    desk.now += 60_000
    assert await desk.arrivals.check_due() == 1


async def test_a_store_that_is_away_does_not_count(desk: Desk) -> None:
    """However often the store was away when a photo was due, it is checked within a minute of its return."""
    content = photo()
    await desk.send(content)
    await desk.name(content)
    desk.away = True
    for _ in range(8):
        assert await desk.arrivals.check_due() == 0
        desk.now += 60_000
    desk.away = False
    assert await desk.arrivals.check_due() == 1


async def test_nobody_vouches_for_it(desk: Desk) -> None:
    """A photo that the record's author did not send is not checked for that record."""
    content = photo()
    await desk.send(content)
    await desk.name(content)
    async with desk.database.engine.begin() as connection:
        await connection.execute(media_claims.delete())
    assert await desk.arrivals.check_due() == 0
    async with desk.database.engine.begin() as connection:
        assert (await connection.execute(select(media_references.c.check_ms))).scalar_one() is not None
