"""A run: devices push and pull, servers die and come back, and at the end everything is asked for once more."""

import asyncio
import random
import time
from collections.abc import Callable

import msgspec

from client_sdk.demo.stage import StageError
from client_sdk.torture.actor import Actor, Traffic
from client_sdk.torture.checks import applied_versions
from client_sdk.torture.history import History
from client_sdk.torture.servers import Servers
from client_sdk.torture.wire import NotAsExpected
from client_sdk.torture.workload import World
from sync.messages import WireRecord

_LONGEST_WAIT = 80
"""Requests, at most, between a restart and the next kill."""
_FLIGHT_S = 0.02
"""How long, at most, a request is under way when the server dies, so that every step of its work is hit."""
_VISIBLE_WITHIN_S = 15
_LONGEST_RUN_S = 300
_LONGEST_KILL_S = 30


class Plan(msgspec.Struct, frozen=True):
    """How much: kills, devices, and the seed that all choices follow from."""

    kills: int
    devices: int
    seed: int


class Run:
    """All of a run; `history` is complete when `play` has ended. `killed` is called after each kill."""

    def __init__(self, servers: Servers, plan: Plan, killed: Callable[[], None]) -> None:
        self.history = History()
        self.traffic = Traffic()
        self.seconds = 0.0
        self._servers = servers
        self._plan = plan
        self._killed = killed
        self._rng = random.Random(plan.seed)  # noqa: S311 - to be repeated, not to be secret
        self._actors: list[Actor] = []

    async def play(self) -> None:
        """Raises StageError when the database holds records already.

        An answer that the server should not give, or a process that does not come back, ends the run there.
        """
        began = time.perf_counter()
        limit_s = _LONGEST_RUN_S + self._plan.kills * _LONGEST_KILL_S
        await self._assemble()
        try:
            async with asyncio.timeout(limit_s):
                await self._torture()
                await self._ask_again()
        except* (NotAsExpected, StageError) as failed:
            self.history.broken += [str(error) for error in failed.exceptions]
        except* TimeoutError:
            self.history.broken.append(f"the run did not end within {limit_s} s")
        finally:
            self.seconds = time.perf_counter() - began
            for actor in self._actors:
                actor.close()

    async def _assemble(self) -> None:
        world = World()
        for number in range(self._plan.devices):
            rng = random.Random(f"{self._plan.seed} {number}")  # noqa: S311 - to be repeated, not to be secret
            self._actors.append(Actor(self._servers, self.traffic, world, rng))
        self.history.devices = [actor.history for actor in self._actors]
        await asyncio.gather(*(actor.sign_in() for actor in self._actors))
        if await self._full_pull():
            raise StageError("the database holds records already; give an empty one")

    async def _torture(self) -> None:
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for actor in self._actors:
                group.create_task(actor.work(done))
            for _ in range(self._plan.kills):
                await self._kill_one()
            done.set()
        # The very last answers must hold too.
        await self._servers.kill_all()

    async def _kill_one(self) -> None:
        await self.traffic.after(self._rng.randint(1, _LONGEST_WAIT))
        await asyncio.sleep(self._rng.uniform(0, _FLIGHT_S))
        await self._servers.kill(self._rng.randrange(len(self._servers.urls)))
        self._killed()

    async def _ask_again(self) -> None:
        await asyncio.gather(*(actor.ask_held() for actor in self._actors))
        self.history.full = await self._visible_pull()
        await asyncio.gather(*(actor.pull_rest() for actor in self._actors))
        await asyncio.gather(*(actor.resend() for actor in self._actors))
        self.history.after = await self._full_pull()

    async def _visible_pull(self) -> list[WireRecord]:
        """A full pull, once the database has noticed that the killed processes' transactions are over."""
        expected = applied_versions(self.history)
        deadline = time.perf_counter() + _VISIBLE_WITHIN_S
        while True:
            records = await self._full_pull()
            visible = {record.id: record.version for record in records}
            if time.perf_counter() > deadline or expected.items() <= visible.items():
                return records
            await asyncio.sleep(0.1)

    async def _full_pull(self) -> list[WireRecord]:
        pages = await self._actors[0].full_pull()
        self.history.views = pages[0].scopes
        return [record for page in pages for record in page.records]
