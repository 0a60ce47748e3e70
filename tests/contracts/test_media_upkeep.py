"""What becomes of uploads and blobs by themselves, on both databases: expiry, leftovers, collection."""

import asyncio
import errno
import os
import uuid
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from field_schemas.access import Grant, Role
from media.blobs import Blobs
from media.errors import MediaError, Unavailable
from media.uploads import Chunk, State
from server.media.rows import PARTIAL
from server.media.tables import blobs
from sync.clock import DAY_MS
from sync.messages import Outcome
from tests.contracts.media_desk import DISTRICT, Desk, body
from tests.integration.media import digest_of, media_ref, photo
from tests.unit.builders import GRID, new_id

pytestmark = pytest.mark.timeout(120)
ELSEWHERE = Grant("grid:440399", Role.INSPECTOR)


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


async def test_media_of_a_refused_record(desk: Desk) -> None:
    """The photo of a record that was refused stays while a supervisor may apply the refusal, and goes after that."""
    content = photo()
    zhao = await desk.person("zhao", ELSEWHERE)
    await desk.send(content, by=zhao)
    record = new_id()
    fields = {"kind": "0102", "grid": GRID, "text": "not my street", "media": [media_ref(content)]}
    await desk.push(record, fields, of="finding", by=zhao, outcome=Outcome.REFUSED)
    desk.now += 40 * DAY_MS
    await desk.media.upkeep.collect()
    assert await desk.stored(content)
    (refusal,) = await desk.refusals(record)
    await desk.push(refusal, {"state": "dismissed"}, of="refusal", base=1, by=zhao, outcome=Outcome.MERGED)
    await desk.media.upkeep.collect()
    assert await desk.stored(content)
    desk.now += 31 * DAY_MS
    await desk.media.upkeep.collect()
    assert not await desk.stored(content)


async def test_media_of_a_refusal_that_was_applied(desk: Desk) -> None:
    """The photo of a record that a supervisor made from a refusal stays, and is checked as its author's."""
    content = photo()
    zhao = await desk.person("zhao", ELSEWHERE)
    await desk.send(content, by=zhao)
    record = new_id()
    fields = {"kind": "0102", "grid": GRID, "text": "not my street", "media": [media_ref(content)]}
    await desk.push(record, fields, of="finding", by=zhao, outcome=Outcome.REFUSED)
    (refusal,) = await desk.refusals(record)
    chief = await desk.person("chief", DISTRICT, Grant(ELSEWHERE.scope, Role.SUPERVISOR))
    await desk.push(refusal, {"state": "applied"}, of="refusal", base=1, by=chief, outcome=Outcome.MERGED)
    desk.now += 40 * DAY_MS
    await desk.media.upkeep.collect()
    assert await desk.stored(content)
    assert await desk.reads(content, desk.li)
    assert await desk.arrivals.check_due() == 1
    assert desk.checked[0].change.user == "zhao"


async def test_media_of_a_push_that_was_never_decided(desk: Desk) -> None:
    """What was noted of a push that did not come to its end is forgotten a day later."""
    content = photo()
    await desk.send(content)
    change = desk.office.change(desk.li.actor, "note", new_id(), {"text": "x", "media": [media_ref(content)]})
    await desk.media.references.note_pushed("li", [change], as_json=False)
    desk.now += DAY_MS
    await desk.media.upkeep.collect()
    desk.now += 28 * DAY_MS
    await desk.media.upkeep.collect()
    assert await desk.stored(content)
    desk.now += 2 * DAY_MS
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


@pytest.mark.parametrize("ending", ["held", "turn"])
async def test_every_stray_file_goes(desk: Desk, ending: str) -> None:
    """What a creation that was killed, or a request that came too late, left without any bytes is removed too."""
    stray = desk.folder / "uploads" / f"{uuid.uuid4().hex}.{ending}"
    stray.write_bytes(b"")
    os.utime(stray, (0, 0))
    await desk.media.upkeep.collect()
    assert not stray.exists()


async def test_left_by_a_process_that_ended(desk: Desk) -> None:
    """An upload whose last byte was taken by a process that then ended becomes a blob all the same."""
    content = photo()
    upload = await desk.begin(content)
    async with desk.media.receiver.spool.turn(upload) as turn:
        turn.append([content])
        turn.keep(len(content), None)
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


async def test_what_waits_for_the_store_does_not_expire(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload with all its bytes is kept for as long as the store fails, and then stored; a part of one expires."""
    content = photo()

    async def fails(*_: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(Blobs, "put", fails)
        upload = await desk.send(content)
        part = await desk.begin(content, concat=PARTIAL)
        await desk.media.uploads.append(part, Chunk(0, len(content)), body(content))
        desk.now += 2 * DAY_MS
        done = await desk.media.upkeep.collect()
        assert done is not None
        assert done.uploads == 1
        assert (await desk.media.uploads.head(upload)).offset == 1_000
    assert await desk.media.upkeep.finish_left() == 1
    assert await desk.stored(content)


async def test_a_blob_that_was_lost_is_stored_again(desk: Desk) -> None:
    """When the bytes of a blob are missing, the next upload of them heals it."""
    content = photo()
    await desk.send(content)
    await desk.media.shelf.bytes_of.drop(digest_of(content))
    await desk.send(content)
    assert await desk.stored(content)


@pytest.mark.parametrize("left", [b"", bytes(999), bytes(1_000)])
async def test_a_blob_that_was_damaged_is_stored_again(desk: Desk, left: bytes) -> None:
    """Whatever a broken disk has left of a blob, the next upload of it heals it: its sender gives up the copy."""
    content = photo()
    await desk.send(content)
    path = desk.media.shelf.bytes_of.path(digest_of(content))
    assert path is not None
    path.write_bytes(left)
    await desk.send(content)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_blobs_on_another_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs may lie on another disk than uploads, or where a file has but one name: they are copied there."""

    def link(_source: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", link)
    content = photo()
    await desk.send(content)
    path = desk.media.shelf.bytes_of.path(digest_of(content))
    assert path is not None
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_another_store(desk: Desk) -> None:
    """A store that is no folder holds blobs just so: put, read in part, copied for a check, claimed, dropped."""
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
    for claim in (b"{}", b'{"sent": true}'):
        await store.put_claim(digest_of(content), "li.na", claim)
    assert await store.claims(digest_of(content)) == [b'{"sent": true}']
    assert [digest async for page in store.digests() for digest in page] == [digest_of(content)]
    await store.drop(digest_of(content))
    assert await store.claims(digest_of(content)) == []
    await store.drop(digest_of(content))
    assert await store.size(digest_of(content)) is None
