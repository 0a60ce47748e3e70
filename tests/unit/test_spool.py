"""Bytes on disk: what counts after a crash, who may write, and what a full disk does."""

import asyncio
import errno
import hashlib
import os
import shutil
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from media.errors import AtOffset, MediaError
from media.receiving import Body, BrokenOff, Piece, Receiver
from media.spool import Spool
from media.tus import Checksum
from media.uploads import Chunk, Upload, admit

LENGTH = 3_000_000
CONTENT = os.urandom(LENGTH)
FAR = 2**60
PIECE = 64 * 1024


class Disk:
    """Writes as os.pwritev does, until `room` bytes are written."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
        """Write what fits, as a kernel does; nothing fits any more: the disk is full."""
        if self.room == 0:
            raise OSError(errno.ENOSPC, "full")
        piece = memoryview(pieces[0])[: self.room]
        self.room -= len(piece)
        return os.pwrite(descriptor, piece, offset)


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A receiver on a folder of the test's own."""
    made = Receiver(Spool(tmp_path, 0), "sha256")
    yield made
    made.close()


def new_upload(receiver: Receiver) -> uuid.UUID:
    """An upload without bytes."""
    upload = uuid.uuid4()
    receiver.spool.create(upload, 0)
    return upload


def body(content: bytes, *, breaks: bool = False, hangs: asyncio.Event | None = None) -> Body:
    """A body in pieces, which breaks after the last, or hangs for ever and says so."""
    pieces = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]

    async def next_piece() -> Piece:
        if pieces:
            piece = pieces.pop(0)
            return piece, bool(pieces) or breaks or hangs is not None
        if hangs is not None:
            hangs.set()
            await asyncio.Event().wait()
        raise BrokenOff

    return next_piece


async def take(receiver: Receiver, upload: uuid.UUID, source: Body, checksum: Checksum | None = None) -> int:
    """Take a chunk at the place where the upload stands; the bytes held then."""
    async with receiver.spool.turn(upload) as turn:
        state = Upload(offset=turn.held, length=LENGTH, expires_ms=FAR)
        admission = admit(state, Chunk(turn.held, checksum=checksum), LENGTH, 0)
        return await receiver.take(turn, admission, checksum, source)


async def digest(receiver: Receiver, upload: uuid.UUID) -> str:
    """The digest of all bytes held."""
    async with receiver.spool.turn(upload) as turn:
        return await receiver.digest(turn)


