"""The way to a server in the test's process, on which snapshots meet accidents; and the city they are of."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from client_sdk.device import Device
from tests.fake_server import FakeServer
from tests.phones import GRID, city, opened

SNAPSHOT_FROM = 5
"""Records from which on the server of `large_city` gives snapshots; its blocks hold four."""
MANY = 18


class Road(httpx.AsyncBaseTransport):
    """The way to a server, on which snapshots meet accidents: `accidents` are taken one a download."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.accidents: list[Callable[[bytes], bytes]] = []
        self.starts: list[int] = []
        self.before_asking: Callable[[], Awaitable[None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        if request.url.path == "/v1/snapshots" and self.before_asking is not None:
            await self.before_asking()
        response = await self._server.transport.handle_async_request(request)
        if not request.url.path.startswith("/v1/snapshots/") or response.status_code != 206:
            return response
        self.starts.append(int(request.headers["range"][len("bytes=") : -1]))
        content = await response.aread()
        accident = self.accidents.pop(0) if self.accidents else bytes
        return httpx.Response(206, stream=httpx.ByteStream(accident(content)))


class RoadWithoutRanges(Road):
    """A way that drops the header Range: each download is of the whole."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        if not request.url.path.startswith("/v1/snapshots/"):
            return await super().handle_async_request(request)
        request.headers["range"] = "bytes=0-"
        response = await super().handle_async_request(request)
        return httpx.Response(200, stream=response.stream)


@asynccontextmanager
async def travelling(path: Path, server: FakeServer, road: Road) -> AsyncIterator[Device]:
    """li's phone at the end of `road`."""
    async with opened(path, server, transport=road) as device:
        await device.sign_in("li", "secret")
        yield device


def break_off(content: bytes) -> bytes:
    """The connection ends in the second half of the content."""
    return content[: len(content) * 2 // 3]


def tamper(content: bytes) -> bytes:
    """One byte of the second half is another one."""
    place = len(content) * 2 // 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def end(content: bytes) -> bytes:
    """Nothing arrives: the network is gone."""
    raise httpx.ReadError("the network broke")


async def large_city() -> FakeServer:
    """A city with enough components in a street for a snapshot of five blocks."""
    server = city()
    server.snapshot_from = SNAPSHOT_FROM
    await furnish(server, MANY)
    return server


async def furnish(server: FakeServer, count: int, grid: str = GRID) -> None:
    """Components that the server imports."""
    rows = [
        {"code": f"440304010100{number:04d}", "kind": "0101", "grid": grid, "place": {"lon": 114.05, "lat": 22.54}}
        for number in range(count)
    ]
    await server.import_records("component", rows)


def contents_asked(server: FakeServer) -> int:
    """How often a snapshot's content was asked for."""
    return sum(request.startswith("GET /v1/snapshots/") for request in server.requests)
