"""A proxy on loopback that counts the bytes that pass, headers and all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Tap:
    """Forwards connections to `server`; `up` and `down` are the bytes seen so far."""

    def __init__(self, server: str) -> None:
        self.up = self.down = 0
        parts = urlsplit(server)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The address to call instead of the server's."""
        listener = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inside, outside = await asyncio.open_connection(self._host, self._port)
            await asyncio.gather(self._copy(reader, outside, up=True), self._copy(inside, writer, up=False))
        except OSError:
            writer.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, up: bool) -> None:
        while data := await source.read(2**16):
            if up:
                self.up += len(data)
            else:
                self.down += len(data)
            sink.write(data)
            await sink.drain()
        sink.close()
