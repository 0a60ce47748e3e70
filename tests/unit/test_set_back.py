"""A server that tells contents that were set back from its own transactions coming to an end in any order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from server.accounts.identities import Identity
from server.http.routes.sync import PullBounds, Reading
from sync.cursor import Cursor, ViewCursor
from sync.errors import ContentsSetBack
from sync.memory import MemoryStore, MemoryTransaction
from sync.messages import PullRequest
from sync.storage import FeedPosition
from tests.unit.builders import EPOCH, NOW, REGISTRY, new_id

REQUEST: Any = SimpleNamespace(headers={})
DEVICES: Any = None


class Snapshots(MemoryStore):
    """Each transaction sees how far all was settled when it began, as PostgreSQL's do, and ends when `ends` says."""

    def __init__(self) -> None:
        super().__init__(EPOCH)
        self.ends: list[asyncio.Event] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[MemoryTransaction]:
        async with super().reading() as tx:
            seen, end = await tx.horizon(), asyncio.Event()
            self.ends.append(end)

            async def horizon() -> FeedPosition:
                return seen

            tx.horizon = horizon  # type: ignore[method-assign]
            if len(self.ends) == 1:
                await end.wait()
            yield tx
            if len(self.ends) > 1:
                await end.wait()


def read_up_to(version: int) -> PullRequest:
    """The pull of a device that has read all up to there."""
    return PullRequest(Cursor(EPOCH, {"all:": ViewCursor(FeedPosition(0, version), "")}).encode())


async def test_an_older_transaction_that_ends_later() -> None:
    """A cursor that another process gave is sound, though a transaction from before it comes to its answer later."""
    store, who = Snapshots(), Identity("li", "li", new_id(), new_id(), ())
    reading = Reading(store, REGISTRY, DEVICES, PullBounds(0, 10_000), lambda: NOW)
    store.last_version = 100
    older = asyncio.create_task(reading.page(REQUEST, who, PullRequest()))
    await asyncio.sleep(0)
    store.last_version = 200
    checking = asyncio.create_task(reading.check(who, read_up_to(150)))
    await asyncio.sleep(0)
    store.ends[0].set()
    await older
    store.ends[1].set()
    await checking
    # What is further than anything is told at once.
    store.ends.clear()
    beyond = asyncio.create_task(reading.check(who, read_up_to(201)))
    await asyncio.sleep(0)
    store.ends[0].set()
    with pytest.raises(ContentsSetBack):
        await beyond
