"""Spool files: the bytes of unfinished uploads, on a disk that the server processes of one machine share.

An upload has three files. `<id>.data` holds the bytes, and perhaps some that nobody vouched for after them;
`<id>.held` says how many count (media.held). `<id>.turn` names the request that may write: whoever comes later puts
its own name there, the one before sees that within TURN_CHECK_S and lets go of the lock on the data. That lock is
the kernel's, so it ends with its process, however that ends.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from media.errors import AtOffset, MediaError
from media.held import Note, Record, certain
from media.turns import Files, Turn, WritePieces, full_disk_told

TURN_CHECK_S = 0.2
"""How often a request looks whether a newer one has come."""
_LOCK_POLL_S = 0.02
_LOCK_WAIT_S = 2.0
_PRIVATE = 0o600
_PIECE = 1024 * 1024
_SYNCING_THREADS = 4


class Spool:
    """The spool files of a folder. When less than `keep_free` bytes of its disk are free, it takes no more."""

    def __init__(self, folder: Path, keep_free: int, write: WritePieces = os.pwritev) -> None:
        self.folder = folder
        self._keep_free = keep_free
        self._write = write
        self._syncing = ThreadPoolExecutor(_SYNCING_THREADS, thread_name_prefix="spool")
        folder.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Wait for what the threads still do."""
        self._syncing.shutdown()

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

    def _write_in_room(self, descriptor: int, pieces: Sequence[bytes | memoryview], offset: int) -> int:
        # What was announced says little: sizes may be left out, and others have been writing since.
        self.check_room(sum(map(len, pieces)))
        return self._write(descriptor, pieces, offset)

    def held(self, upload: uuid.UUID) -> int:
        """How many bytes of an upload are on disk and count. Blocks. Raises MediaError `upload_gone`."""
        notes = self._notes(upload)
        if notes[0].proof is not None and (turn := self.idle_turn(upload)) is not None:
            turn.close()
            return turn.held
        return certain(notes)

    def pieces(self, upload: uuid.UUID, size: int) -> Iterator[bytes]:
        """The first `size` bytes of an upload. Raises MediaError `upload_gone` where they are not there any more."""
        try:
            with self.data(upload).open("rb") as file:
                while size and (piece := file.read(min(size, _PIECE))):
                    yield piece
                    size -= len(piece)
        except FileNotFoundError as error:
            raise _gone(upload) from error
        if size:
            raise _gone(upload)

    def drop(self, upload: uuid.UUID) -> None:
        """Remove the files of an upload, if there are any."""
        for path in (self.data(upload), self._held(upload), self._turn(upload)):
            path.unlink(missing_ok=True)

    def leftovers(self, before_s: float) -> set[uuid.UUID]:
        """The uploads with files that were last written before `before_s` (s since 1970)."""
        found = set()
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError, ValueError):
                if path.stat().st_mtime < before_s:
                    found.add(uuid.UUID(path.stem))
        return found

    def sync(self) -> None:
        """Bring the folder's entries to disk."""
        sync_folder(self.folder)

    @asynccontextmanager
    async def turn(self, upload: uuid.UUID) -> AsyncIterator[Turn]:
        """The right to write an upload's bytes, taken from any older request of any process.

        Raises MediaError `upload_gone`, AtOffset `upload_superseded` (a newer request came in between), and
        MediaError `upload_busy` when the older one does not let go.
        """
        token = secrets.token_bytes(16)
        self._name(upload, token)
        turn = await self._acquired(upload, token)
        try:
            if not turn.settled:
                await self._settled(turn)
            yield turn
        finally:
            turn.close()

    def idle_turn(self, upload: uuid.UUID) -> Turn | None:
        """The right to an upload that no request works on; None where one does. Raises MediaError `upload_gone`."""
        turn = self._locked(upload, secrets.token_bytes(16))
        if turn is not None and not turn.settled:
            turn.settle()
        return turn

    async def _settled(self, turn: Turn) -> None:
        settling = asyncio.get_running_loop().run_in_executor(self._syncing, turn.settle)
        try:
            await asyncio.shield(settling)
        finally:
            # A thread does not stop because somebody no longer waits for it, and needs the files.
            await asyncio.wait([settling])

    def _name(self, upload: uuid.UUID, token: bytes) -> None:
        """Make the request of `token` the newest. Raises MediaError `upload_gone`."""
        if not self._held(upload).exists():
            raise _gone(upload)
        # Not atomic, and need not be: whoever reads half of it sees rightly that it is not the newest. Not cut off
        # first: what is cut off and written again, the kernel sends to the disk at once.
        file = os.open(self._turn(upload), os.O_CREAT | os.O_WRONLY, _PRIVATE)
        try:
            os.write(file, token)
        finally:
            os.close(file)

    async def _acquired(self, upload: uuid.UUID, token: bytes) -> Turn:
        until = time.monotonic() + _LOCK_WAIT_S
        while (turn := self._locked(upload, token)) is None:
            if not self._is_newest(upload, token):
                held = certain(self._notes(upload))
                raise AtOffset("upload_superseded", "a newer request for this upload has come", held)
            if time.monotonic() > until:
                raise MediaError("upload_busy", "an older request for this upload does not end")
            await asyncio.sleep(_LOCK_POLL_S)
        return turn

    def _locked(self, upload: uuid.UUID, token: bytes) -> Turn | None:
        try:
            data = os.open(self.data(upload), os.O_RDWR)
        except FileNotFoundError as error:
            raise _gone(upload) from error
        try:
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(data).st_nlink == 0:
                raise _gone(upload)
            files = Files(data, os.open(self._held(upload), os.O_RDWR))
            return Turn(upload, files, partial(self.superseded, upload, token), self._syncing, self._write_in_room)
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

    def _notes(self, upload: uuid.UUID) -> list[Note]:
        try:
            file = os.open(self._held(upload), os.O_RDONLY)
        except FileNotFoundError as error:
            raise _gone(upload) from error
        try:
            return Record(file).notes
        finally:
            os.close(file)

    def _held(self, upload: uuid.UUID) -> Path:
        return self.folder / f"{upload.hex}.held"

    def _turn(self, upload: uuid.UUID) -> Path:
        return self.folder / f"{upload.hex}.turn"


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _gone(upload: uuid.UUID) -> MediaError:
    return MediaError("upload_gone", f"upload {upload} has no bytes here any more")
