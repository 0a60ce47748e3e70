"""Whole uploads become blobs, each stored once however often it is sent.

Bytes and rows live in two places, so the order matters: first the row, which nobody collects while it is fresh,
then the bytes, then the row says that they are there. Work that broke off in between is simply done again.

The store tells of itself: blobs bear their digest, and beside each lies who has shown to hold it. So a database that
was set back to a backup gets both again, when somebody asks for the blob.
"""

import asyncio
import hashlib
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from field_schemas.media import MediaType, is_digest
from media.blobs import Blobs
from media.content import HEAD_BYTES, kind_of
from media.errors import MediaError
from server.media.tables import blobs, media_claims
from server.storage.database import Database
from server.storage.upsert import upsert
from sync.clock import Milliseconds


class Blob(msgspec.Struct, frozen=True):
    """A blob: `size` in bytes, and its type by content."""

    digest: str
    size: int
    media_type: MediaType


class Claim(msgspec.Struct, frozen=True):
    """That `user` has shown to hold the bytes, having `sent` them or being allowed to read them."""

    digest: str
    user: str
    device: uuid.UUID
    claimed_ms: int
    sent: bool


class Shelf:
    """The blobs of a server: their rows in the database, their bytes in `bytes_of`."""

    def __init__(self, database: Database, bytes_of: Blobs, now_ms: Milliseconds) -> None:
        self.bytes_of = bytes_of
        self._database = database
        self._now_ms = now_ms

    async def store(self, blob: Blob, file: Path, claim: Claim) -> bool:
        """Put the bytes of the durable `file` in the store, and whose they are; rows are to say so afterwards.

        False when a blob of that digest is just being removed: try again later. Raises Unavailable, MediaError
        `storage_full`.
        """
        async with self._database.engine.begin() as connection:
            if not await self._announce(connection, blob):
                return False
        # These bytes are known to be whole and their sender gives them up; what lies in the store may be damaged.
        await asyncio.gather(self.bytes_of.put(blob.digest, file, blob.media_type), self._keep(claim))
        return True

    async def find(self, digest: str) -> Blob | None:
        """The blob, if it is here; one that the database has forgotten is taken up. Raises Unavailable."""
        if not is_digest(digest):
            return None
        async with self._database.read_engine.connect() as connection:
            blob = await stored_blob(connection, digest)
        return blob or await self.take_up(digest)

    async def take_up(self, digest: str) -> Blob | None:
        """A blob that lies in the store and has no row: gives it one, and its claims. None where there is none that
        is whole. Raises Unavailable."""
        blob = await self._lying(digest)
        if blob is None:
            return None
        claims = [msgspec.json.decode(kept, type=Claim) for kept in await self.bytes_of.claims(digest)]
        async with self._database.engine.begin() as connection:
            if not await self._announce(connection, blob):
                return None
            await note_stored(connection, digest, self._now_ms())
            for made in claims:
                await note_claim(connection, made)
        return blob

    async def is_whole(self, digest: str, size: int) -> bool:
        """Whether the blob in the store is what its digest says; all of it is read.

        Raises MediaError `media_unknown`, Unavailable.
        """
        algorithm, _, expected = digest.partition(":")
        running = hashlib.new(algorithm)
        async for piece in await self.bytes_of.read(digest, 0, size):
            await asyncio.to_thread(running.update, piece)
        return running.hexdigest() == expected

    async def vouch(self, claim: Claim) -> None:
        """Note that a user holds the bytes, where that is not known yet. Raises Unavailable."""
        this = (media_claims.c.digest == claim.digest, media_claims.c.user == claim.user)
        async with self._database.read_engine.connect() as connection:
            if (await connection.execute(select(exists().where(*this)))).scalar_one():
                return
        await self._keep(claim)
        async with self._database.engine.begin() as connection:
            await note_claim(connection, claim)

    async def sender(self, digest: str) -> str:
        """Who sent the bytes first; "" where nobody is known to have."""
        sent = select(media_claims.c.user).where(media_claims.c.digest == digest, media_claims.c.sent)
        first = sent.order_by(media_claims.c.claimed_ms, media_claims.c.user).limit(1)
        async with self._database.read_engine.connect() as connection:
            return (await connection.execute(first)).scalar() or ""

    async def holds(self, blob: Blob) -> bool:
        """Whether the bytes are in the store, whole. Raises Unavailable."""
        return await self.bytes_of.size(blob.digest) == blob.size

    @asynccontextmanager
    async def file(self, blob: Blob) -> AsyncIterator[Path]:
        """The blob as a file here, which must not be changed. Raises MediaError `media_unknown`, Unavailable."""
        path = self.bytes_of.path(blob.digest)
        if path is not None:
            if not path.exists():
                raise MediaError("media_unknown", f"{blob.digest} is not in the store")
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="gridwalk-media-") as folder:
            copy = Path(folder) / "media"
            await self.bytes_of.fetch(blob.digest, copy)
            yield copy

    async def touch(self, digest: str) -> Blob | None:
        """A stored blob, which from now on stays for the time of grace; None where there is none."""
        async with self._database.engine.begin() as connection:
            await self._freshen(connection, digest)
            return await stored_blob(connection, digest)

    async def _lying(self, digest: str) -> Blob | None:
        size = await self.bytes_of.size(digest)
        if not size or not await self.is_whole(digest, size):
            return None
        head = [piece async for piece in await self.bytes_of.read(digest, 0, min(size, HEAD_BYTES))]
        kind = kind_of(b"".join(head))
        return Blob(digest, size, kind) if kind else None

    async def _keep(self, claim: Claim) -> None:
        await self.bytes_of.put_claim(claim.digest, claim.user, msgspec.json.encode(claim))

    async def _announce(self, connection: AsyncConnection, blob: Blob) -> bool:
        """See that the blob has a row; whether it stays, and is not just being removed."""
        row = {**msgspec.structs.asdict(blob), "idle_since_ms": self._now_ms(), "collecting": False}
        await connection.execute(upsert(connection, blobs).values(row).on_conflict_do_nothing())
        await self._freshen(connection, blob.digest)
        wanted = select(~blobs.c.collecting).where(blobs.c.digest == blob.digest)
        return bool((await connection.execute(wanted)).scalar_one())

    async def _freshen(self, connection: AsyncConnection, digest: str) -> None:
        """Start the time of grace of a blob that nothing refers to anew."""
        idle = (blobs.c.digest == digest, blobs.c.idle_since_ms.is_not(None))
        await connection.execute(update(blobs).where(*idle).values(idle_since_ms=self._now_ms()))


async def note_stored(connection: AsyncConnection, digest: str, now_ms: int) -> None:
    """Note that the bytes of a blob are in the store."""
    there = (blobs.c.digest == digest, blobs.c.stored_ms.is_(None))
    await connection.execute(update(blobs).where(*there).values(stored_ms=now_ms))


async def note_claim(connection: AsyncConnection, made: Claim) -> None:
    """Note a claim; that the bytes were sent is not forgotten."""
    noting = upsert(connection, media_claims).values(msgspec.structs.asdict(made))
    kept = {"sent": media_claims.c.sent | noting.excluded.sent}
    await connection.execute(noting.on_conflict_do_update(index_elements=["digest", "user"], set_=kept))


async def stored_blob(connection: AsyncConnection, digest: str) -> Blob | None:
    """The blob, if its bytes are in the store and stay there."""
    wanted = select(blobs.c.digest, blobs.c.size, blobs.c.media_type).where(
        blobs.c.digest == digest, blobs.c.stored_ms.is_not(None), ~blobs.c.collecting
    )
    row = (await connection.execute(wanted)).first()
    return Blob(*row) if row else None
