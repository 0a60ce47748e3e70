"""The server processes of a torture: started, killed and started again. No other process is ever touched."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from client_sdk.demo.stage import Stage, StageError
from client_sdk.torture.workload import SCOPE

USER = "torture"


class Servers:
    """`count` processes of the server over one database, with one account that supervises SCOPE."""

    def __init__(self, folder: Path, database_url: str | None, count: int) -> None:
        self._stages = [Stage(folder, database_url) for _ in range(count)]
        self._up = asyncio.Condition()
        self._running: list[int] = []
        self.urls = [stage.url for stage in self._stages]
        self.password = self._stages[0].password
        self.ready_s: list[float] = []
        self.kills = 0

    async def start(self) -> None:
        """Prepare the database and start all processes. Raises StageError."""
        first = self._stages[0]
        await first.command("init")
        await first.add_user(USER, ("supervisor", SCOPE))
        await self._each(self._start)
        self.ready_s.clear()

    async def stop(self) -> None:
        """End all processes, the killed ones' successors too."""
        await asyncio.gather(*(stage.stop_server() for stage in self._stages))

    async def url(self, rng: random.Random) -> str:
        """The address of a process that is up, as soon as there is one."""
        async with self._up:
            await self._up.wait_for(lambda: self._running)
            return self.urls[rng.choice(self._running)]

    async def kill(self, number: int) -> None:
        """Kill a process in the midst of its work and start it again.

        Raises StageError when it had ended by itself, or does not start.
        """
        stage = self._stages[number]
        if not stage.running:
            raise StageError(f"a server process ended by itself:\n{stage.log_tail()}")
        self._running.remove(number)
        await stage.kill_server()
        self.kills += 1
        await self._start(number)

    async def kill_all(self) -> None:
        """Kill all processes and start them again."""
        await self._each(self.kill)

    async def _each(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Do it with all processes, to the end with each even where one fails, so that none is left behind."""
        ends = await asyncio.gather(*(work(number) for number in range(len(self._stages))), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _start(self, number: int) -> None:
        self.ready_s.append(await self._stages[number].start_server())
        async with self._up:
            self._running.append(number)
            self._up.notify_all()
