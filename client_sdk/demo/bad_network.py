"""A bad network: every connection through it is cut once the phone has sent so many bytes."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_READ = 64 * 1024


class BadNetwork:
    """Stands between phone and `server`; `url` is what the phone sees. Counts its cuts and the bytes sent through."""

    def __init__(self, server: str, cut_after: int) -> None:
        self.cuts = 0
        self.sent = 0
        self.url = ""
        self._server_port = urlsplit(server).port
        self._cut_after = cut_after
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        there, on = await asyncio.open_connection("127.0.0.1", self._server_port)
        answers = asyncio.create_task(_pass_all(there, writer))
        try:
            with suppress(OSError, asyncio.CancelledError):
                if await self._pass_some(reader, on):
                    self.cuts += 1
                else:
                    on.write_eof()
                    await answers
        finally:
            answers.cancel()
            writer.close()
            on.close()

    async def _pass_some(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether it is time for a cut; otherwise the phone has hung up."""
        passed = 0
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()
            passed += len(data)
            self.sent += len(data)
            if passed >= self._cut_after:
                return True
        return False


async def _pass_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()
