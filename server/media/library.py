"""Who may read which media: whoever sent its bytes, and whoever may read a record that names it.

To name a digest proves nothing. A reference counts only where its author has shown to hold the bytes; so nobody
reaches a picture by writing its digest into a record of their own.
"""

import uuid

from sqlalchemy import exists, select

from field_schemas.registry import Registry
from server.accounts.identities import Identity
from server.media.shelf import Blob, stored_blob
from server.media.tables import media_claims, media_references
from server.storage.database import Database
from sync.clock import Milliseconds
from sync.storage import StoredRecord
from sync.visible import Sight


class Library:
    """The media in a database, as readers see it."""

    def __init__(self, database: Database, registry: Registry, now_ms: Milliseconds) -> None:
        self._database = database
        self._registry = registry
        self._now_ms = now_ms

    async def find(self, who: Identity, digest: str) -> Blob | None:
        """The blob, where it is here and `who` may read it; nobody else learns whether it is."""
        async with self._database.read_engine.connect() as connection:
            blob = await stored_blob(connection, digest)
            if blob is None:
                return None
            own = exists().where(media_claims.c.digest == digest, media_claims.c.user == who.user)
            if (await connection.execute(select(own))).scalar_one():
                return blob
            named = await connection.execute(_VOUCHED.where(media_references.c.digest == digest))
            fields = {(row.record, row.field) for row in named}
        return blob if await self._reads_any(who, fields) else None

    async def _reads_any(self, who: Identity, named: set[tuple[uuid.UUID, str]]) -> bool:
        if not named:
            return False
        sight = Sight(self._registry, who.actor, self._now_ms())
        async with self._database.store.reading() as tx:
            records = await tx.records({record for record, _ in named})
        return any(record in records and _reads(sight, records[record], field) for record, field in named)


_VOUCHED = (
    select(media_references.c.record, media_references.c.field)
    .join(
        media_claims,
        (media_claims.c.digest == media_references.c.digest) & (media_claims.c.user == media_references.c.user),
    )
    .distinct()
)


def _reads(sight: Sight, record: StoredRecord, field: str) -> bool:
    """Whether the field of a record is shown; of earlier values too, as its history is."""
    lens = sight.lens(record.type, record.scopes)
    if lens is None or record.deleted:
        return False
    return lens.readable is None or field in lens.readable
