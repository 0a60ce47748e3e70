"""Verification and repair: prove a device's copy of a view equal to the server's, or find and fetch what differs."""

import uuid
from collections.abc import Mapping

from field_schemas.registry import Registry
from field_schemas.scopes import feed_key
from sync.authority import Actor
from sync.digest import Entry, digest_ranges, range_key
from sync.errors import SyncError
from sync.messages import DigestRequest, DigestResponse, FetchRequest, FetchResponse
from sync.pull import views_of
from sync.storage import ReadTransaction
from sync.visible import Sight

LISTED = 256
"""A range of at most so many records is listed, because to list it costs less than to ask on."""


async def digest(
    tx: ReadTransaction,
    registry: Registry,
    reader: Actor,
    request: DigestRequest,
    now_ms: int,
) -> DigestResponse:
    """The digests of what `reader` may see in one view. Raises SyncError `scope_denied`."""
    sight = Sight(registry, reader, now_ms, request.types)
    if request.scope not in await views_of(tx, sight.grants):
        raise SyncError("scope_denied", f"{request.scope} is none of the reader's scopes")
    entries = await visible_entries(tx, sight, request.scope, request.prefix)
    listed = entries if len(entries) <= LISTED else None
    return DigestResponse(len(entries), digest_ranges(entries, request.prefix), listed)


async def visible_entries(tx: ReadTransaction, sight: Sight, view: str, prefix: str = "") -> list[Entry]:
    """The records a reader holds of a view when the copy is complete, with their versions."""
    entries: list[Entry] = []
    async for page in tx.members(feed_key(view)):
        entries += [
            (member.record, member.version)
            for member in page
            if range_key(member.record).startswith(prefix) and sight.lens(member.type, member.scopes)
        ]
    return entries


async def fetch(
    tx: ReadTransaction, registry: Registry, reader: Actor, request: FetchRequest, now_ms: int
) -> FetchResponse:
    """The records asked for, as `reader` may see them; what does not exist or may not be seen is to be forgotten."""
    sight = Sight(registry, reader, now_ms, request.types)
    stored = await tx.records(request.ids)
    shown = {record.id: wire for record in stored.values() if (wire := sight.show(record)) is not None}
    hidden = [one for one in dict.fromkeys(request.ids) if one not in shown]
    return FetchResponse(list(shown.values()), hidden, await tx.epoch())


def repairs(
    ours: Mapping[uuid.UUID, int], theirs: Mapping[uuid.UUID, int]
) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
    """What to fetch and what to forget to make our part of a copy theirs."""
    wanted = [record for record, version in theirs.items() if ours.get(record) != version]
    return wanted, [record for record in ours if record not in theirs]
