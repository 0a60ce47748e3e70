"""The app on one phone: the real `Device`, on a simulated disk and clock, closed and opened, crashed and updated."""

import random
import uuid
from collections import Counter
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Protocol

from client_sdk.device import Device
from client_sdk.simulation.clocks import PhoneClock
from client_sdk.simulation.disk import Crashed, Disk, SimulatedThread
from client_sdk.simulation.network import Link
from client_sdk.simulation.programs import NEWEST, PROGRAMS
from client_sdk.store.thread import Tables

URL = "https://grid.example"


class Surroundings(Protocol):
    """What an app needs of its world."""

    happened: Counter[str]

    def true_ms(self) -> float:
        """What no clock of a phone shows exactly."""

    def say(self, actor: str, event: str) -> None:
        """Note an event."""

    def violated(self, invariant: str, what: str) -> None:
        """Note that an invariant does not hold."""


class App:
    """`device` is the app's present life, `program` what is installed."""

    def __init__(self, name: str, world: Surroundings, link: Link, folder: Path, rng: random.Random) -> None:
        self.name = name
        self.link = link
        self.rng = rng
        self.program = rng.choice((PROGRAMS[0], *PROGRAMS))
        self.clock = PhoneClock(world.true_ms, random.Random(rng.random()))
        self.disk = Disk(folder, random.Random(rng.random()), self._look)
        self.happened = world.happened
        self._world = world
        self._stack = AsyncExitStack()
        self._device: Device | None = None
        self._tables: Tables | None = None

    @property
    def device(self) -> Device:
        """The running app. RuntimeError while it is closed."""
        if self._device is None:
            raise RuntimeError(f"{self.name} is off")
        return self._device

    @property
    def tables(self) -> Tables:
        """The store of the running app, for looking at."""
        if self._tables is None:
            raise RuntimeError(f"{self.name} is off")
        return self._tables

    @property
    def device_id(self) -> uuid.UUID | None:
        """What the office knows the running app by, None before it is enrolled or while it is closed."""
        return self._device.id if self._device is not None and self._device.user is not None else None

    def say(self, event: str) -> None:
        """Note an event."""
        self._world.say(self.name, event)

    def violated(self, invariant: str, what: str) -> None:
        """Note that an invariant does not hold."""
        self._world.violated(invariant, f"{self.name}: {what}")

    async def open(self) -> None:
        """Start the app, again and again until it comes up."""
        while True:
            try:
                self._device = await self._stack.enter_async_context(self._opened())
            except Crashed:
                self.say("crashed while opening")
                self.disk.revive()
                continue
            if self._device.rescue is not None:
                self.violated("store_sound", "a crash damaged the store")
            return

    def _opened(self) -> AbstractAsyncContextManager[Device]:
        return Device.open(
            self.disk.path,
            server=URL,
            registry=self.program.registry,
            transport=self.link,
            clocks=self.clock.clocks(),
            random_bytes=self.rng.randbytes,
            make_store=lambda _path: SimulatedThread(self.disk),
        )

    async def close(self) -> None:
        """End the app: in order, or after a crash what is left of it."""
        self._device = self._tables = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    async def restart(self, *, reboot: bool = False) -> None:
        """After a crash: clear away, and open anew what is on disk."""
        self.disk.crash()
        await self.close()
        self.disk.revive()
        if reboot:
            self.clock.reboot()
        await self.open()
        self.say("is open again")

    async def update_app(self) -> None:
        """Close the app and open a newer program, where there is one."""
        if self.program is not NEWEST:
            await self.close()
            self.program = PROGRAMS[self.program.version]
            await self.open()
            self.say(f"updated the app, which knows signs of version {self.program.version}")
            self.happened["app updates"] += 1

    def _look(self, tables: Tables) -> None:
        """After each transaction."""
        self._tables = tables