def sha256(content: bytes) -> str:
    """As records name media."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def test_chunks_make_a_whole(receiver: Receiver) -> None:
    """What is read back is what was sent, and the digest ran along."""
    upload = new_upload(receiver)
    for start in range(0, LENGTH, 700_000):
        await take(receiver, upload, body(CONTENT[start : start + 700_000]))
    assert receiver.spool.held(upload) == LENGTH
    assert receiver.spool.data(upload).read_bytes() == CONTENT
    assert await digest(receiver, upload) == sha256(CONTENT)


async def test_a_chunk_in_thousands_of_pieces(receiver: Receiver) -> None:
    """A chunk that comes byte by byte is written like any other, though the kernel takes so many pieces only."""
    upload, pieces = new_upload(receiver), [CONTENT[at : at + 1] for at in range(3_000)]

    async def next_piece() -> Piece:
        return pieces.pop(0), len(pieces) > 0

    assert await take(receiver, upload, next_piece) == 3_000
    assert receiver.spool.data(upload).read_bytes() == CONTENT[:3_000]


async def test_the_digest_after_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    """A process that saw none or some of the chunks knows the digest of all."""
    upload = new_upload(receiver)
    await take(receiver, upload, body(CONTENT[:1_000_000]))
    other = Receiver(Spool(tmp_path, 0), "sha256")
    await take(other, upload, body(CONTENT[1_000_000:2_000_000]))
    await take(receiver, upload, body(CONTENT[2_000_000:]))
    assert [await digest(one, upload) for one in (receiver, other)] == [sha256(CONTENT)] * 2
    other.close()


async def test_a_broken_connection_keeps_every_byte_read(receiver: Receiver) -> None:
    """What arrived before the connection broke is held, and the upload goes on from there."""
    upload = new_upload(receiver)
    with pytest.raises(BrokenOff):
        await take(receiver, upload, body(CONTENT[:1_234_567], breaks=True))
    assert receiver.spool.held(upload) == 1_234_567
    await take(receiver, upload, body(CONTENT[1_234_567:]))
    assert await digest(receiver, upload) == sha256(CONTENT)


@pytest.mark.parametrize("breaks", [True, False])
async def test_a_chunk_with_a_checksum_counts_whole(receiver: Receiver, breaks: bool) -> None:
    """A chunk that breaks off or differs from its checksum leaves nothing, and the right one follows."""
    upload = new_upload(receiver)
    await take(receiver, upload, body(CONTENT[:100_000]))
    meant = Checksum("sha1", hashlib.sha1(CONTENT[100_000:]).digest())
    with pytest.raises((BrokenOff, AtOffset)):
        await take(receiver, upload, body(CONTENT[100_000:200_000], breaks=breaks), meant)
    assert receiver.spool.held(upload) == 100_000
    await take(receiver, upload, body(CONTENT[100_000:]), meant)
    assert await digest(receiver, upload) == sha256(CONTENT)


async def test_bytes_that_do_not_count_are_cut_off(receiver: Receiver) -> None:
    """What a discarded chunk left after the last byte is not part of the file."""
    upload = new_upload(receiver)
    await take(receiver, upload, body(CONTENT[:100]))
    with pytest.raises(BrokenOff):
        await take(receiver, upload, body(CONTENT[100:2_000_000], breaks=True), Checksum("sha1", b""))
    async with receiver.spool.turn(upload) as turn:
        turn.trim()
    assert receiver.spool.data(upload).read_bytes() == CONTENT[:100]


async def test_the_newest_request_wins(receiver: Receiver) -> None:
    """A request that hangs gives way to a newer one, with all it has read; what it reads later is not written."""
    upload = new_upload(receiver)
    hangs = asyncio.Event()
    older = asyncio.create_task(take(receiver, upload, body(CONTENT[:1_000_000], hangs=hangs)))
    await hangs.wait()
    await take(receiver, upload, body(CONTENT[1_000_000:]))
    with pytest.raises(AtOffset) as caught:
        await older
    assert (caught.value.code, caught.value.offset) == ("upload_superseded", 1_000_000)
    assert await digest(receiver, upload) == sha256(CONTENT)


async def test_of_many_requests_one_writes_at_a_time(receiver: Receiver) -> None:
    """Requests for one upload at the same moment never mix their bytes, and at least the newest is carried out."""
    upload = new_upload(receiver)
    # All of it or nothing, or the newest would find the beginning there on a slow machine.
    meant = Checksum("sha256", hashlib.sha256(CONTENT).digest())
    requests = (take(receiver, upload, body(CONTENT), meant) for _ in range(8))
    tries = await asyncio.gather(*requests, return_exceptions=True)
    assert LENGTH in tries
    assert all(one == LENGTH or isinstance(one, MediaError) for one in tries)
    assert all(isinstance(one, AtOffset) for one in tries if one != LENGTH)
    assert receiver.spool.data(upload).read_bytes()[:LENGTH] == CONTENT


async def test_a_process_that_does_not_let_go(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the older request's process hangs, the newer one is told to come again."""
    upload = new_upload(receiver)
    monkeypatch.setattr("media.spool._LOCK_WAIT_S", 0.1)
    async with receiver.spool.turn(upload):
        with pytest.raises(MediaError) as caught:
            await take(receiver, upload, body(CONTENT))
    assert caught.value.code == "upload_busy"


