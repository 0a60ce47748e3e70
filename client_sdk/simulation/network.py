"""The network between one phone and the servers: slow, lossy, doubling, and gone for hours."""

import asyncio
import random
from collections.abc import Callable, Sequence

import httpx

from client_sdk.simulation.server import Server
from sync.compression import decompressed

_TIMEOUT_S = 30.0
_MOST_REQUESTS = 2_000
_LARGEST_BODY = 2**24
_LOSE_REQUEST, _LOSE_ANSWER, _DOUBLE = 0.03, 0.09, 0.15


class Link(httpx.AsyncBaseTransport):
    """A phone's way to whichever server the balancer picks."""

    def __init__(
        self, servers: Sequence[Server], rng: random.Random, now_s: Callable[[], float], say: Callable[[str], None]
    ) -> None:
        self._servers = servers
        self._rng = rng
        self._now_s = now_s
        self._say = say
        self._cut_until_s = 0.0
        self.calm = False
        self._requests = 0

    def cut(self, seconds: float) -> None:
        """No network for so long."""
        self._cut_until_s = self._now_s() + seconds

    def heal(self) -> None:
        """From now on everything arrives."""
        self._cut_until_s = 0.0
        self.calm = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request and its answer, or fail as networks do."""
        self._requests += 1
        if self._requests > _MOST_REQUESTS:
            raise RuntimeError(f"{self._requests} requests: this never ends")
        request = _unpacked(request, await request.aread())
        path = request.url.path
        await self._travel(path)
        fate = 1.0 if self.calm else self._rng.random()
        if fate < _LOSE_REQUEST:
            await self._time_out(f"{path}: the request is lost")
        answer = self._server().receive(request)
        if _LOSE_ANSWER <= fate < _DOUBLE:
            self._again_later(request)
        if _LOSE_REQUEST <= fate < _LOSE_ANSWER:
            await self._time_out(f"{path}: the answer is lost")
        try:
            response = await asyncio.wait_for(answer, _TIMEOUT_S)
        except TimeoutError:
            raise httpx.ReadTimeout("no answer in time") from None
        if response is None:
            raise httpx.ReadError("the server closed the connection")
        await self._travel(path)
        return response

    def _server(self) -> Server:
        alive = [server for server in self._servers if server.alive]
        if not alive:
            raise httpx.ConnectError("no server is up")
        return self._rng.choice(alive)

    def _again_later(self, request: httpx.Request) -> None:
        delay = self._rng.choice((0.0, 0.01, 1.0, 60.0, 3_600.0)) * self._rng.random()
        self._say(f"{request.url.path}: the request will arrive again")
        asyncio.get_running_loop().call_later(delay, self._server().receive, request)

    async def _travel(self, path: str) -> None:
        slow = 0.05 if self.calm else self._rng.choice((0.02, 0.2, 2.0))
        await asyncio.sleep(self._rng.random() * slow)
        if self._now_s() < self._cut_until_s:
            self._say(f"{path}: no network")
            await asyncio.sleep(self._rng.random() * 5)
            raise httpx.ConnectTimeout("no network")

    async def _time_out(self, why: str) -> None:
        self._say(why)
        await asyncio.sleep(_TIMEOUT_S)
        raise httpx.ReadTimeout(why)


def _unpacked(request: httpx.Request, body: bytes) -> httpx.Request:
    """The request as the server reads it, once its body is unpacked."""
    plain = decompressed(body, request.headers.get("content-encoding", ""), _LARGEST_BODY)
    return httpx.Request(request.method, request.url, headers=request.headers, content=plain)
