"""How many bytes of an upload count: two notes in a small file, written by turns, so that one is always whole.

A note comes to disk at the same time as the bytes it counts, so that the disk is waited for once, not twice. When
the power fails it may be there without them; so it names their digest, and is believed only after a look at them.
Once both are known to be on disk, the note says so.
"""

import os
import zlib
from collections.abc import Iterable

import msgspec

_PLACES = (0, 256)
"""Where the notes begin: both lie in one sector of a disk."""
_LONGEST = 256
_NO_PROOF = "-"


class Note(msgspec.Struct, frozen=True):
    """`held` bytes count: if they have the digest `proof`, as records name it; None: they are on disk for certain."""

    held: int
    proof: str | None = None


class Record:
    """The notes in the open file `descriptor`. Its methods block, and only who may write the bytes may call them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._notes = [_read(os.pread(descriptor, _LONGEST, place)) for place in _PLACES]

    @property
    def notes(self) -> list[Note]:
        """Both, the one of more bytes first."""
        return [self._notes[place] for place in reversed(self._order())]

    def add(self, note: Note) -> None:
        """Note more bytes. What was noted before stays until more are noted."""
        self._put(self._order()[0], note)

    def settle(self, note: Note) -> None:
        """`note`, one of the two, is true, and its bytes are on disk; what the newest says no longer counts."""
        self._put(self._order()[1], Note(note.held))

    def sync(self) -> None:
        """Bring the notes to disk."""
        os.fdatasync(self._descriptor)

    def _order(self) -> list[int]:
        return sorted(
            range(len(_PLACES)), key=lambda place: (self._notes[place].held, self._notes[place].proof is None)
        )

    def _put(self, place: int, note: Note) -> None:
        os.pwrite(self._descriptor, _written(note), _PLACES[place])
        self._notes[place] = note


def certain(notes: Iterable[Note]) -> int:
    """How many bytes count by those of the notes that need no proof."""
    return max((note.held for note in notes if note.proof is None), default=0)


def _written(note: Note) -> bytes:
    said = f"{note.held:020} {note.proof or _NO_PROOF}"
    return f"{said} {zlib.crc32(said.encode()):08x}\n".encode()


def _read(written: bytes) -> Note:
    """A note; one of no bytes where there is none, or half of one."""
    said, _, check = written.partition(b"\n")[0].rpartition(b" ")
    if f"{zlib.crc32(said):08x}".encode() != check:
        return Note(0)
    held, proof = said.decode().split(" ")
    return Note(int(held), None if proof == _NO_PROOF else proof)
