"""Hearing at once of what changed on the server: a line to it while the device is online.

The line is a help, never a need: without it the device polls, and what a lost poke had announced comes with a poll.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from client_sdk.background import LONGEST_ASKED_S, backoff_s, chance
from client_sdk.connection import Connection
from client_sdk.errors import DeviceError, Offline
from sync.ids import RandomBytes

QUIET = 10
"""While the line is up the device polls at every so many intervals only."""
_FOLD_S = 1.0
"""What comes within so many seconds and a little more is answered by one sync."""
_SHORT_FOLD_S = 1 / 16
"""So it is with the first pokes; while more keep coming, the time doubles up to the longer one."""

Sleep = Callable[[float], Awaitable[None]]


class Line:
    """Keeps the line up, and rests until there is a reason to sync. `wrote` is set by each local write."""

    def __init__(
        self,
        connection: Connection,
        pending: Callable[[], Awaitable[int]],
        wrote: asyncio.Event,
        sleep: Sleep,
        random_bytes: RandomBytes,
    ) -> None:
        self._connection = connection
        self._pending = pending
        self._wrote = wrote
        self._sleep = sleep
        self._random_bytes = random_bytes
        self._poked = asyncio.Event()
        self._online = asyncio.Event()
        self._fold_s = 0.0
        self.up = False

    def synced(self, *, well: bool) -> None:
        """Note whether a sync went through: only then the server is worth listening to."""
        if well:
            self._online.set()
        else:
            self._online.clear()

    async def listen(self) -> None:
        """Keep the line up while the device is online, until cancelled. Trouble makes it wait longer, never end."""
        failures = 0
        while True:
            await self._online.wait()
            try:
                async with contextlib.aclosing(self._connection.pokes()) as pokes:
                    async for _ in pokes:
                        self.up = True
                        failures = 0
                        self._poked.set()
            except DeviceError as error:
                failures += 1
                self.up = False
                asked = error.retry_after_s if isinstance(error, Offline) else None
                # Polling goes on meanwhile, so there is time: a server with too many lines is asked ever more rarely.
                wait_s = min(asked or 0.0, LONGEST_ASKED_S) + backoff_s(failures, self._random_bytes, None)
                await self._sleep(wait_s)
            finally:
                self.up = False

    async def rest(self, interval_s: float) -> None:
        """Wait `interval_s`, or QUIET times that while the line is up; a poke or a local write ends it."""
        self._wrote.clear()
        # What was written while the sync sent the rest.
        if await self._pending():
            self._wrote.set()
        if self._fold_s:
            # One poke seldom comes alone: those that follow it are answered by one sync together.
            await self._fold(self._fold_s)
            if not self._poked.is_set():
                self._fold_s = 0.0
        for _ in range(QUIET):
            if await self._woken_within(interval_s) or not self.up:
                return

    async def _woken_within(self, seconds: float) -> bool:
        ends = self._poked.wait(), self._wrote.wait(), self._sleep(seconds)
        waits = [asyncio.ensure_future(end) for end in ends]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        poked = self._poked.is_set()
        self._poked.clear()
        self._fold_s = min(max(2 * self._fold_s, _SHORT_FOLD_S), _FOLD_S) if poked else 0.0
        if self._wrote.is_set() and not poked:
            # Nor is one write alone: a form is filled in, photos follow.
            await self._fold(_FOLD_S)
        return poked or self._wrote.is_set()

    async def _fold(self, seconds: float) -> None:
        await self._sleep(seconds + chance(self._random_bytes) * seconds)
