"""What befalls a city that nobody in the field can help: crashes, restores, upgrades, and the office's decisions."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable

from client_sdk.simulation.locks import ConnectionLost
from client_sdk.simulation.phone import Phone
from client_sdk.simulation.programs import PROGRAMS
from client_sdk.simulation.transactions import SimulatedStore
from client_sdk.simulation.world import SCOPES, START_MS, World
from field_schemas.access import Role

_PAUSES_S = (5.0, 200.0, 600.0)
_ACCOUNTS_S = 900.0
_LAST_BACKUPS = 20
_Event = Callable[[], Awaitable[None]]


class Fate:
    """Chooses one event after the other, until the run ends.

    Every other day sees restores from backups: without them invariants are sharper.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng("fate")
        self._deployments = world.rng("deployments")
        self._accounts = world.rng("accounts")
        self._loop = asyncio.get_running_loop()
        self._events: list[_Event] = [
            self._kill_server, self._kill_server, self._doom_server, self._doom_server, self._crash_database,
            self._give, self._give, self._end, self._end, self._server_writes, self._server_writes,
            self._rush, self._rush, self._rush, self._rush, self._purge, self._revoke,
            self._deploy, self._deploy,
        ]  # fmt: skip
        if self._rng.random() < 0.5:
            self._events += [self._restore_database]
        if often := getattr(self, f"_{world.scenario.often}", None):
            self._events += [often] * len(self._events)

    async def befall(self) -> None:
        """Go on until cancelled."""
        accounts = asyncio.ensure_future(self._befall_accounts())
        try:
            while True:
                await asyncio.sleep(self._rng.choice(_PAUSES_S) * self._rng.random())
                await self._rng.choice(self._events)()
        finally:
            accounts.cancel()

    async def _befall_accounts(self) -> None:
        while self._world.hands_change:
            await asyncio.sleep(_ACCOUNTS_S * self._accounts.random())
            await self._accounts.choice((self._end_sessions, self._copy_tokens, self._disable))()

    async def _kill_server(self) -> None:
        server = self._rng.choice(self._world.servers)
        server.kill()
        self._loop.call_later(self._rng.random() * 60, server.start)

    async def _deploy(self) -> None:
        """Start a server with the next program, or, after a rollback, an older one. The others follow later."""
        server = self._rng.choice(self._world.servers)
        step = self._deployments.choice((-2, -1, 1, 1, 1))
        server.update(PROGRAMS[min(max(server.program.version - 1 + step, 0), len(PROGRAMS) - 1)])
        self._world.happened["deployments"] += 1
        self._loop.call_later(self._rng.random() * 60, server.start)

    async def _doom_server(self) -> None:
        """Let a server die at one of the next steps of its transactions."""
        server = self._rng.choice(self._world.servers)
        server.steps_to_live = self._rng.randrange(12)
        self._loop.call_later(60 + self._rng.random() * 60, server.start)

    async def _crash_database(self) -> None:
        self._world.say("database", "crashes")
        self._world.database.crash()

    async def _restore_database(self) -> None:
        """Go back to a backup: the state after one of the last commits."""
        world, rng = self._world, self._rng
        if not world.database.commits:
            return
        backup = rng.choice(world.database.commits[-_LAST_BACKUPS:]).after
        held = len(world.database.state.log)
        world.say("database", f"is restored from a backup with {len(backup.log)} of {held} changes")
        world.restore(backup, uuid.UUID(int=rng.getrandbits(128), version=4))
        losers = [
            phone for phone in world.phones if world.watch.restored_away.intersection(world.ledger.of(phone.name))
        ]
        if losers and rng.random() < 0.5:
            self._revoke_phone(rng.choice(losers))

    async def _purge(self) -> None:
        """Drop the traces of what is long deleted; here, of all that is settled. Now and then the office has just
        cleared out."""
        if self._rng.random() < 0.5:
            await self._world.server_work.delete(self._rng)
        store = SimulatedStore(self._world.database, lambda: asyncio.sleep(0.01))
        with contextlib.suppress(ConnectionLost):
            async with store.writing() as tx:
                dropped = await tx.purge(await tx.horizon())
            self._world.say("office", f"purges {dropped} traces of deleted records")
            self._world.happened["purges"] += 1

    async def _revoke(self) -> None:
        """A phone is reported lost, rightly or not."""
        self._revoke_phone(self._rng.choice(self._world.phones))

    def _revoke_phone(self, phone: Phone) -> None:
        device = phone.device_id
        if device is not None:
            self._world.accounts.revoke(device, self._world.now_ms())
            self._world.say("office", f"revokes {phone.name}")

    async def _rush(self) -> None:
        """Let all sync at about the same time, several times over, as when a shift ends."""
        for phone in self._world.phones:
            for moment in (2, 4, 8, 16):
                self._loop.call_later(moment * self._rng.random(), phone.begin_sync)

    async def _give(self) -> None:
        world, rng = self._world, self._rng
        user = rng.choice(world.phones).user
        now = world.now_ms()
        scope, role = rng.choice(SCOPES), rng.choice((Role.INSPECTOR, Role.INSPECTOR, Role.SUPERVISOR, Role.STEWARD))
        ended = [grant for grant in world.accounts.grants[user] if not grant.holds_at(now)]
        if ended and rng.random() < 0.5:
            # What was taken away by mistake is given back: what was refused meanwhile can be sent again.
            again = rng.choice(ended)
            scope, role = again.scope, again.role
        until = rng.choice((None, now + rng.randrange(1_000_000)))
        grant = world.accounts.give(user, scope, role, now, until)
        ends = "" if until is None else f" until {(until - START_MS) // 1000} s"
        world.say("office", f"{user} becomes {grant.role} of {grant.scope}{ends}")

    async def _end(self) -> None:
        world, rng = self._world, self._rng
        user = rng.choice(world.phones).user
        now = world.now_ms()
        held = [grant for grant in world.accounts.grants[user] if grant.holds_at(now)]
        if held:
            grant = rng.choice(held)
            world.accounts.end(user, grant, now)
            world.say("office", f"{user} is {grant.role} of {grant.scope} no more")

    async def _server_writes(self) -> None:
        await self._world.server_work.write_field(self._rng)

    async def _end_sessions(self) -> None:
        """Give somebody a new password: who is signed in by the old one is out."""
        user = self._accounts.choice(self._world.phones).user
        self._world.accounts.end_sessions(user)
        self._world.say("office", f"ends the sessions of {user}")
        self._world.happened["sessions ended"] += 1

    async def _copy_tokens(self) -> None:
        """Somebody uses the tokens of a copied phone."""
        user = self._accounts.choice(self._world.phones).user
        self._world.accounts.outrun(user)
        self._world.say("world", f"{user}'s tokens are used elsewhere")

    async def _disable(self) -> None:
        """Disable an account for a while."""
        user = self._accounts.choice(self._world.phones).user
        disabled = self._world.accounts.disabled
        disabled.add(user)
        self._loop.call_later(900 * self._accounts.random(), disabled.discard, user)
        self._world.say("office", f"disables the account of {user}")
        self._world.happened["accounts disabled"] += 1
