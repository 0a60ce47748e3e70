"""Bodies on their way in: how slowly they may come, and how much of unanswered ones a process holds."""

import asyncio
from typing import Any, TypeAlias

from litestar.types import Receive

from server.admission import Turn
from sync.errors import SyncError

SILENCE_S = 30.0
"""A body of which nothing comes for so long is given up."""
SLOWEST = 1024
"""Bytes/s: a body is given up that has kept the server waiting SILENCE_S longer than at this rate."""
_AHEAD = 65_536
"""The server reads so much of a body ahead by itself."""

Received: TypeAlias = Any
"""A message of the server's; Litestar's own type for it leaves out what HTTP cannot bring."""


class Room:
    """Bytes of large bodies that this process may hold at once."""

    def __init__(self, free: int) -> None:
        self._free = free

    def take(self, size: int) -> None:
        """Hold so much more. Raises SyncError `overloaded`."""
        if size > self._free:
            raise SyncError("overloaded", "too many large bodies are on their way")
        self._free -= size

    def give(self, size: int) -> None:
        """Hold so much less."""
        self._free += size


class Incoming:
    """One request's body. What comes after its beginning takes `room`, unless the application keeps none of it."""

    def __init__(self, receive: Receive, room: Room | None) -> None:
        self._receive = receive
        self._room = room
        self._ahead: list[Received] = []
        self._held = 0
        self._more = True
        self._left_s = SILENCE_S

    async def begin(self) -> None:
        """Wait for the whole body, or the beginning of a large one. Raises SyncError `body_stalled`."""
        size = 0
        while self._more and size <= _AHEAD:
            message = await self._next()
            self._ahead.append(message)
            size += len(message.get("body", b""))
        self._ahead.reverse()

    async def receive(self, turn: Turn) -> Received:
        """What has come, then what is still to come: the place of `turn` is another's while nothing comes.

        Raises SyncError `body_stalled` and `overloaded`.
        """
        if self._ahead:
            return self._ahead.pop()
        turn.pause()
        try:
            message: Received = await (self._next() if self._more else self._receive())
        finally:
            turn.resume()
        self._hold(len(message.get("body", b"")))
        return message

    def forget(self) -> None:
        """The application is done with it."""
        if self._room is not None:
            self._room.give(self._held)
            self._room = None

    async def _next(self) -> Received:
        # Only time spent waiting counts: a server that is slow to take a body is not its client's fault.
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(min(self._left_s, SILENCE_S)):
                message: Received = await self._receive()
        except TimeoutError as error:
            detail = f"nothing came of the body for {SILENCE_S:.0f} s, or less than {SLOWEST} bytes/s"
            raise SyncError("body_stalled", detail) from error
        self._left_s += len(message.get("body", b"")) / SLOWEST - (loop.time() - began)
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    def _hold(self, size: int) -> None:
        if self._room is not None:
            self._room.take(size)
            self._held += size
