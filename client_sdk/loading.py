"""Snapshots from the server into the store: streamed, checked block by block, resumed where they broke off."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from itertools import islice

from client_sdk.connection import Connection
from client_sdk.errors import Rejected
from client_sdk.store import asking, loading
from client_sdk.store.meta import Loading
from client_sdk.store.thread import StoreThread, Tables
from sync.messages import MAX_FETCH, FetchRequest, Snapshot, SnapshotBlock, SnapshotRequest
from sync.snapshot import BlockDamaged

_ASKINGS = 20
"""How often to ask for a snapshot that is being made; the server takes its time with each answer."""
_DAMAGES = 3
"""How many damaged blocks in a row are too many."""
_OF_NO_USE = ("not_found", "scope_denied", "parameter_invalid")

OnLoaded = Callable[[int, int], None]
"""Told how many records were stored, and how many are still to come."""


class SnapshotUseless(Exception):
    """The snapshot cannot be had, or not to its end."""


class SnapshotLoader:
    """Loads the snapshots that a pull offers, one after the other; `types` are the types this program knows."""

    def __init__(self, store: StoreThread, connection: Connection, types: dict[str, int], told: OnLoaded) -> None:
        self._store = store
        self._connection = connection
        self._types = types
        self._told = told

    async def load(self, offers: list[str]) -> None:
        """Load one of the snapshots offered: the one that was begun, or the first.

        Raises SnapshotUseless, OtherContents.
        """
        begun = await self._store.run(asking.snapshot_begun)
        try:
            if begun is None:
                snapshot = await self._ask(offers[0])
                begun = await self._store.run(loading.begin, offers[0], snapshot, self._types)
            elif begun.scope not in offers or begun.types != self._types:
                raise SnapshotUseless(f"{begun.scope} is not offered any more, or not to this version of the program")
            await self._blocks(await self._apart(begun))
        except Rejected as error:
            if error.code not in _OF_NO_USE:
                raise
            raise SnapshotUseless(str(error)) from error
        finally:
            await self._store.run(loading.pause)

    async def _ask(self, scope: str) -> Snapshot:
        for _ in range(_ASKINGS):
            response = await self._connection.snapshot(SnapshotRequest(scope, self._types))
            if response.snapshot is not None:
                return response.snapshot
        raise SnapshotUseless(f"the snapshot of {scope} is not made in time")

    async def _blocks(self, begun: Loading) -> Loading:
        """Stream what is not here yet; after a damaged block once more from there."""
        damages = 0
        while begun.blocks < len(begun.snapshot.blocks):
            before = begun.blocks
            try:
                begun = await self._stream(begun)
            except BlockDamaged as error:
                begun = await self._store.run(_standing)
                damages = damages + 1 if begun.blocks == before else 1
                if damages == _DAMAGES:
                    raise SnapshotUseless(str(error)) from error
        return begun

    async def _stream(self, begun: Loading) -> Loading:
        wanted = begun.snapshot.blocks[begun.blocks :]
        pieces = self._connection.snapshot_content(begun.snapshot.id, begun.offset)
        async with aclosing(pieces), aclosing(_cut(pieces, wanted)) as blocks:
            async for expected, block in blocks:
                if hashlib.sha256(block).hexdigest() != expected.sha256:
                    raise BlockDamaged(f"a block of snapshot {begun.snapshot.id} is not what it should be")
                begun = await self._store.run(loading.take_block, block)
                self._told(expected.records, begun.left)
        return begun

    async def _apart(self, begun: Loading) -> Loading:
        while ids := list(islice(begun.snapshot.apart, MAX_FETCH)):
            response = await self._connection.fetch(FetchRequest(ids, self._types))
            begun = await self._store.run(loading.take_apart, set(ids), response)
            self._told(len(response.records), len(begun.snapshot.apart) + begun.left)
        return begun


async def _cut(
    pieces: AsyncIterator[bytes], blocks: list[SnapshotBlock]
) -> AsyncGenerator[tuple[SnapshotBlock, bytes], None]:
    """The blocks of a stream, each with what is said of it. Raises BlockDamaged when the stream ends early."""
    held = bytearray()
    for expected in blocks:
        while len(held) < expected.bytes:
            piece = await anext(pieces, None)
            if piece is None:
                raise BlockDamaged("the content ends before its last block")
            held += piece
        yield expected, bytes(memoryview(held)[: expected.bytes])
        del held[: expected.bytes]


def _standing(tables: Tables) -> Loading:
    begun = tables.meta.loading
    if begun is None:
        raise SnapshotUseless("another reading of the server has begun")
    return begun
