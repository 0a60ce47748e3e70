"""The folder of snapshots: contents, what is said of each, and locks between processes.

Everything here can be made again from the database: files are renamed into place and never synced to disk, and a
device checks each block.
"""

import fcntl
import hashlib
import os
import re
import time
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
_KEPT_OF_ONE = 3
"""The newest snapshot of a kind, and older ones that devices may still be loading."""
_TICK_NS = 1_000_000_000


class KeptSnapshot(msgspec.Struct, frozen=True):
    """A snapshot: what it is of, and as of when."""

    id: str
    key: SnapshotKey
    made: Moment
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

    def finished(self, key: SnapshotKey, made: Moment) -> KeptSnapshot:
        """What is to be said of it; its id follows from its content."""
        self._file.flush()
        content = hashlib.sha256("".join(block.sha256 for block in self.blocks).encode()).hexdigest()
        return KeptSnapshot(f"{self.digest}-{content[:16]}", key, made, self.blocks, self.apart)


class SnapshotFiles:
    """The snapshots in `folder`, which this machine's processes share; `digest` names what one is of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: dict[str, KeptSnapshot] = {}
        self._indexed_ns = 0

    def newest(self, digest: str) -> KeptSnapshot | None:
        """The snapshot of `digest` that goes furthest; clocks may have been set back."""
        return max(self._of(digest), key=lambda one: one.made, default=None)

    def get(self, snapshot: str) -> KeptSnapshot | None:
        """The snapshot of this id, if it is still here."""
        return self._all().get(snapshot)

    def keys(self) -> set[SnapshotKey]:
        """What there are snapshots of."""
        return {one.key for one in self._all().values()}

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
        there = sorted(self._of(draft.digest), key=lambda one: one.made)
        # What claims to be newer is of contents that were set back since.
        ahead = [one for one in there if one.made > kept.made]
        for gone in (*there[:-_KEPT_OF_ONE], *ahead):
            self._drop(gone.id)

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
        for snapshot in sorted(path.stem for path in self._folder.glob("*" + _ABOUT)):
            kept, content = self.get(snapshot), self._folder / (snapshot + _CONTENT)
            newest = kept is not None and self.newest(snapshot.partition("-")[0]) == kept
            used_s = content.stat().st_mtime if content.exists() else 0.0
            if kept is None or now_s - used_s > (newest_s if newest else superseded_s):
                self._drop(snapshot)
                dropped += 1
        self._drop_remains()
        return dropped

    def _drop_remains(self) -> None:
        """Remove what a process that was killed has left half done."""
        for path in [*self._folder.glob("*" + _UNFINISHED), *self._folder.glob("*" + _CONTENT)]:
            with self.alone(path.stem.partition("-")[0]) as unused:
                if unused and not path.with_suffix(_ABOUT).exists():
                    path.unlink(missing_ok=True)

    def _drop(self, snapshot: str) -> None:
        for suffix in (_ABOUT, _CONTENT):
            (self._folder / (snapshot + suffix)).unlink(missing_ok=True)

    def _of(self, digest: str) -> list[KeptSnapshot]:
        return [one for snapshot, one in self._all().items() if snapshot.startswith(digest + "-")]

    def _all(self) -> dict[str, KeptSnapshot]:
        """All snapshots by id; the folder is read again only where another process or this one has changed it."""
        try:
            changed_ns = self._folder.stat().st_mtime_ns
            if changed_ns != self._indexed_ns:
                found = {path.stem: path for path in self._folder.glob("*" + _ABOUT) if _ID.match(path.stem)}
                read = {one: self._index.get(one) or _read(path) for one, path in found.items()}
                self._index = {one: kept for one, kept in read.items() if kept is not None}
                # A later change within the same tick of the clock leaves the folder's time as it is.
                settled = time.time_ns() - changed_ns > _TICK_NS
                self._indexed_ns = changed_ns if settled else 0
        except OSError:
            self._index, self._indexed_ns = {}, 0
        return self._index


def _read(about: Path) -> KeptSnapshot | None:
    try:
        return msgspec.json.decode(about.read_bytes(), type=KeptSnapshot)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
