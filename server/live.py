"""Live pokes: who listens, to which feeds, and whom a commit concerns. No HTTP, no database.

A poke says no more than "pull now". It may get lost, so devices poll as well; it never waits in a queue: a listener
that was poked twice before it could be told is told once.
"""

import asyncio
import enum
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable
from itertools import islice

import msgspec

from field_schemas.access import Grant, grants_at, with_implied
from field_schemas.scopes import DISTRICT_DIGITS, feed_key
from sync.authority import authority_tag
from sync.errors import SyncError

MOST_LISTENERS = 10_000
"""Listeners of one process."""
AT_ONCE = 250
"""Listeners told at once; more than that are told at this many each PACE_S, so that their pulls come spread."""
PACE_S = 0.25
COMEBACKS_PER_S = 100
"""When the process ends, its listeners are told to come back at this rate."""
_LEAST_COMEBACK_MS = 1_000
_DISTRICT = len("grid:") + DISTRICT_DIGITS

Sleep = Callable[[float], Awaitable[None]]
Tell = Callable[[Iterable[str] | None, uuid.UUID | None], None]
"""Say that feeds were written (None: nobody knows which), by one device alone (None: by several, or the server)."""


class Announcement(msgspec.Struct, frozen=True, array_like=True):
    """A commit: its transaction, the feeds it wrote to (None: nobody knows), and the device if it was only one."""

    tx: int
    feeds: frozenset[str] | None
    device: uuid.UUID | None = None


Announce = Callable[[Announcement], None]


def keep_quiet(_: Announcement) -> None:
    """Tell nobody of a commit: where no one can be listening."""


class Word(enum.Enum):
    """What a listener is told."""

    POKE = "poke"
    BEAT = "beat"
    BYE = "bye"


class Reader(msgspec.Struct, frozen=True):
    """Who listens: a device by its session, with the feeds its grants open and a tag of those grants."""

    device: uuid.UUID
    session: uuid.UUID
    feeds: frozenset[str]
    authority: str


def reader_of(user: str, device: uuid.UUID, session: uuid.UUID, grants: Collection[Grant], now_ms: int) -> Reader:
    """The reader, by the grants that hold at `now_ms`. A grant on a whole district stands for all its streets."""
    held = with_implied(grants_at(grants, now_ms), user)
    feeds = frozenset(feed_key(grant.scope) for grant in held)
    return Reader(device, session, feeds, authority_tag(grants, now_ms))


class Listener:
    """One open line to a device. Holds at most one word that was not passed on yet."""

    __slots__ = ("_ended", "_poked", "_waiter", "comeback_ms", "reader")

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.comeback_ms = _LEAST_COMEBACK_MS
        # What was committed before the line was open is unknown to the device.
        self._poked = True
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    async def next(self, patience_s: float) -> Word:
        """The next word: BEAT when there was none for `patience_s`, BYE for ever once the line has ended."""
        if not (self._poked or self._ended):
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            alarm = loop.call_later(patience_s, self._stir)
            try:
                await self._waiter
            finally:
                alarm.cancel()
                self._waiter = None
        if self._ended:
            return Word.BYE
        word = Word.POKE if self._poked else Word.BEAT
        self._poked = False
        return word

    def poke(self) -> None:
        """Tell it to pull."""
        self._poked = True
        self._stir()

    def end(self) -> None:
        """End the line."""
        self._ended = True
        self._stir()

    def _stir(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """The listeners of this process, by feed and by device."""

    def __init__(self, most: int = MOST_LISTENERS, sleep: Sleep = asyncio.sleep) -> None:
        self._most = most
        self._sleep = sleep
        self._of_device: dict[uuid.UUID, Listener] = {}
        self._of_feed: dict[str, set[Listener]] = {}
        self._due: dict[Listener, None] = {}
        self._room = AT_ONCE
        self._pacing: asyncio.Task[None] | None = None
        self._anyone = asyncio.Event()
        self._open = True

    @property
    def listeners(self) -> Collection[Listener]:
        """All open lines."""
        return self._of_device.values()

    @property
    def feeds(self) -> Collection[str]:
        """What anyone listens to: feeds, and districts for all feeds within them."""
        return self._of_feed.keys()

    async def anyone(self) -> None:
        """Wait until somebody listens."""
        await self._anyone.wait()

    def join(self, reader: Reader) -> Listener:
        """Open a line; one that the device had before ends. Raises SyncError `overloaded`."""
        older = self._of_device.get(reader.device)
        if not self._open or (older is None and len(self._of_device) >= self._most):
            raise SyncError("overloaded", f"{len(self._of_device)} devices listen; poll instead")
        if older is not None:
            self.part(older)
        listener = self._of_device[reader.device] = Listener(reader)
        self._anyone.set()
        for feed in reader.feeds:
            self._of_feed.setdefault(feed, set()).add(listener)
        return listener

    def part(self, listener: Listener) -> None:
        """End a line and forget it; doing it again changes nothing."""
        listener.end()
        self._due.pop(listener, None)
        if self._of_device.get(listener.reader.device) is listener:
            del self._of_device[listener.reader.device]
        if not self._of_device:
            self._anyone.clear()
        for feed in listener.reader.feeds:
            held = self._of_feed.get(feed, set())
            held.discard(listener)
            if not held:
                self._of_feed.pop(feed, None)

    def poke(self, feeds: Iterable[str] | None, by: uuid.UUID | None = None) -> None:
        """Poke whom these feeds concern (None: everyone), but not the device `by`, which knows what it wrote."""
        for listener in self._concerned(feeds):
            if listener.reader.device != by:
                self._due[listener] = None
        self._tell()

    def close(self) -> None:
        """End all lines and open no more; the devices are asked to come back one after the other."""
        self._open = False
        for place, listener in enumerate(list(self.listeners)):
            listener.comeback_ms = _LEAST_COMEBACK_MS + place * 1_000 // COMEBACKS_PER_S
            self.part(listener)

    def _concerned(self, feeds: Iterable[str] | None) -> Iterable[Listener]:
        if feeds is None:
            return self.listeners
        keys = set(feeds)
        keys |= {key[:_DISTRICT] for key in keys if key.startswith("grid:")}
        return {listener for key in keys for listener in self._of_feed.get(key, ())}

    def _tell(self) -> None:
        told = list(islice(self._due, self._room))
        self._room -= len(told)
        for listener in told:
            del self._due[listener]
            listener.poke()
        if told and self._pacing is None:
            self._pacing = asyncio.create_task(self._pace())

    async def _pace(self) -> None:
        while self._room < AT_ONCE:
            await self._sleep(PACE_S)
            self._room = AT_ONCE
            self._tell()
        self._pacing = None
