"""Who may read which media: whoever sent its bytes, and whoever may read a record that names it.

To name a digest proves nothing. A reference counts only where its author has shown to hold the bytes; so nobody
reaches a picture by writing its digest into a record. Who could read the bytes vouches for the own references to
them, but reads them only as long as a record that may be read names them. A refused change opens its media to those
who are to decide about it, and to nobody else.
"""

from typing import Any

import msgspec
from sqlalchemy import exists, select

from field_schemas.access import Role, roles_in
from field_schemas.media import digests_in
from field_schemas.registry import Registry
from media.errors import MediaError
from server.accounts.identities import Identity
from server.media.shelf import Blob, Shelf
from server.media.tables import media_claims, media_references
from server.storage.database import Database
from sync.clock import Milliseconds
from sync.errors import SyncError
from sync.messages import Outcome
from sync.storage import ReadTransaction, StoredRecord
from sync.visible import Sight

_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Library:
    """The media in a database, as readers see it."""

    def __init__(self, database: Database, registry: Registry, shelf: Shelf, now_ms: Milliseconds) -> None:
        self._database = database
        self._shelf = shelf
        self._registry = registry
        self._now_ms = now_ms

    async def find(self, who: Identity, digest: str) -> Blob | None:
        """The blob, where it is here and `who` may read it; nobody else learns whether it is.

        Raises Unavailable.
        """
        blob = await self._shelf.find(digest)
        if blob is None:
            return None
        async with self._database.read_engine.connect() as connection:
            own = (media_claims.c.digest == digest, media_claims.c.user == who.user, media_claims.c.sent)
            if (await connection.execute(select(exists().where(*own)))).scalar_one():
                return blob
        return blob if await self._read_in(who, digest) else None

    async def find_supervised(self, who: Identity, digest: str) -> Blob:
        """The blob, where `who` supervises a record that names it.

        Raises MediaError `media_unknown`, SyncError `role_denied` for who may only read it, Unavailable.
        """
        blob = await self.find(who, digest)
        if blob is None:
            raise MediaError("media_unknown", "it is not here, or not for this reader")
        grants = Sight(self._registry, who.actor, self._now_ms()).grants
        if not any(Role.SUPERVISOR in roles_in(grants, one.scopes) for one in await self._read_in(who, digest)):
            raise SyncError("role_denied", "a supervisor of the record publishes its photos")
        return blob

    async def _read_in(self, who: Identity, digest: str) -> list[StoredRecord]:
        """The records in which `who` reads that they name the blob."""
        async with self._database.read_engine.connect() as connection:
            rows = await connection.execute(_VOUCHED.where(media_references.c.digest == digest))
            named = {(row.record, row.field) for row in rows}
        if not named:
            return []
        sight = Sight(self._registry, who.actor, self._now_ms())
        async with self._database.store.reading() as tx:
            records = await tx.records({record for record, _ in named})
            return [
                records[record]
                for record, field in named
                if record in records
                and _reads(sight, records[record], field)
                and await _is_named(tx, sight, records[record], digest)
            ]


_VOUCHED = (
    select(media_references.c.record, media_references.c.field)
    .join(
        media_claims,
        (media_claims.c.digest == media_references.c.digest) & (media_claims.c.user == media_references.c.user),
    )
    .distinct()
)


async def _is_named(tx: ReadTransaction, sight: Sight, record: StoredRecord, digest: str) -> bool:
    """Whether a record names the blob or has named it; by a refused change, only for readers of its refusal."""
    if digest in digests_in(_fields(record.fields)):
        return True
    naming = [one for one in await tx.history(record.id) if digest in digests_in(_fields(one.fields))]
    if any(one.outcome is not Outcome.REFUSED for one in naming):
        return True
    refusals = await tx.records({one.attention for one in naming if one.attention})
    return any(sight.lens(one.type, one.scopes) is not None for one in refusals.values())


def _reads(sight: Sight, record: StoredRecord, field: str) -> bool:
    """Whether the field of a record is shown; of earlier values too, as its history is."""
    lens = sight.lens(record.type, record.scopes)
    if lens is None or record.deleted:
        return False
    return lens.readable is None or field in lens.readable
