"""The right to write an upload's bytes: writing them, and bringing them to disk with the note that they count."""

import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, wait
from contextlib import contextmanager

import msgspec

from media.errors import MediaError
from media.held import Note, Record, certain

WritePieces = Callable[[int, Sequence[bytes | memoryview], int], int]
"""As os.pwritev: write pieces to a descriptor from an offset, and say how many bytes were written."""
_READ = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Files(msgspec.Struct, frozen=True):
    """Open files of an upload: its bytes, and the notes how many count."""

    data: int
    held: int


class Turn:
    """The one right to write an upload's bytes. Its methods block and are meant for a thread.

    `held` bytes count; `end` is where the next one goes. Unless it is `settled`, `settle` comes first. `superseded`
    says whether a newer request has come.
    """

    def __init__(
        self, upload: uuid.UUID, files: Files, superseded: Callable[[], bool], syncing: Executor, write: WritePieces
    ) -> None:
        self.upload = upload
        self.data = files.data
        self.superseded = superseded
        self._files = files
        self._record = Record(files.held)
        self._syncing = syncing
        self._write = write
        self.settled = self._record.notes[0].proof is None
        self.held = self.end = certain(self._record.notes)

    def settle(self) -> None:
        """Find out what counts where a process or the power ended while bytes and their note went to disk."""
        true = next((note for note in self._record.notes if self._is_true(note)), Note(0))
        os.fdatasync(self.data)
        self._record.settle(true)
        self._record.sync()
        self.settled, self.held = True, true.held
        self.end = true.held

    def _is_true(self, note: Note) -> bool:
        return note.proof is None or self.digest(note.proof.partition(":")[0], note.held) == note.proof

    def digest(self, algorithm: str, size: int) -> str:
        """The digest of the first `size` bytes, as records name media."""
        running = hashlib.new(algorithm)
        for start in range(0, size, _READ):
            running.update(os.pread(self.data, min(_READ, size - start), start))
        return f"{algorithm}:{running.hexdigest()}"

    def append(self, pieces: Sequence[bytes]) -> None:
        """Write on, not yet durably. Raises MediaError `storage_full`, then `end` says what was written."""
        rest: list[bytes | memoryview] = list(pieces)
        began = self.end
        with full_disk_told():
            while rest:
                written = self._write(self.data, rest, self.end)
                self.end += written
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if rest and written:
                    rest[0] = memoryview(rest[0])[written:]
        if self.end > began:
            # The disk begins to write them now, not when it is waited for.
            os.posix_fadvise(self.data, began, self.end - began, os.POSIX_FADV_DONTNEED)

    def keep(self, until: int, proof: str | None) -> None:
        """Bring all bytes to disk and the note that those before `until` count.

        Both at once where `proof`, the digest of these, is known; otherwise the note after the bytes. Raises
        MediaError `storage_full`.
        """
        with full_disk_told():
            if proof is None:
                os.fdatasync(self.data)
                self._record.add(Note(until))
                self._record.sync()
            else:
                self._record.add(Note(until, proof))
                self._sync_both()
                self._record.settle(Note(until))
        self.held = until

    def _sync_both(self) -> None:
        noted = self._syncing.submit(self._record.sync)
        try:
            os.fdatasync(self.data)
            noted.result()
        except BaseException:
            # What could not be brought to disk may be found in memory later on, and would seem proved.
            wait([noted])
            self._record.settle(Note(self.held))
            raise

    def trim(self) -> None:
        """Cut off, durably, what does not count. Raises MediaError `storage_full`."""
        if os.fstat(self.data).st_size != self.held:
            with full_disk_told():
                os.ftruncate(self.data, self.held)
                os.fsync(self.data)

    def close(self) -> None:
        """Let go. Bytes that do not count are overwritten by the next turn."""
        os.close(self._files.held)
        if os.fstat(self.data).st_nlink:
            os.close(self.data)
        else:
            # With its last name gone, closing frees the file's place on the disk, which takes a while.
            self._syncing.submit(os.close, self.data)


@contextmanager
def full_disk_told() -> Iterator[None]:
    """A full disk becomes MediaError `storage_full`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise MediaError("storage_full", "the disk of uploads is full") from error
        raise
