"""What media a server has, and whether its store holds what the database says: for who keeps the server."""

from collections.abc import AsyncIterator, Sequence

import msgspec
from sqlalchemy import exists, func, select

from server.media.shelf import Shelf
from server.media.tables import blobs, media_references
from server.storage.database import Database

_PAGE = 500


class Kept(msgspec.Struct, frozen=True):
    """A blob: `size` in bytes, its type by content, when it was stored (UTC ms), and how many records name it."""

    digest: str
    size: int
    media_type: str
    stored_ms: int
    records: int


class Totals(msgspec.Struct, frozen=True):
    """How many blobs there are, their bytes, and how many files records name that have not arrived."""

    blobs: int
    bytes: int
    awaited: int


class Inventory:
    """Looks at the media of a database and its `shelf`; changes nothing."""

    def __init__(self, database: Database, shelf: Shelf) -> None:
        self._database = database
        self._shelf = shelf

    async def totals(self) -> Totals:
        """What there is altogether."""
        here = exists().where(blobs.c.digest == media_references.c.digest, blobs.c.stored_ms.is_not(None))
        named = select(func.count(media_references.c.digest.distinct())).where(~here)
        stored = select(func.count(), func.coalesce(func.sum(blobs.c.size), 0)).where(blobs.c.stored_ms.is_not(None))
        async with self._database.read_engine.connect() as connection:
            count, size = (await connection.execute(stored)).one()
            return Totals(count, int(size), (await connection.execute(named)).scalar_one())

    async def newest(self, count: int) -> list[Kept]:
        """The blobs that were stored last, the newest first."""
        wanted = _KEPT.order_by(blobs.c.stored_ms.desc(), blobs.c.digest).limit(count)
        async with self._database.read_engine.connect() as connection:
            return [Kept(*row) for row in await connection.execute(wanted)]

    async def faults(self) -> AsyncIterator[tuple[Kept, str | None]]:
        """Every blob, with what is wrong with its bytes: `missing`, `damaged`, or None. All bytes are read.

        Raises Unavailable.
        """
        last = ""
        while page := await self._page(last):
            for kept in page:
                yield kept, await self._fault(kept)
            last = page[-1].digest

    async def _page(self, last: str) -> list[Kept]:
        wanted = _KEPT.where(blobs.c.digest > last).order_by(blobs.c.digest).limit(_PAGE)
        async with self._database.read_engine.connect() as connection:
            return [Kept(*row) for row in await connection.execute(wanted)]

    async def strays(self) -> list[str]:
        """The digests of what lies in the store and the database does not know, sorted. Raises Unavailable."""
        found: list[str] = []
        async for page in self._shelf.bytes_of.digests():
            for start in range(0, len(page), _PAGE):
                found += await self._unknown(page[start : start + _PAGE])
        return sorted(found)

    async def _unknown(self, digests: Sequence[str]) -> set[str]:
        known = select(blobs.c.digest).where(blobs.c.digest.in_(digests))
        async with self._database.read_engine.connect() as connection:
            return set(digests) - set((await connection.execute(known)).scalars())

    async def _fault(self, kept: Kept) -> str | None:
        size = await self._shelf.bytes_of.size(kept.digest)
        if size != kept.size:
            return "missing" if size is None else "damaged"
        return None if await self._shelf.is_whole(kept.digest, size) else "damaged"


_NAMING = (
    select(func.count(media_references.c.record.distinct()))
    .where(media_references.c.digest == blobs.c.digest)
    .scalar_subquery()
)
_KEPT = select(blobs.c.digest, blobs.c.size, blobs.c.media_type, blobs.c.stored_ms, _NAMING).where(
    blobs.c.stored_ms.is_not(None), ~blobs.c.collecting
)
