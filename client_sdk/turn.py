"""Whose turn it is to speak with the server: one exchange at a time, in the name of the session it began with."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from client_sdk.errors import SignInNeeded


class Turn:
    """`lock` is held during each exchange; who wants to let one through waits for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._under_way: asyncio.Timeout | None = None
        self._replacing = 0

    @asynccontextmanager
    async def exchange(self) -> AsyncGenerator[None, None]:
        """One exchange. Raises SignInNeeded where the session ends meanwhile: what comes then is nobody's."""
        async with self.lock:
            if self._replacing:
                raise SignInNeeded("token_missing", "another session is about to begin")
            limit = self._under_way = asyncio.timeout(None)
            try:
                async with limit:
                    yield
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise SignInNeeded("token_missing", "the session was ended meanwhile") from error
            finally:
                self._under_way = None

    @asynccontextmanager
    async def replace(self) -> AsyncGenerator[None, None]:
        """End the exchange under way, however long the network would take, and let none begin."""
        self._replacing += 1
        try:
            if self._under_way is not None and not self._under_way.expired():
                self._under_way.reschedule(asyncio.get_running_loop().time())
            async with self.lock:
                yield
        finally:
            self._replacing -= 1
