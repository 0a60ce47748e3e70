"""Checks of media done once more: after the program, its decoders or its thresholds have changed."""

import uuid
from collections.abc import AsyncIterator, Sequence

import msgspec
from sqlalchemy import func, select, tuple_, update

from field_schemas.media_findings import Verdict
from field_schemas.record import type_of
from field_schemas.types.media_check import MediaCheck
from server.media.tables import media_references
from server.storage.database import Database
from sync.clock import Milliseconds

_PAGE = 500


class Wish(msgspec.Struct, frozen=True):
    """Which checks are done again: of the media with these `digests`, named by `record`, with this `verdict` so far.

    What is left out does not narrow; all left out means all.
    """

    digests: tuple[str, ...] = ()
    record: uuid.UUID | None = None
    verdict: Verdict | None = None


class Asked(msgspec.Struct, frozen=True):
    """So many checks were asked for, at a time (UTC ms) by which those that are left are known."""

    count: int
    at_ms: int


class Rechecks:
    """Has the checks in a database done again, by the server that runs on it."""

    def __init__(self, database: Database, now_ms: Milliseconds) -> None:
        self._database = database
        self._now_ms = now_ms

    async def ask(self, wish: Wish) -> Asked:
        """Let what was checked before, or tried in vain, be due now."""
        asked = Asked(0, self._now_ms())
        if wish.verdict is None:
            return msgspec.structs.replace(asked, count=await self._ask(wish, asked.at_ms, None))
        async for page in self._judged(wish.verdict):
            asked = msgspec.structs.replace(asked, count=asked.count + await self._ask(wish, asked.at_ms, page))
        return asked

    async def left(self, asked: Asked) -> int:
        """How many of the checks asked for were not tried yet."""
        waiting = select(func.count()).where(*_TRIED, media_references.c.check_ms == asked.at_ms)
        async with self._database.read_engine.connect() as connection:
            return (await connection.execute(waiting)).scalar_one()

    async def _ask(self, wish: Wish, now_ms: int, pairs: Sequence[tuple[str, uuid.UUID]] | None) -> int:
        chosen = [*_TRIED]
        if wish.digests:
            chosen.append(media_references.c.digest.in_(wish.digests))
        if wish.record is not None:
            chosen.append(media_references.c.record == wish.record)
        if pairs is not None:
            chosen.append(tuple_(media_references.c.digest, media_references.c.record).in_(pairs))
        # What failed so often before does not make the next tries later.
        due = update(media_references).where(*chosen).values(check_ms=now_ms, checks=1)
        async with self._database.engine.begin() as connection:
            return (await connection.execute(due)).rowcount

    async def _judged(self, verdict: Verdict) -> AsyncIterator[list[tuple[str, uuid.UUID]]]:
        """The media and records of all checks that came to `verdict`."""
        spec = type_of(MediaCheck)
        async with self._database.store.reading() as tx:
            async for page in tx.scan(spec.name):
                checks = [spec.typed(one.fields, one.id, one.version) for one in page]
                found = [(check.media, check.record) for check in checks if check.verdict is verdict]
                for start in range(0, len(found), _PAGE):
                    yield found[start : start + _PAGE]


_TRIED = (media_references.c.checks > 0,)
