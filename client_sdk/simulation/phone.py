"""One phone with its owner: the real `Device`, on a simulated disk, network and clock, and what befalls it."""

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Protocol

from client_sdk.device import Device
from client_sdk.errors import Invalid, NotAllowed, Offline, Rejected, SignInNeeded, Wiped
from client_sdk.histories import HistoryItem
from client_sdk.reports import SyncReport
from client_sdk.simulation.accounts import PASSWORD
from client_sdk.simulation.clocks import PhoneClock
from client_sdk.simulation.disk import Crashed, Disk, SimulatedThread
from client_sdk.simulation.ledger import CopyWatch, CursorWatch, Ledger
from client_sdk.simulation.network import Link
from client_sdk.simulation.past import Past
from client_sdk.simulation.programs import NEWEST, PROGRAMS
from client_sdk.simulation.told import ToldWatch
from client_sdk.store.thread import Tables
from field_schemas.record import Record

URL = "https://grid.example"


class Surroundings(Protocol):
    """What a phone needs of its world."""

    ledger: Ledger
    past: Past
    happened: Counter[str]
    restored_ms: float

    def true_ms(self) -> float:
        """What no clock of a phone shows exactly."""

    def say(self, actor: str, event: str) -> None:
        """Note an event."""

    def violated(self, invariant: str, what: str) -> None:
        """Note that an invariant does not hold."""

    def broken(self, what: str, error: BaseException) -> None:
        """Note an exception that nobody should ever see."""

    def on_wiped(self, phone: str, since_ms: float) -> None:
        """Note that a phone has emptied itself in a sync that began at `since_ms`."""


class Phone:
    """`device` is the app's present life; `looked_at` and `looked_up` (of a record's history) are what its user has
    on the screen, perhaps for long."""

    def __init__(
        self, name: str, user: str, world: Surroundings, link: Link, folder: Path, rng: random.Random
    ) -> None:
        self.name = name
        self.user = user
        self.link = link
        self.rng = rng
        self.looked_at: list[Record] = []
        self.looked_up: list[HistoryItem] = []
        self.from_backup = False
        self.program = rng.choice((PROGRAMS[0], *PROGRAMS))
        self.clock = PhoneClock(world.true_ms, random.Random(rng.random()))
        self.disk = Disk(folder, random.Random(rng.random()), self._look)
        self.happened = world.happened
        self._world = world
        self._watch = CursorWatch()
        self._copies = CopyWatch()
        self._told = ToldWatch(NEWEST.registry, world.past, lambda change: world.ledger.made[change].change)
        self._syncs_began: list[float] = []
        self._stack = AsyncExitStack()
        self._device: Device | None = None
        self._syncing: asyncio.Task[SyncReport | None] | None = None
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
        await self._stop_syncing()
        self.looked_at, self.looked_up = [], []
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

    async def act(self, work: Callable[["Phone"], Awaitable[None]]) -> None:
        """Let the user do something; what the app refuses is nothing special, a crash is dealt with."""
        try:
            await work(self)
        except (NotAllowed, Invalid) as error:
            self.say(f"{work.__name__}: {error}")
        except Crashed:
            pass
        except Exception as error:
            self._world.broken(f"{self.name} {work.__name__}", error)
        if self.disk.dead:
            self.say("crashes")
            await self.restart(reboot=self.rng.random() < 0.3)

    def begin_sync(self) -> None:
        """Sync, while the user goes on."""
        if self._device is not None and (self._syncing is None or self._syncing.done()):
            self._syncing = asyncio.ensure_future(self.sync_unwatched())

    async def sync_unwatched(self) -> SyncReport | None:
        """Sync; what nobody should ever see is noted."""
        try:
            return await self.sync()
        except Crashed:
            return None
        except Exception as error:
            self._world.broken(f"{self.name} sync", error)
            return None

    async def cancel_sync(self) -> None:
        """Cancel a sync that is under way."""
        if self._syncing is not None and not self._syncing.done():
            self.say("cancels its sync")
            await self._stop_syncing()

    async def _stop_syncing(self) -> None:
        task, self._syncing = self._syncing, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def sync(self) -> SyncReport | None:
        """Sync, signing in first where that is needed; None where it did not get through."""
        self.say("syncs")
        began_ms = self._world.true_ms()
        try:
            with self._under_way():
                report = await self._signed_in_sync()
        except Wiped:
            self._wiped(began_ms)
            return None
        except Offline as error:
            self.say(f"sync: offline, {error}")
            return None
        except Rejected as error:
            self.say(f"sync: {error}")
            return None
        verdicts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.verdicts.items()))
        self.say(f"synced: sent {report.pushed} ({verdicts}), got {report.pulled}, forgot {report.forgotten}")
        return report

    async def verify(self) -> None:
        """Sync, and prove the copies equal to the server's."""
        self.say("verifies")
        began_ms = self._world.true_ms()
        try:
            with self._under_way():
                report = await self.device.verify()
        except Wiped:
            self._wiped(began_ms)
        except (Offline, Rejected) as error:
            self.say(f"verify: {error}")
        else:
            self.say(f"verified: {report}")

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        began_ms = self._world.true_ms()
        self._syncs_began.append(began_ms)
        try:
            yield
        finally:
            self._syncs_began.remove(began_ms)

    def _wiped(self, began_ms: float) -> None:
        """The device was revoked, has sent its work and forgotten everything. Its user enrols it anew."""
        self.say("was revoked and is wiped")
        self.looked_at, self.looked_up = [], []
        self._forget_watched()
        self._world.on_wiped(self.name, began_ms)

    async def _signed_in_sync(self) -> SyncReport:
        device = self.device
        if device.user is None:
            await device.sign_in(self.user, PASSWORD)
        try:
            return await device.sync()
        except SignInNeeded:
            await device.sign_in(self.user, PASSWORD)
            return await device.sync()

    async def restore_backup(self) -> None:
        """Go back to an old copy of the store: what was made since, and not sent, is gone with the old disk."""
        if not self.disk.take_backup():
            return
        self.say("gets an old copy of its store")
        self.from_backup = True
        self._world.ledger.lose(self.name)
        self._forget_watched()
        await self.restart(reboot=True)
        self._world.ledger.find_again(row.change.id for row in self.tables.outbox.all())

    async def lose(self) -> None:
        """Fall into the river. Another phone of the same user takes its place."""
        self.say("is lost; its user gets a new phone")
        self.disk.wipe()
        self._world.ledger.lose(self.name)
        self._forget_watched()
        await self.restart(reboot=True)

    def _forget_watched(self) -> None:
        """Another store, or none, takes the place of the one that was watched."""
        self._watch.forget()
        self._copies.forget()
        self._told.replaced()

    def _look(self, tables: Tables) -> None:
        """After each transaction: what is on disk now?"""
        self._tables = tables
        identity = tables.meta.identity
        if identity is None or identity.user is None:
            return
        pending = [row.change for row in tables.outbox.pending()]
        ledger = self._world.ledger
        ledger.note(self.name, identity.user, identity.device, pending, self._world.true_ms())
        if moved := self._watch.look(tables):
            self.violated("cursor_never_moves_back", moved)
        now_ms = self._world.true_ms()
        since_ms = min(self._syncs_began, default=now_ms)
        if self._world.restored_ms >= since_ms:
            self._copies.forget()
        for what in self._copies.look(tables):
            self.violated("copies_never_go_back", what)
        if self.from_backup and self.happened["restores"]:
            # Of two old copies neither knows what became of a change between them.
            return
        for what in self._told.look(tables, identity.user, self.program.version, int(since_ms), int(now_ms)):
            self.violated("told_is_shown", what)