_CRASHING = """
import asyncio, os, signal, sys, uuid
from pathlib import Path
sys.path.insert(0, os.getcwd())
from tests.unit.test_spool import CONTENT_PIECE, Receiver, Spool, take

async def die():
    receiver = Receiver(Spool(Path(sys.argv[1]), 0), "sha256")
    sent = 0
    async def next_piece():
        nonlocal sent
        sent += 1
        if sent > 200:
            while receiver.spool.held(uuid.UUID(sys.argv[2])) == 0:
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return CONTENT_PIECE, True
    await take(receiver, uuid.UUID(sys.argv[2]), next_piece)
asyncio.run(die())
"""
CONTENT_PIECE = b"x" * PIECE


async def test_killed_while_it_writes(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After kill -9 in the midst of a long chunk most of it is held, the rest forgotten, and the lock is free."""
    monkeypatch.setattr(sys.modules[__name__], "LENGTH", 2**30)
    upload = new_upload(receiver)
    code = "import tests.unit.test_spool as t; t.LENGTH = 2**30\n" + _CRASHING
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path), str(upload), cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert await process.wait() == -signal.SIGKILL
    held = receiver.spool.held(upload)
    assert 0 < held <= 200 * PIECE
    assert await take(receiver, upload, body(CONTENT)) == held + len(CONTENT)
    assert receiver.spool.data(upload).read_bytes()[held : held + len(CONTENT)] == CONTENT


@pytest.mark.parametrize("room", [0, 1, 100_000, 1_500_000])
@pytest.mark.parametrize("vouched", [True, False])
async def test_full_disk(tmp_path: Path, room: int, vouched: bool) -> None:
    """A disk that fills up in the midst of a chunk is told; what fits is held, and later the rest follows."""
    disk = Disk(room)
    receiver = Receiver(Spool(tmp_path, 0, disk.write), "sha256")
    upload = new_upload(receiver)
    checksum = Checksum("sha256", hashlib.sha256(CONTENT).digest()) if vouched else None
    with pytest.raises(AtOffset) as caught:
        await take(receiver, upload, body(CONTENT), checksum)
    held = 0 if vouched else room
    assert (caught.value.code, caught.value.offset, receiver.spool.held(upload)) == ("storage_full", held, held)
    disk.room = FAR
    await take(receiver, upload, body(CONTENT[held:]), checksum)
    assert await digest(receiver, upload) == sha256(CONTENT)
    receiver.close()


def test_no_room_for_another(tmp_path: Path) -> None:
    """An upload for which the disk has no room is not begun, and what must stay free stays free."""
    spool = Spool(tmp_path, FAR)
    with pytest.raises(MediaError) as caught:
        spool.create(uuid.uuid4(), 1)
    assert caught.value.code == "storage_full"
    assert list(tmp_path.iterdir()) == []


async def test_what_is_to_stay_free_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that does not say its size stops where the free room of the disk ends, and what was written is held."""
    used = 0

    def write(descriptor: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
        nonlocal used
        written = os.pwritev(descriptor, pieces, offset)
        used += written
        return written

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_500_000 - used))
    receiver = Receiver(Spool(tmp_path, 1_000_000, write), "sha256")
    upload = new_upload(receiver)
    with pytest.raises(AtOffset) as caught:
        await take(receiver, upload, body(CONTENT))
    receiver.close()
    assert (caught.value.code, caught.value.offset) == ("storage_full", used)
    assert 500_000 < used <= 1_500_000


async def test_dropped_while_somebody_waits(receiver: Receiver) -> None:
    """Who waited for an upload that is dropped meanwhile is told that it is gone."""
    upload = new_upload(receiver)
    async with receiver.spool.turn(upload):
        waiting = asyncio.create_task(take(receiver, upload, body(CONTENT)))
        await asyncio.sleep(0)
        receiver.spool.drop(upload)
    with pytest.raises(MediaError) as caught:
        await waiting
    assert caught.value.code == "upload_gone"
