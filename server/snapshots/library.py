"""The snapshots that this server gives: made when first asked for, made anew when much has changed since."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import structlog

from field_schemas.registry import Registry
from field_schemas.scopes import feed_key
from server.snapshots.files import KeptSnapshot, SnapshotFiles
from sync.authority import Actor
from sync.clock import Milliseconds
from sync.errors import SyncError
from sync.messages import Snapshot, SnapshotRequest, SnapshotResponse
from sync.snapshot import (
    SnapshotKey,
    cursor_behind,
    cuts,
    encode_block,
    is_current,
    is_of_use,
    key_of,
    may_read,
    moment_of,
)
from sync.storage import ReadTransaction, Store

_WAIT_S = 20.0
"""How long a device waits for one answer; phones and proxies give up after 30 s."""
_POLL_S = 0.3
_FEW_CHANGES = 1_000
_PART_CHANGED = 10
"""A snapshot is made anew when more than one in so many of its records has changed, and more than a few."""
_SUPERSEDED_S = 86_400.0
"""A device that began with a snapshot has a day from its last request to go on, after a newer one is there."""
_UNUSED_S = 7 * 86_400.0
_CHUNK = 262_144
_PAUSE_S = 60.0
"""How long a snapshot that could not be made is not tried again."""
_OTHER_PROGRAMS = 8
"""Snapshots for readers of one area and role who know other types than this program: their devices choose these."""

_log = structlog.get_logger(__name__)


class Snapshots:
    """Gives readers the snapshots they may have. One is made at a time, so that memory and load stay bounded."""

    def __init__(
        self, store: Store, registry: Registry, files: SnapshotFiles, now_ms: Milliseconds, snapshot_from: int
    ) -> None:
        self._store = store
        self._registry = registry
        self._files = files
        self._now_ms = now_ms
        self._snapshot_from = snapshot_from
        self._making: dict[SnapshotKey, asyncio.Task[None]] = {}
        self._failed_s: dict[SnapshotKey, float] = {}
        self._one_at_a_time = asyncio.Semaphore(1)

    async def stop(self) -> None:
        """Leave unfinished what is being made."""
        tasks = [*self._making.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, reader: Actor, request: SnapshotRequest) -> Callable[[], Awaitable[SnapshotResponse]]:
        """What gives the newest snapshot for `reader`, after a while where it is being made; none if that takes long.

        Raises SyncError at once: `scope_denied` for what no pull offers, and for too many kinds of old programs;
        `not_found` where it could not be made a moment ago.
        """
        async with self._store.reading() as tx:
            key = await key_of(tx, self._registry, reader, request, self._now_ms(), self._snapshot_from)
            digest = key.digest(self._registry)
            kept = await _of_use(tx, self._files.newest(digest))
            outdated = kept is None or await _has_grown(tx, kept)
        failed = self._has_failed(key)
        if failed and kept is None:
            raise SyncError("not_found", f"a snapshot of {key.view} could not be made")
        making = self._make(digest, key) if outdated and not failed else None

        async def give() -> SnapshotResponse:
            found = kept
            if found is None and making is not None:
                await asyncio.wait([making], timeout=_WAIT_S)
                found = self._files.newest(digest)
            if found is None:
                return SnapshotResponse()
            cursor = cursor_behind(found.key, found.made, reader, request, self._now_ms())
            return SnapshotResponse(Snapshot(found.id, cursor, found.blocks, found.apart, found.key.epoch))

        return give

    async def find(self, reader: Actor, snapshot: str) -> KeptSnapshot:
        """The snapshot of this id. Raises SyncError `not_found`, and `scope_denied` to readers of other roles."""
        kept = self._files.get(snapshot)
        # What the readers' roles may read can have been narrowed since, field by field.
        if kept is None or not snapshot.startswith(kept.key.digest(self._registry)):
            raise SyncError("not_found", f"there is no snapshot {snapshot} any more")
        async with self._store.reading() as tx:
            if not await may_read(tx, kept.key, reader, self._now_ms()):
                raise SyncError("scope_denied", "the snapshot was made for readers of other roles")
        return kept

    async def content(self, snapshot: str, start: int) -> AsyncIterator[bytes]:
        """The content from byte `start` on, in pieces. Raises SyncError `not_found`."""
        try:
            file = self._files.open(snapshot)
        except FileNotFoundError as error:
            raise SyncError("not_found", f"there is no snapshot {snapshot} any more") from error

        async def pieces() -> AsyncIterator[bytes]:
            with file:
                file.seek(start)
                while piece := await asyncio.to_thread(file.read, _CHUNK):
                    yield piece

        return pieces()

    def drop_unused(self) -> int:
        """Remove what nobody has asked for in a while; how many."""
        return self._files.drop_unused(time.time(), _SUPERSEDED_S, _UNUSED_S)

    def _make(self, digest: str, key: SnapshotKey) -> asyncio.Task[None]:
        task = self._making.get(key)
        if task is None:
            self._check_room(key)
            task = self._making[key] = asyncio.create_task(self._made(digest, key))
            task.add_done_callback(lambda _: self._making.pop(key))
        return task

    def _check_room(self, key: SnapshotKey) -> None:
        if is_current(self._registry, key):
            return
        there = {one for one in (*self._files.keys(), *self._making, *self._failed_s) if _differ_in_types(one, key)}
        others = [one for one in there if not is_current(self._registry, one)]
        if len(others) >= _OTHER_PROGRAMS:
            raise SyncError("scope_denied", f"there are snapshots of {key.view} for enough kinds of programs")

    async def _made(self, digest: str, key: SnapshotKey) -> None:
        """Make the snapshot, or wait until another process has."""
        before = self._files.newest(digest)
        try:
            async with self._one_at_a_time:
                mine = False
                while not mine:
                    with self._files.alone(digest) as mine:
                        if mine and self._files.newest(digest) == before:
                            await self._write(digest, key)
                    if not mine:
                        await asyncio.sleep(_POLL_S)
        except Exception as error:
            # Nobody waits for this task's result; devices that ask again go by pages.
            self._failed_s[key] = time.monotonic()
            _log.error("snapshot_failed", view=key.view, exc_info=error)

    def _has_failed(self, key: SnapshotKey) -> bool:
        """Whether the snapshot could not be made a moment ago."""
        since_s = time.monotonic() - _PAUSE_S
        self._failed_s = {one: failed_s for one, failed_s in self._failed_s.items() if failed_s > since_s}
        return key in self._failed_s

    async def _write(self, digest: str, key: SnapshotKey) -> None:
        began = time.monotonic()
        async with self._store.reading() as tx:
            made = await moment_of(tx)
            with self._files.writing(digest) as draft:
                async for cut in cuts(tx, self._registry, key, self._now_ms()):
                    draft.apart += cut.apart
                    if cut.records:
                        draft.add(await asyncio.to_thread(encode_block, cut.records), len(cut.records))
                kept = draft.finished(key, made)
                self._files.keep(draft, kept)
        seconds = round(time.monotonic() - began, 1)
        _log.info("snapshot_made", view=key.view, records=kept.records, blocks=len(kept.blocks), seconds=seconds)


def _differ_in_types(one: SnapshotKey, other: SnapshotKey) -> bool:
    """Whether two snapshots are of the same but for the types that their readers know."""
    return one.types != other.types and msgspec.structs.replace(one, types=other.types) == other


async def _of_use(tx: ReadTransaction, kept: KeptSnapshot | None) -> KeptSnapshot | None:
    return kept if kept is not None and await is_of_use(tx, kept.made) else None


async def _has_grown(tx: ReadTransaction, kept: KeptSnapshot) -> bool:
    many = max(_FEW_CHANGES, kept.records // _PART_CHANGED)
    return await tx.feed_holds(feed_key(kept.key.view), kept.made.position, many)
