"""One device of a run: it works on whatever happens to the servers, and notes what it was told."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from client_sdk.torture.history import DeviceHistory
from client_sdk.torture.servers import USER, Servers
from client_sdk.torture.wire import LoadDevice, NotAsExpected, Unanswered, encoder
from client_sdk.torture.workload import Worker, World
from sync.messages import PullResponse, PushRequest, PushResponse

T = TypeVar("T")
_PULLS = 0.25
"""Of a device's calls."""
_PAGES = (50, 500, 5_000)
_FULL_PAGE = 10_000


class Traffic:
    """Counts requests, so that kills follow what goes on instead of a clock."""

    def __init__(self) -> None:
        self.requests = 0
        self.unanswered = 0
        self._sent = asyncio.Condition()

    async def note(self) -> None:
        """Count a request that is about to be sent."""
        self.requests += 1
        async with self._sent:
            self._sent.notify_all()

    async def after(self, count: int) -> None:
        """Return when `count` more requests are on their way."""
        goal = self.requests + count
        async with self._sent:
            await self._sent.wait_for(lambda: self.requests >= goal)


class Actor:
    """A device whose calls are all answered in the end, whichever processes die meanwhile.

    They raise NotAsExpected for an answer that the server should not give.
    """

    def __init__(self, servers: Servers, traffic: Traffic, world: World, rng: random.Random) -> None:
        self.history = DeviceHistory(pool=world.pool)
        self._servers = servers
        self._traffic = traffic
        self._world = world
        self._rng = rng
        self._device = LoadDevice(rng.choice(servers.urls), USER, rng.randbytes)
        self._worker = Worker(self._device, self.history, world, rng)
        self._bodies: list[bytes] = []
        self._cursor: str | None = None

    async def sign_in(self) -> None:
        """Enrol and sign in."""
        await self._answered(lambda: self._device.sign_in(self._servers.password))

    async def work(self, done: asyncio.Event) -> None:
        """Push and pull until `done`; the last push is answered too."""
        while not done.is_set():
            if self._rng.random() < _PULLS:
                await self._pull_page(self._rng.choice(_PAGES))
            else:
                await self._push_batch()

    async def pull_rest(self) -> None:
        """Pull until nothing is left."""
        while (await self._pull_page(_FULL_PAGE)).more:
            pass

    async def full_pull(self) -> list[PullResponse]:
        """Everything, from the beginning."""
        pages = [await self._page(None, _FULL_PAGE)]
        while pages[-1].more:
            pages.append(await self._page(pages[-1].cursor, _FULL_PAGE))
        return pages

    async def ask_held(self) -> None:
        """Ask how many changes the server holds."""
        self.history.held = (await self._send(encoder.encode(PushRequest([])))).held

    async def resend(self) -> None:
        """Send every batch once more."""
        for body in self._bodies:
            self.history.resent += (await self._send(body)).verdicts

    def close(self) -> None:
        """Drop the connection."""
        self._device.close()

    async def _pull_page(self, limit: int) -> PullResponse:
        page = await self._page(self._cursor, limit)
        self.history.take(page)
        self._cursor = page.cursor
        return page

    async def _push_batch(self) -> None:
        changes = self._worker.batch()
        body = encoder.encode(PushRequest(changes))
        self.history.sent += changes
        self._bodies.append(body)
        verdicts = (await self._send(body)).verdicts
        self.history.answers += verdicts
        self._world.learn(changes, verdicts)

    async def _page(self, cursor: str | None, limit: int) -> PullResponse:
        return await self._answered(lambda: self._device.pull(cursor, limit))

    async def _send(self, body: bytes) -> PushResponse:
        return await self._answered(lambda: self._device.push(body))

    async def _answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer, asked for until it comes, of whichever process is up."""
        while True:
            await self._traffic.note()
            try:
                return await call()
            except Unanswered:
                self._traffic.unanswered += 1
                self._device.turn_to(await self._servers.url(self._rng))
            except NotAsExpected as error:
                if error.code == "token_expired":
                    await self.sign_in()
                elif error.code != "overloaded":
                    raise
