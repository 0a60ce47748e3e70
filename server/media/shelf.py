"""Whole uploads become blobs, each stored once however often it is sent.

Bytes and rows live in two places, so the order matters: first the row, which nobody collects while it is fresh,
then the bytes, then the row says that they are there. Work that broke off in between is simply done again.
"""

import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from field_schemas.media import MediaType
from media.blobs import Blobs
from media.errors import Unavailable
from server.media.tables import blobs, media_claims
from server.storage.database import Database
from server.storage.upsert import upsert
from sync.clock import Milliseconds


class Blob(msgspec.Struct, frozen=True):
    """A blob: `size` in bytes, and its type by content."""

    digest: str
    size: int
    media_type: MediaType


class Shelf:
    """The blobs of a server: their rows in the database, their bytes in `bytes_of`."""

    def __init__(self, database: Database, bytes_of: Blobs, now_ms: Milliseconds) -> None:
        self.bytes_of = bytes_of
        self._database = database
        self._now_ms = now_ms

    async def store(self, blob: Blob, file: Path) -> bool:
        """Put the bytes of the durable `file` in the store; `note_stored` says so afterwards.

        False when a blob of that digest is just being removed: try again later. Raises Unavailable.
        """
        async with self._database.engine.begin() as connection:
            stored = await self._announce(connection, blob)
        if stored is None:
            return False
        if not stored or await self.bytes_of.size(blob.digest) is None:
            await self.bytes_of.put(blob.digest, file, blob.media_type)
        return True

    async def find(self, digest: str) -> Blob | None:
        """The blob, if it is here."""
        async with self._database.read_engine.connect() as connection:
            return await stored_blob(connection, digest)

    async def holds(self, blob: Blob) -> bool:
        """Whether the bytes are certainly in the store, whole; not, where it does not answer."""
        try:
            return await self.bytes_of.size(blob.digest) == blob.size
        except Unavailable:
            return False

    @asynccontextmanager
    async def file(self, blob: Blob) -> AsyncIterator[Path]:
        """The blob as a file here, which must not be changed. Raises MediaError `media_unknown`, Unavailable."""
        path = self.bytes_of.path(blob.digest)
        if path is not None:
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

    async def _announce(self, connection: AsyncConnection, blob: Blob) -> bool | None:
        """Whether the bytes are stored; None while they are being removed."""
        row = {**msgspec.structs.asdict(blob), "idle_since_ms": self._now_ms(), "collecting": False}
        await connection.execute(upsert(connection, blobs).values(row).on_conflict_do_nothing())
        await self._freshen(connection, blob.digest)
        wanted = select(blobs.c.collecting, blobs.c.stored_ms).where(blobs.c.digest == blob.digest)
        collecting, stored_ms = (await connection.execute(wanted)).one()
        return None if collecting else stored_ms is not None

    async def _freshen(self, connection: AsyncConnection, digest: str) -> None:
        """Start the time of grace of a blob that nothing refers to anew."""
        idle = (blobs.c.digest == digest, blobs.c.idle_since_ms.is_not(None))
        await connection.execute(update(blobs).where(*idle).values(idle_since_ms=self._now_ms()))


async def note_stored(connection: AsyncConnection, digest: str, now_ms: int) -> None:
    """Note that the bytes of a blob are in the store."""
    there = (blobs.c.digest == digest, blobs.c.stored_ms.is_(None))
    await connection.execute(update(blobs).where(*there).values(stored_ms=now_ms))


class Claim(msgspec.Struct, frozen=True):
    """That `user` has shown to hold the bytes, having `sent` them or being allowed to read them.

    `name` is what the file was called there.
    """

    digest: str
    user: str
    device: uuid.UUID
    name: str
    claimed_ms: int
    sent: bool


async def claim(connection: AsyncConnection, made: Claim) -> None:
    """Note a claim; one by having sent the bytes stays."""
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
