"""One phone with its user: what is done with the app, whoever is signed in, and what befalls the two."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

from client_sdk.errors import Invalid, NotAllowed, Offline, Rejected, SignInNeeded, UnsentWork, Wiped
from client_sdk.histories import HistoryItem
from client_sdk.reports import SyncReport
from client_sdk.simulation import app, watches
from client_sdk.simulation.accounts import PASSWORD
from client_sdk.simulation.app import App
from client_sdk.simulation.disk import Crashed
from client_sdk.simulation.network import Link
from client_sdk.simulation.watches import StoreWatch
from client_sdk.store.thread import Tables
from field_schemas.record import Record


class Surroundings(app.Surroundings, watches.Surroundings, Protocol):
    """What a phone needs of its world."""

    users: list[str]

    def rng(self, actor: str) -> random.Random:
        """The chance of one actor."""

    def broken(self, what: str, error: BaseException) -> None:
        """Note an exception that nobody should ever see."""


class Phone(App):
    """`looked_at` and `looked_up` (of a record's history) are what its user has on the screen, perhaps for long;
    `neighbours` are those who may borrow it.

    Where a session is over, its user leaves it so with the chance `reluctance`, each time.
    """

    _world: Surroundings

    def __init__(
        self, name: str, user: str, world: Surroundings, link: Link, folder: Path, rng: random.Random
    ) -> None:
        super().__init__(name, world, link, folder, rng)
        self.user = user
        self.neighbours = world.users
        self.habits = world.rng(f"{name} habits")
        self.reluctance = 0.0
        self.signed_out_ms: float | None = None
        self.looked_at: list[Record] = []
        self.looked_up: list[HistoryItem] = []
        self.watch = StoreWatch(name, world)
        self._syncs_began: list[float] = []
        self._syncing: asyncio.Task[SyncReport | None] | None = None
        self._at_sign_in = asyncio.Lock()

    async def close(self) -> None:
        """End the app: in order, or after a crash what is left of it."""
        await self._stop_syncing()
        self._clear_screen()
        await super().close()

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
        try:
            with self._under_way():
                report = await self._signed_in_sync()
        except Wiped:
            self.say("was revoked and is wiped")
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
        try:
            with self._under_way():
                report = await self.device.verify()
        except Wiped:
            self.say("was revoked and is wiped")
        except (Offline, Rejected) as error:
            self.say(f"verify: {error}")
        else:
            self.say(f"verified: {report}")

    async def sign_in(self) -> None:
        """Have the user sign in. Raises as `Device.sign_in`."""
        async with self._at_sign_in:
            self.signed_out_ms = None
            await self.device.sign_in(self.user, PASSWORD)

    async def sign_out(self) -> None:
        """Have the user sign out: from then on nobody is signed in, until somebody signs in."""
        async with self._at_sign_in:
            await self.device.sign_out()
            self.signed_out_ms = self._world.true_ms()
        self.say("is signed out")
        self.happened["signed out"] += 1

    async def hand_on(self, user: str) -> None:
        """Have another user sign in, to whom the store passes, unless work of the first waits in it."""
        self.say(f"is handed to {user}")
        try:
            async with self._at_sign_in:
                self.signed_out_ms = None
                await self.device.sign_in(user, PASSWORD)
        except UnsentWork as error:
            self.say(f"stays with {self.user}: {error}")
            self.happened["not handed on"] += 1
        except (Offline, Rejected) as error:
            self.say(f"sign-in of {user}: {error}")

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        began_ms, out_ms = self._world.true_ms(), self.signed_out_ms
        self._syncs_began.append(began_ms)
        try:
            yield
        finally:
            self._syncs_began.remove(began_ms)
        if out_ms is not None and out_ms == self.signed_out_ms:
            self.violated("signed_out_is_out", "synced while nobody was signed in")

    async def _signed_in_sync(self) -> SyncReport:
        if self.device.user is None:
            await self.sign_in()
        try:
            return await self.device.sync()
        except SignInNeeded:
            if self.habits.random() < self.reluctance:
                raise
        await self.sign_in()
        return await self.device.sync()

    async def restore_backup(self) -> None:
        """Go back to an old copy of the store: what was made since, and not sent, is gone with the old disk."""
        if not self.disk.take_backup():
            return
        self.say("gets an old copy of its store")
        self.watch.from_backup = True
        self._world.ledger.lose(self.name)
        self._replaced()
        await self.restart(reboot=True)
        self._world.ledger.find_again(row.change.id for row in self.tables.outbox.all())

    async def lose(self) -> None:
        """Fall into the river. Another phone of the same user takes its place."""
        self.say("is lost; its user gets a new phone")
        self.disk.wipe()
        self._world.ledger.lose(self.name)
        self._replaced()
        await self.restart(reboot=True)

    def _replaced(self) -> None:
        """Another store, or none, takes the place of the one that was here."""
        self.signed_out_ms = None
        self.watch.replaced()

    def _clear_screen(self) -> None:
        self.looked_at, self.looked_up = [], []

    def _look(self, tables: Tables) -> None:
        super()._look(tables)
        before = self.watch.user
        self.watch.look(tables, self.program.version, min(self._syncs_began, default=self._world.true_ms()))
        self.user = self.watch.user or self.user
        if before not in (None, self.watch.user):
            self._clear_screen()
        account = tables.meta.account if self.signed_out_ms else None
        if account is not None and account.refresh_token:
            self.violated("signed_out_is_out", "holds a token again")
