"""Spool files: the bytes of unfinished uploads, on a disk that the server processes of one machine share.

An upload has three files. `<id>.data` holds the bytes, and perhaps some that nobody vouched for after them;
`<id>.held` says how many count, and is written only once they are on disk. `<id>.turn` names the request that may
write: whoever comes later puts its own name there, the one before sees that within TURN_CHECK_S and lets go of the
lock on the data. That lock is the kernel's, so it ends with its process, however that ends.
"""

import asyncio
import errno
import fcntl
import os
import secrets
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from media.errors import AtOffset, MediaError

WritePieces = Callable[[int, Sequence[bytes | memoryview], int], int]
"""As os.pwritev: write pieces to a descriptor from an offset, and say how many bytes were written."""
TURN_CHECK_S = 0.2
"""How often a request looks whether a newer one has come."""
_LOCK_POLL_S = 0.02
_LOCK_WAIT_S = 2.0
_PRIVATE = 0o600
_HELD_DIGITS = 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Spool:
    """The spool files of a folder. When less than `keep_free` bytes of its disk are free, it takes no more."""

    def __init__(self, folder: Path, keep_free: int, write: WritePieces = os.pwritev) -> None:
        self.folder = folder
        self._keep_free = keep_free
        self._write = write
        folder.mkdir(parents=True, exist_ok=True)

    def data(self, upload: uuid.UUID) -> Path:
        """Where the bytes of an upload are."""
        return self.folder / f"{upload.hex}.data"

    def create(self, upload: uuid.UUID, expected: int) -> None:
        """Make the files of an upload of which `expected` bytes will come. Raises MediaError `storage_full`."""
        with full_disk_told():
            self.check_room(expected)
            for path in (self._held(upload), self.data(upload)):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, _PRIVATE))
            self.sync()

    def check_room(self, expected: int) -> None:
        """Raises MediaError `storage_full` when the disk has no room for `expected` bytes."""
        free = shutil.disk_usage(self.folder).free - self._keep_free
        if free < expected:
            raise MediaError("storage_full", f"{expected} bytes to come, room for {max(free, 0)}")

    def held(self, upload: uuid.UUID) -> int:
        """How many bytes of an upload are on disk and count. Raises MediaError `upload_gone`."""
        try:
            return int(self._held(upload).read_bytes() or 0)
        except FileNotFoundError as error:
            raise _gone(upload) from error

    def drop(self, upload: uuid.UUID) -> None:
        """Remove the files of an upload, if there are any."""
        for path in (self.data(upload), self._held(upload), self._turn(upload)):
            path.unlink(missing_ok=True)

    def leftovers(self, before_s: float) -> Iterator[uuid.UUID]:
        """The uploads with files that were last written before `before_s` (s since 1970)."""
        for path in self.folder.glob("*.data"):
            with suppress(FileNotFoundError, ValueError):
                if path.stat().st_mtime < before_s:
                    yield uuid.UUID(path.stem)

    def sync(self) -> None:
        """Bring the folder's entries to disk."""
        sync_folder(self.folder)

    @asynccontextmanager
    async def turn(self, upload: uuid.UUID) -> AsyncIterator["Turn"]:
        """The right to write an upload's bytes, taken from any older request of any process.

        Raises MediaError `upload_gone`, AtOffset `upload_superseded` (a newer request came in between), and
        MediaError `upload_busy` when the older one does not let go.
        """
        token = secrets.token_bytes(16)
        self.held(upload)
        # Not atomic, and need not be: whoever reads half of it sees rightly that it is not the newest.
        self._turn(upload).write_bytes(token)
        turn = await self._acquired(upload, token)
        try:
            yield turn
        finally:
            turn.close()

    def idle_turn(self, upload: uuid.UUID) -> "Turn | None":
        """The right to an upload that no request works on; None where one does. Raises MediaError `upload_gone`."""
        return self._locked(upload, secrets.token_bytes(16))

    async def _acquired(self, upload: uuid.UUID, token: bytes) -> "Turn":
        until = time.monotonic() + _LOCK_WAIT_S
        while (turn := self._locked(upload, token)) is None:
            if not self._is_newest(upload, token):
                raise AtOffset("upload_superseded", "a newer request for this upload has come", self.held(upload))
            if time.monotonic() > until:
                raise MediaError("upload_busy", "an older request for this upload does not end")
            await asyncio.sleep(_LOCK_POLL_S)
        return turn

    def _locked(self, upload: uuid.UUID, token: bytes) -> "Turn | None":
        try:
            data = os.open(self.data(upload), os.O_RDWR)
        except FileNotFoundError as error:
            raise _gone(upload) from error
        try:
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(data).st_nlink == 0:
                raise _gone(upload)
            return Turn(self, upload, data, os.open(self._held(upload), os.O_RDWR), token, self._write)
        except BlockingIOError:
            os.close(data)
            return None
        except FileNotFoundError as error:
            os.close(data)
            raise _gone(upload) from error
        except BaseException:
            os.close(data)
            raise

    def superseded(self, upload: uuid.UUID, token: bytes) -> bool:
        """Whether a newer request than that of `token` has come."""
        try:
            return not self._is_newest(upload, token)
        except FileNotFoundError:
            return True

    def _is_newest(self, upload: uuid.UUID, token: bytes) -> bool:
        return self._turn(upload).read_bytes() == token

    def _held(self, upload: uuid.UUID) -> Path:
        return self.folder / f"{upload.hex}.held"

    def _turn(self, upload: uuid.UUID) -> Path:
        return self.folder / f"{upload.hex}.turn"


class Turn:
    """The one right to write an upload's bytes. Its methods block and are meant for a thread.

    `held` bytes count; `end` is where the next one goes.
    """

    def __init__(
        self, spool: Spool, upload: uuid.UUID, data: int, record: int, token: bytes, write: WritePieces
    ) -> None:
        self.upload = upload
        self.data = data
        self._spool = spool
        self._record = record
        self._token = token
        self._write = write
        self.held = self.end = int(os.pread(record, _HELD_DIGITS, 0) or 0)

    def superseded(self) -> bool:
        """Whether a newer request has come."""
        return self._spool.superseded(self.upload, self._token)

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write on, not yet durably. Raises MediaError `storage_full`, then `end` says what was written."""
        rest: list[bytes | memoryview] = list(pieces)
        with full_disk_told():
            while rest:
                written = self._write(self.data, rest, self.end)
                self.end += written
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if rest and written:
                    rest[0] = memoryview(rest[0])[written:]

    def keep(self, until: int) -> None:
        """Bring all bytes to disk, then note that those before `until` count. Raises MediaError `storage_full`."""
        with full_disk_told():
            os.fdatasync(self.data)
            os.pwrite(self._record, f"{until:0{_HELD_DIGITS}}".encode(), 0)
            os.fdatasync(self._record)
        self.held = until

    def trim(self) -> None:
        """Cut off, durably, what does not count. Raises MediaError `storage_full`."""
        if os.fstat(self.data).st_size != self.held:
            with full_disk_told():
                os.ftruncate(self.data, self.held)
                os.fsync(self.data)

    def close(self) -> None:
        """Let go. Bytes that do not count are overwritten by the next turn."""
        os.close(self._record)
        os.close(self.data)


@contextmanager
def full_disk_told() -> Iterator[None]:
    """A full disk becomes MediaError `storage_full`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise MediaError("storage_full", "the disk of uploads is full") from error
        raise


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _gone(upload: uuid.UUID) -> MediaError:
    return MediaError("upload_gone", f"upload {upload} has no bytes here any more")
