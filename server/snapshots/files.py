"""The folder of snapshots: contents, what is said of each, and locks between processes.

Everything here can be made again from the database: files are renamed into place and never synced to disk, and a
device checks each block.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import msgspec

from sync.messages import SnapshotBlock
from sync.snapshot import Moment, SnapshotKey

_ID = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}\Z")
_ABOUT, _CONTENT, _LOCK, _UNFINISHED = ".json", ".zst", ".lock", ".part"


class KeptSnapshot(msgspec.Struct, frozen=True):
    """A snapshot: what it is of, as of when, and when that was by the clock."""

    id: str
    key: SnapshotKey
    made: Moment
    made_ms: int
    blocks: list[SnapshotBlock]
    apart: list[UUID]

    @property
    def records(self) -> int:
        """How many records it holds."""
        return sum(block.records for block in self.blocks) + len(self.apart)


class Draft:
    """A snapshot being written."""

    def __init__(self, digest: str, file: BinaryIO) -> None:
        self.digest = digest
        self._file = file
        self.blocks: list[SnapshotBlock] = []
        self.apart: list[UUID] = []

    def add(self, block: bytes, records: int) -> None:
        """Write the next block."""
        self._file.write(block)
        self.blocks.append(SnapshotBlock(len(block), records, hashlib.sha256(block).hexdigest()))

    def finished(self, key: SnapshotKey, made: Moment, made_ms: int) -> KeptSnapshot:
        """What is to be said of it; its id follows from its content."""
        self._file.flush()
        content = hashlib.sha256("".join(block.sha256 for block in self.blocks).encode()).hexdigest()
        return KeptSnapshot(f"{self.digest}-{content[:16]}", key, made, made_ms, self.blocks, self.apart)


class SnapshotFiles:
    """The snapshots in `folder`, which this machine's processes share; `digest` names what one is of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self, digest: str) -> KeptSnapshot | None:
        """The snapshot of `digest` that was made last."""
        found = [self._read(path) for path in self._folder.glob(f"{digest}-*{_ABOUT}")]
        return max((one for one in found if one is not None), key=lambda one: one.made_ms, default=None)

    def get(self, snapshot: str) -> KeptSnapshot | None:
        """The snapshot of this id, if it is still here."""
        return self._read(self._folder / (snapshot + _ABOUT)) if _ID.match(snapshot) else None

    def open(self, snapshot: str) -> BinaryIO:
        """The content, which counts as a use. Raises FileNotFoundError."""
        content = self._folder / (snapshot + _CONTENT)
        os.utime(content)
        return content.open("rb")

    @contextmanager
    def writing(self, digest: str) -> Iterator[Draft]:
        """A draft of a new snapshot; what is not `keep`t is gone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / (digest + _UNFINISHED)
        try:
            with path.open("wb") as file:
                yield Draft(digest, file)
        finally:
            path.unlink(missing_ok=True)

    def keep(self, draft: Draft, kept: KeptSnapshot) -> None:
        """Put the draft into its place, from within `writing`."""
        unfinished = self._folder / (draft.digest + _UNFINISHED)
        unfinished.rename(self._folder / (kept.id + _CONTENT))
        unfinished.write_bytes(msgspec.json.encode(kept))
        unfinished.rename(self._folder / (kept.id + _ABOUT))

    @contextmanager
    def alone(self, digest: str) -> Iterator[bool]:
        """Whether no other process makes the snapshot of `digest`, to the end of the context or of the process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / (digest + _LOCK)).open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def drop_unused(self, now_s: float, superseded_s: float, newest_s: float) -> int:
        """Remove snapshots not used for so long, sooner where a newer one is there; how many."""
        dropped = 0
        for about in sorted(self._folder.glob("*" + _ABOUT)):
            kept = self._read(about)
            newest = kept is not None and self.newest(kept.id.partition("-")[0]) == kept
            content = about.with_suffix(_CONTENT)
            used_s = content.stat().st_mtime if content.exists() else 0.0
            if kept is None or now_s - used_s > (newest_s if newest else superseded_s):
                about.unlink(missing_ok=True)
                content.unlink(missing_ok=True)
                dropped += 1
        return dropped

    def _read(self, about: Path) -> KeptSnapshot | None:
        try:
            return msgspec.json.decode(about.read_bytes(), type=KeptSnapshot)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
