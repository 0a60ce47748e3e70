"""Which bytes of an upload count after the power failed: never one that is not there, and every acknowledged one."""

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from media.held import Note, Record
from media.spool import Spool

CONTENT = os.urandom(3_000_000)
FIRST, SECOND = 1_000_000, 3_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool in a folder of the test's own."""
    made = Spool(tmp_path, 0)
    yield made
    made.close()


def proof(size: int) -> str:
    """The digest of the first bytes."""
    return f"sha256:{hashlib.sha256(CONTENT[:size]).hexdigest()}"


def keep(spool: Spool, upload: uuid.UUID, until: int) -> None:
    """Write on up to there, and keep it."""
    turn = spool.idle_turn(upload)
    assert turn is not None
    turn.append([CONTENT[turn.held : until]])
    turn.keep(until, proof(until))
    turn.close()


def new_upload(spool: Spool) -> uuid.UUID:
    """An upload whose first bytes are kept."""
    upload = uuid.uuid4()
    spool.create(upload, 0)
    keep(spool, upload, FIRST)
    return upload


def note(spool: Spool, upload: uuid.UUID, added: Note) -> None:
    """What is on disk when the power fails before anybody knows that the note's bytes are."""
    file = os.open(record(spool, upload), os.O_RDWR)
    Record(file).add(added)
    os.close(file)


def record(spool: Spool, upload: uuid.UUID) -> Path:
    """The file of an upload's notes."""
    return spool.data(upload).with_suffix(".held")


def test_bytes_that_came_to_disk_with_their_note_count(spool: Spool) -> None:
    """A note whose bytes are there is believed, though nobody was left to say that both are on disk."""
    upload = new_upload(spool)
    spool.data(upload).write_bytes(CONTENT)
    note(spool, upload, Note(SECOND, proof(SECOND)))
    assert spool.held(upload) == SECOND


@pytest.mark.parametrize("there", [FIRST, SECOND - 1, SECOND])
def test_a_note_that_came_to_disk_without_its_bytes_does_not_count(spool: Spool, there: int) -> None:
    """Where bytes are missing or are not those that were sent, those noted before count, and the upload goes on."""
    upload = new_upload(spool)
    spool.data(upload).write_bytes(CONTENT[:FIRST] + bytes(there - FIRST))
    note(spool, upload, Note(SECOND, proof(SECOND)))
    assert spool.held(upload) == FIRST
    keep(spool, upload, SECOND)
    assert spool.held(upload) == SECOND
    assert spool.data(upload).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [0, 1, 10, 25, 30])
def test_half_a_note_does_not_count(spool: Spool, length: int) -> None:
    """A note of which only a part came to disk counts for nothing; that before it does."""
    upload = new_upload(spool)
    begins = len(record(spool, upload).read_bytes())
    keep(spool, upload, SECOND)
    begins = record(spool, upload).read_bytes().index(f"{SECOND:020}".encode(), begins)
    os.truncate(record(spool, upload), begins + length)
    assert spool.held(upload) == FIRST


def test_a_note_is_looked_into_once(spool: Spool) -> None:
    """What was found true after a crash is noted as certain."""
    upload = new_upload(spool)
    spool.data(upload).write_bytes(CONTENT)
    note(spool, upload, Note(SECOND, proof(SECOND)))
    assert spool.held(upload) == SECOND
    spool.data(upload).write_bytes(b"")
    assert spool.held(upload) == SECOND


def test_a_disk_that_fails_keeps_nothing_new(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that the disk did not take do not count, though they can still be read from memory."""
    upload = new_upload(spool)
    turn = spool.idle_turn(upload)
    assert turn is not None
    turn.append([CONTENT[FIRST:]])
    works = os.fdatasync

    def fails(descriptor: int) -> None:
        if descriptor == turn.data:
            raise OSError(errno.EIO, "the disk is broken")
        works(descriptor)

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(OSError, match="broken"):
        turn.keep(SECOND, proof(SECOND))
    turn.close()
    monkeypatch.undo()
    assert spool.held(upload) == FIRST


def test_without_a_digest_the_note_follows_the_bytes(spool: Spool) -> None:
    """A process that saw only some of the bytes notes them when they are on disk, and the note needs no proof."""
    upload = new_upload(spool)
    turn = spool.idle_turn(upload)
    assert turn is not None
    turn.append([CONTENT[FIRST:]])
    turn.keep(SECOND, None)
    turn.close()
    spool.data(upload).write_bytes(b"")
    assert spool.held(upload) == SECOND
