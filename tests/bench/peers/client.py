"""A client of a peer: one kept-alive connection, in a thread of its own so that many work at once."""

import asyncio
import http.client
import uuid
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from client_sdk.torture.wire import LoadDevice
from sync.messages import MAX_PAGE
from tests.bench.turns import Work


class PeerClient:
    """Sends JSON. `acknowledged` are the ids of the records the peer said it has stored."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        where = urlsplit(url)
        self.acknowledged: set[str] = set()
        self._host, self._port = where.hostname or "", where.port
        self._headers = {"Content-Type": "application/json"} | (headers or {})
        self._connection = self._connected()
        self._thread = ThreadPoolExecutor(1)

    async def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError and HTTPException."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, method, path, body)

    def refresh(self) -> None:
        """Take a new connection: the server may have closed one that idled."""
        self._connection.close()

    def close(self) -> None:
        """End the connection and its thread."""
        self._connection.close()
        self._thread.shutdown()

    def _connected(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=60)

    def _call(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def together(clients: Iterable[PeerClient], calls: Iterable[Callable[[], Awaitable[int]]]) -> Work:
    """The work of all clients at once; how many things they did."""
    for client in clients:
        client.refresh()
    ready = list(calls)

    async def all_of_them() -> int:
        return sum(await asyncio.gather(*(call() for call in ready)))

    return all_of_them


def losses(peer: str, acknowledged: int, there: int, ours: int, ours_there: int) -> str:
    """What became of acknowledged records, in words."""
    return (
        f"acknowledged and not there: {peer} {acknowledged - there:,} of {acknowledged:,}, "
        f"Gridwalk {ours - ours_there:,} of {ours:,}"
    )


async def count_of(device: LoadDevice) -> int:
    """How many records the device receives when it asks for all; one in several scopes may come more than once."""
    device.close()
    cursor, more, seen = None, True, set[uuid.UUID]()
    while more:
        page = await device.pull(cursor, MAX_PAGE)
        seen.update(record.id for record in page.records)
        cursor, more = page.cursor, page.more
    return len(seen)
