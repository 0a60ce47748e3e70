"""Small changes on their way to others: when each reached whom."""

import asyncio
import time
import uuid

import msgspec

from sync.messages import Change
from tests.bench.crowd import Member

WITHIN_S = 60


class Arrivals(msgspec.Struct):
    """When each record reached each device but its author's, ms after its push began."""

    author: dict[uuid.UUID, uuid.UUID] = {}
    began: dict[uuid.UUID, float] = {}
    ms: dict[uuid.UUID, list[float]] = {}
    listening: int = 0
    changed: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def begin(self, change: Change, author: uuid.UUID) -> None:
        """The push of a change begins, by the device `author`."""
        self.author[change.record] = author
        self.ms[change.record] = []
        self.began[change.record] = time.perf_counter()

    def note(self, record: uuid.UUID, device: uuid.UUID) -> None:
        """A device has got a record."""
        # Its author knows it: nobody pokes it, and it comes along with whatever makes it pull next.
        if record in self.ms and self.author[record] != device:
            self.ms[record].append((time.perf_counter() - self.began[record]) * 1_000)
            self.changed.set()

    async def until_all(self, record: uuid.UUID, count: int) -> None:
        """Wait until `count` devices have got the record."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.ms[record]) < count:
                self.changed.clear()
                await self.changed.wait()


def small_change(member: Member) -> Change:
    """A finding where the member inspects."""
    fields = {"grid": member.scope.removeprefix("grid:") + "001001", "kind": "0102", "text": "人行道盖板破损"}
    return member.device.change("finding", fields)
