"""What becomes of uploads and blobs by themselves: uploads expire, and blobs go that nothing has named for long.

Blobs are collected in two steps. First a row is marked, in one statement that looks for references and for the time
of grace; from then on nobody stores or shows that blob. Then its bytes go, then its row. A collection that broke off
is taken up by the next.
"""

import time
import uuid

import msgspec
from sqlalchemy import delete, exists, select, update

from media.errors import MediaError
from media.uploads import State
from server.media.quotas import SMALLEST
from server.media.references import References
from server.media.rows import PARTIAL, StoredUpload, upload_of
from server.media.shelf import Shelf
from server.media.tables import blobs, media_claims, media_references, uploads
from server.media.uploads import Uploads
from server.storage.database import Database
from server.storage.singleton import COLLECT, alone
from sync.clock import DAY_MS, Milliseconds
from sync.storage import ReadTransaction, StoredRecord

_PAGE = 500
_object = msgspec.msgpack.Decoder().decode


class Collection(msgspec.Struct, frozen=True):
    """What a collection removed: unfinished uploads, and blobs with their bytes.

    And how many blobs it `found` in the store that records name and the database did not know.
    """

    uploads: int
    blobs: int
    bytes: int
    found: int


class Upkeep:
    """Keeps the media of a database in order; blobs stay `grace_ms` after the last record that named them."""

    def __init__(
        self,
        database: Database,
        uploads_here: Uploads,
        shelf: Shelf,
        references: References,
        grace_ms: int,
        now_ms: Milliseconds,
    ) -> None:
        self._database = database
        self._uploads = uploads_here
        self._shelf = shelf
        self._references = references
        self._grace_ms = grace_ms
        self._now_ms = now_ms

    async def finish_left(self) -> int:
        """Finish uploads that are whole and were left, because a process ended or the store failed; how many."""
        wanted = select(uploads).where(
            uploads.c.state == State.OPEN,
            uploads.c.length.is_not(None),
            uploads.c.concat.is_(None) | (uploads.c.concat != PARTIAL),
        )
        async with self._database.read_engine.connect() as connection:
            rows = [upload_of(row) for row in await connection.execute(wanted)]
        return sum([await self._uploads.finish_idle(row) for row in rows])

    async def collect(self) -> Collection | None:
        """Let go of what nobody will ask for any more; None while another process does it."""
        async with alone(self._database.engine, COLLECT) as here:
            if not here:
                return None
            ended = await self._expire()
            await self._rescan()
            found = await self._take_up_named()
            await self._mark_idle()
            gone = await self._drop_idle()
            return Collection(ended, len(gone), sum(gone), found)

    async def _expire(self) -> int:
        now = self._now_ms()
        due = select(uploads).where(uploads.c.state == State.OPEN, uploads.c.expires_ms <= now)
        async with self._database.read_engine.connect() as connection:
            rows = [upload_of(row) for row in await connection.execute(due)]
        ended = sum([await self._expire_one(row) for row in rows])
        # Rows of a day count against quotas; after that nothing needs them.
        old = delete(uploads).where(uploads.c.state != State.OPEN, uploads.c.expires_ms <= now - DAY_MS)
        async with self._database.engine.begin() as connection:
            await connection.execute(old)
        await self._drop_strays()
        return ended

    async def _expire_one(self, row: StoredUpload) -> bool:
        """End an upload that was not finished in time; False for one that only waits for the store."""
        spool = self._uploads.receiver.spool
        try:
            held = await self._uploads.receiver.run(spool.held, row.id)
        except MediaError:
            held = 0
        if row.at(held).whole:
            return False
        await self._uploads.receiver.run(spool.drop, row.id)
        ended = {"state": State.ENDED, "reserved": max(held, SMALLEST)}
        async with self._database.engine.begin() as connection:
            await connection.execute(
                update(uploads).where(uploads.c.id == row.id, uploads.c.state == State.OPEN).values(ended)
            )
        return True

    async def _drop_strays(self) -> None:
        """Remove spool files without a row: of creations that broke off, and of finished uploads."""
        spool = self._uploads.receiver.spool
        old = list(spool.leftovers(time.time() - DAY_MS / 1000))
        for start in range(0, len(old), _PAGE):
            page = old[start : start + _PAGE]
            wanted = select(uploads.c.id).where(uploads.c.id.in_(page), uploads.c.state == State.OPEN)
            async with self._database.read_engine.connect() as connection:
                open_ones = set((await connection.execute(wanted)).scalars())
            for stray in set(page) - open_ones:
                await self._uploads.receiver.run(spool.drop, stray)

    async def _rescan(self) -> None:
        """Note what records name now, and whether they moved, whoever wrote them and however; forget what those named
        that are no more."""
        for record_type in self._references.fields:
            async with self._database.store.reading() as tx:
                async for page in tx.scan(record_type):
                    await self._references.note_standing(tx, page)
                    await self._references.look_again([record.id for record in page])
        await self._forget_records()

    async def _forget_records(self) -> None:
        """Forget what records name that are deleted, or were never made and nobody can make any more."""
        # A push that is being decided has noted what it names already.
        settled = media_references.c.noted_ms <= self._now_ms() - DAY_MS
        last = uuid.UUID(int=0)
        while True:
            wanted = select(media_references.c.record).where(media_references.c.record > last, settled).distinct()
            async with self._database.read_engine.connect() as connection:
                page = list(
                    (await connection.execute(wanted.order_by(media_references.c.record).limit(_PAGE))).scalars()
                )
            if not page:
                return
            async with self._database.store.reading() as tx:
                records = await tx.records(page)
                gone = [key for key in page if await _is_gone(tx, key, records.get(key))]
            async with self._database.engine.begin() as connection:
                await connection.execute(delete(media_references).where(media_references.c.record.in_(gone)))
            last = page[-1]

    async def _take_up_named(self) -> int:
        """Find what records name in the store, where the database was set back and knows nothing of it; how many."""
        here = exists().where(blobs.c.digest == media_references.c.digest, blobs.c.stored_ms.is_not(None))
        awaited = select(media_references.c.digest).where(~here).distinct().order_by(media_references.c.digest)
        found, last = 0, ""
        while True:
            async with self._database.read_engine.connect() as connection:
                page = (
                    await connection.execute(awaited.where(media_references.c.digest > last).limit(_PAGE))
                ).scalars()
                digests = list(page)
            if not digests:
                return found
            found += sum([await self._shelf.take_up(digest) is not None for digest in digests])
            last = digests[-1]

    async def _mark_idle(self) -> None:
        """Begin or end the time of grace of each blob, by whether anything names it."""
        async with self._database.engine.begin() as connection:
            await connection.execute(
                update(blobs).where(blobs.c.idle_since_ms.is_not(None), _NAMED).values(idle_since_ms=None)
            )
            await connection.execute(
                update(blobs).where(blobs.c.idle_since_ms.is_(None), ~_NAMED).values(idle_since_ms=self._now_ms())
            )

    async def _drop_idle(self) -> list[int]:
        """Remove the blobs whose time of grace is over; their sizes."""
        idle = (blobs.c.idle_since_ms <= self._now_ms() - self._grace_ms, ~_NAMED)
        async with self._database.engine.begin() as connection:
            await connection.execute(update(blobs).where(*idle).values(collecting=True))
            marked = await connection.execute(select(blobs.c.digest, blobs.c.size).where(blobs.c.collecting))
            gone = [(row.digest, row.size) for row in marked]
        for digest, _ in gone:
            await self._shelf.bytes_of.drop(digest)
            async with self._database.engine.begin() as connection:
                await connection.execute(delete(media_claims).where(media_claims.c.digest == digest))
                await connection.execute(delete(blobs).where(blobs.c.digest == digest))
        return [size for _, size in gone]


_NAMED = exists().where(media_references.c.digest == blobs.c.digest)


async def _is_gone(tx: ReadTransaction, key: uuid.UUID, record: StoredRecord | None) -> bool:
    """Whether a record is no more, and will not be: a refusal that is still open may yet be applied."""
    if record is not None:
        return record.deleted
    refusals = [change.attention for change in await tx.history(key) if change.attention is not None]
    return not any(_object(one.fields)["state"] == "open" for one in (await tx.records(refusals)).values())
