"""What media a server has, and whether its store holds what the database says: for who keeps the server."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import exists, func, select

from field_schemas.media_findings import Verdict
from field_schemas.record import type_of
from field_schemas.types.media_check import MediaCheck
from server.media.arrivals import check_id
from server.media.shelf import Shelf
from server.media.tables import blobs, media_claims, media_references
from server.storage.database import Database
from sync.storage import StoredRecord

_PAGE = 500


class Kept(msgspec.Struct, frozen=True):
    """A blob: `size` in bytes, its type by content, and when it was stored (UTC ms)."""

    digest: str
    size: int
    media_type: str
    stored_ms: int


class Use(msgspec.Struct, frozen=True):
    """A record that names a blob, and what the check came to; None before that."""

    record: UUID
    verdict: Verdict | None


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

    async def uploaders(self, digests: Sequence[str]) -> dict[str, list[str]]:
        """Who has shown to hold the bytes of each blob, the first one first."""
        wanted = select(media_claims.c.digest, media_claims.c.user).where(media_claims.c.digest.in_(digests))
        found: dict[str, list[str]] = {}
        async with self._database.read_engine.connect() as connection:
            for digest, user in await connection.execute(wanted.order_by(media_claims.c.claimed_ms)):
                found.setdefault(digest, []).append(user)
        return found

    async def uses(self, digests: Sequence[str]) -> dict[str, list[Use]]:
        """The records that name each blob, with the verdicts."""
        named = (media_references.c.digest, media_references.c.record)
        wanted = select(*named).where(media_references.c.digest.in_(digests)).distinct().order_by(*named)
        async with self._database.read_engine.connect() as connection:
            pairs = [(digest, record) for digest, record in await connection.execute(wanted)]
        async with self._database.store.reading() as tx:
            checks = await tx.records({check_id(record, digest) for digest, record in pairs})
        found: dict[str, list[Use]] = {}
        for digest, record in pairs:
            use = Use(record, _verdict(checks.get(check_id(record, digest))))
            found.setdefault(digest, []).append(use)
        return found

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


def _verdict(check: StoredRecord | None) -> Verdict | None:
    """What a check came to; None where there is none, or one by other rules than ours."""
    if check is None or check.deleted or check.type != _CHECK.name:
        return None
    return _CHECK.typed(check.fields, check.id, check.version).verdict


_CHECK = type_of(MediaCheck)
_KEPT = select(blobs.c.digest, blobs.c.size, blobs.c.media_type, blobs.c.stored_ms).where(
    blobs.c.stored_ms.is_not(None), ~blobs.c.collecting
)
