"""A TCP proxy that cuts or stalls connections where a test says so."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

_READ = 64 * 1024


class Proxy:
    """Passes connections on to `port`. Each is cut once the client has sent `cuts.pop(0)` bytes; without cuts, never.

    With `stalls` it is not cut but left hanging, and `stalled` says so: nothing more goes through, either way.
    """

    def __init__(self, port: int, cuts: list[int], *, stalls: bool = False) -> None:
        self.stalled = asyncio.Event()
        self._away = False
        self._target = port
        self._cuts = cuts
        self._stalls = stalls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def go_away(self) -> None:
        """Break all connections, and every new one, until `come_back`."""
        self._away = True
        for task in self._tasks:
            task.cancel()

    def come_back(self) -> None:
        """Pass connections on again."""
        self._away = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._away:
            writer.close()
            return
        self._tasks.add(task)
        room = self._cuts.pop(0) if self._cuts else None
        there = await asyncio.open_connection("127.0.0.1", self._target)
        answers = asyncio.create_task(_pass_on(there[0], writer, None))
        try:
            cut = await _pass_on(reader, there[1], room)
            if cut and self._stalls:
                self.stalled.set()
                await asyncio.Event().wait()
            if cut:
                # The server hears of the cut before the client does, so that what follows has one order.
                there[1].write_eof()
            await answers
        except asyncio.CancelledError:
            # The proxy ends. Raised on, it would be reported as an error of the server.
            pass
        finally:
            answers.cancel()
            for one in (writer, there[1]):
                one.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, room: int | None) -> bool:
    """Whether it stopped because `room` bytes were passed on."""
    with suppress(OSError):
        while room != 0 and (data := await reader.read(_READ if room is None else min(room, _READ))):
            writer.write(data)
            await writer.drain()
            room = None if room is None else room - len(data)
    return room == 0
