"""A small city in virtual time: phones, servers, one database, and what befalls them."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from client_sdk.simulation.accounts import Accounts, Session
from client_sdk.simulation.database import Commit, Database, SimulatedStore, SimulatedTransaction
from client_sdk.simulation.ledger import Ledger
from client_sdk.simulation.locks import ConnectionLost
from client_sdk.simulation.network import Link
from client_sdk.simulation.phone import Phone
from client_sdk.simulation.server import Server
from client_sdk.simulation.sight import seen_by
from client_sdk.simulation.signing import Signer
from client_sdk.simulation.trace import Trace, short
from client_sdk.simulation.work import ACTIONS, GRIDS
from field_schemas.access import Grant, Role
from field_schemas.registry import Registry, load_types
from sync.authority import SERVER
from sync.clock import Captured, stamp_at
from sync.decision import Submission
from sync.messages import Change, WireRecord
from sync.push import push
from sync.storage import Collision, FeedEntry, FeedPosition

START_MS = 1_790_000_000_000
_SCOPES = ("grid:440304", "grid:440304001", "grid:440304001001", "grid:440304001001002", "grid:440304002")
_PAUSES_S = (0.02, 0.02, 0.5, 2.0, 10.0, 300.0)
_FIRST_RECORDS = 4
_MOST_ROUNDS = 10


class Scenario(msgspec.Struct, frozen=True):
    """The size of a run: phones, what their users do in all, and server processes.

    With `restores` the database is now and then restored from an older backup, and purged of old traces.
    """

    devices: int = 5
    steps: int = 160
    servers: int = 2
    restores: bool = False


class Failure(NamedTuple):
    """The invariant that does not hold, and how that showed."""

    invariant: str
    what: str


class World:
    """Everything in one run of one seed."""

    def __init__(self, seed: int, scenario: Scenario, folder: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._seed = seed
        self.scenario = scenario
        self.registry: Registry = load_types("client_sdk.simulation.types")
        self.trace = Trace(lambda: int(self._loop.time() * 1000))
        self.failures: list[Failure] = []
        self.ledger = Ledger()
        self.accounts = Accounts()
        self.signer = Signer(self.rng("signer"))
        self.database = Database(uuid.UUID(int=self.rng("epoch").getrandbits(128), version=4))
        self.database.on_commit = self._on_commit
        self.database.on_read = self._on_read
        self.restores = 0
        self.passed: dict[str, FeedPosition] = {}
        names = [f"server-{n}" for n in range(1, scenario.servers + 1)]
        self.servers = [Server(name, self, self.rng(name)) for name in names]
        self.phones = [self._phone(n, folder) for n in range(1, scenario.devices + 1)]
        self._loop.set_exception_handler(self._on_stray)

    def rng(self, actor: str) -> random.Random:
        """The chance of one actor, which no other's draws disturb."""
        return random.Random(f"{self._seed} {actor}")

    def true_ms(self) -> float:
        """True UTC ms."""
        return START_MS + self._loop.time() * 1000

    def now_ms(self) -> int:
        """True UTC ms, as servers have it."""
        return int(self.true_ms())

    def say(self, actor: str, event: str) -> None:
        """Note an event."""
        self.trace.say(actor, event)

    def violated(self, invariant: str, what: str) -> None:
        """Note that an invariant does not hold. The run ends soon."""
        self.failures.append(Failure(invariant, what))
        self.say("INVARIANT", f"{invariant}: {what}")

    def broken(self, what: str, error: BaseException) -> None:
        """Note an exception that nobody should ever see."""
        self.violated("no_stray_exception", f"{what}: {type(error).__name__}: {error}")

    def _phone(self, number: int, folder: Path) -> Phone:
        """The first user has two phones."""
        name = f"phone-{number}"
        rng = self.rng(name)
        link = Link(self.servers, self.rng(f"{name} link"), self._loop.time, lambda event: self.say(name, event))
        return Phone(name, f"user-{max(1, number - 1)}", self, link, folder / name, rng)

    def _on_stray(self, _loop: object, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception):
            self.broken("a task", error)

    def _on_commit(self, commit: Commit) -> None:
        for batch in commit.batches:
            told = ", ".join(f"{change.type} {short(change.record)} {change.outcome}" for change in batch.changes)
            self.say("database", f"commits {commit.tx}: {told or 'no change'}")
            for change in batch.changes:
                if change.id in commit.before.log:
                    self.violated("verdicts_never_change", f"change {change.id} was decided twice")
            for row in batch.feed_added:
                position = FeedPosition(row.tx, row.version)
                if position <= self.passed.get(row.feed, FeedPosition()):
                    self.violated("feeds_only_grow", f"{row.feed}: {position} came after a reader had passed it")

    def _on_read(self, feed: str, entries: Sequence[FeedEntry]) -> None:
        if entries:
            self.passed[feed] = max(self.passed.get(feed, FeedPosition()), entries[-1].position)

    def on_delivery(
        self,
        session: Session,
        grants: tuple[Grant, ...],
        now_ms: int,
        records: list[WireRecord],
        tx: SimulatedTransaction,
    ) -> None:
        """Hold what is sent to a device against what its user may see at this moment."""
        for wire in records:
            record = tx.state.records[wire.id]
            allowed = seen_by(self.registry, session.user, grants, now_ms, record)
            if allowed is None:
                self.violated("no_leak", f"{record.type} {short(record.id)} was sent to {session.user}")
                continue
            sent = msgspec.msgpack.decode(wire.fields, type=dict[str, object])
            if more := sent.keys() - allowed.keys():
                self.violated("no_leak", f"{record.type}.{', '.join(sorted(more))} was sent to {session.user}")

    async def live(self) -> None:
        """The whole run, up to the moment when all are at rest."""
        self._appoint()
        for server in self.servers:
            server.start()
        rng = self.rng("import")
        for _ in range(_FIRST_RECORDS):
            await self._server_writes(rng, rng.choice(GRIDS[:2]))
        for phone in self.phones:
            await phone.open()
        fate = asyncio.ensure_future(self._befall())
        steps = self.scenario.steps // len(self.phones)
        await asyncio.gather(*(self._use(phone, steps) for phone in self.phones))
        fate.cancel()
        await asyncio.wait([fate])
        if not self.failures:
            await self._settle()
        for phone in self.phones:
            await phone.cancel_sync()

    async def close(self) -> None:
        """End everything that still runs."""
        for phone in self.phones:
            await phone.close()
        for server in self.servers:
            server.kill()
        await asyncio.sleep(0)

    async def _server_writes(self, rng: random.Random, grid: str | None = None) -> None:
        """Let the server itself make a record in `grid`, or write the field that only it may write."""
        store = SimulatedStore(self.database, lambda: asyncio.sleep(rng.random() * 0.2))
        key = uuid.UUID(int=rng.getrandbits(128), version=4)
        samples = [one.id for one in self.database.state.records.values() if one.type == "sample" and not one.deleted]
        values = {"grid": grid} if grid else {"server": f"{rng.randrange(1000)}"}
        record = key if grid or not samples else rng.choice(samples)
        now = self.now_ms()
        fields = msgspec.Raw(self.registry.get("sample").patch(values))
        change = Change(
            id=key, seq=1, type="sample", record=record, stamp=stamp_at(now), captured=Captured(now, now, 0),
            fields=fields,
        )  # fmt: skip
        with contextlib.suppress(Collision, ConnectionLost):
            async with store.writing() as tx:
                await push(tx, self.registry, [Submission(SERVER, [change], now)])

    def _appoint(self) -> None:
        rng = self.rng("office")
        users = sorted({phone.user for phone in self.phones})
        for user in users:
            chief = user == users[-1]
            role = Role.SUPERVISOR if chief else rng.choice((Role.INSPECTOR, Role.INSPECTOR, Role.STEWARD))
            for scope in ("grid:440304",) if chief else (rng.choice(_SCOPES[:3]), rng.choice(_SCOPES)):
                self.accounts.give(user, scope, role, START_MS - 60_000)
                self.say("office", f"{user} is {role} of {scope}")

    async def _use(self, phone: Phone, steps: int) -> None:
        """Let a user work."""
        await phone.act(_sign_in)
        weights = [action.weight for action in ACTIONS]
        for _ in range(steps):
            await asyncio.sleep(phone.rng.choice(_PAUSES_S) * phone.rng.random())
            if self.failures:
                return
            (action,) = phone.rng.choices(ACTIONS, weights)
            await phone.act(action.work)

    async def _befall(self) -> None:
        """What nobody in the field can help."""
        rng = self.rng("fate")
        events: tuple[Callable[[random.Random], Awaitable[None]], ...] = (
            self._kill_server, self._kill_server, self._doom_server, self._doom_server, self._crash_database,
            self._give, self._give, self._end, self._end, self._server_writes, self._server_writes,
            self._rush, self._rush, self._rush, self._rush,
        )  # fmt: skip
        if self.scenario.restores:
            events = (*events, self._restore_database, self._purge)
        while True:
            await asyncio.sleep(rng.choice((5.0, 200.0, 600.0)) * rng.random())
            await rng.choice(events)(rng)

    async def _kill_server(self, rng: random.Random) -> None:
        server = rng.choice(self.servers)
        server.kill()
        self._loop.call_later(rng.random() * 60, server.start)

    async def _doom_server(self, rng: random.Random) -> None:
        """Let a server die at one of the next steps of its transactions."""
        server = rng.choice(self.servers)
        server.steps_to_live = rng.randrange(12)
        self._loop.call_later(60 + rng.random() * 60, server.start)

    async def _crash_database(self, _rng: random.Random) -> None:
        self.say("database", "crashes")
        self.database.crash()

    async def _restore_database(self, rng: random.Random) -> None:
        """Go back to a backup: the state after one of the last commits."""
        if not self.database.commits:
            return
        backup = rng.choice(self.database.commits[-20:]).after
        self.say(
            "database", f"is restored from a backup with {len(backup.log)} of {len(self.database.state.log)} changes"
        )
        self.restores += 1
        self.database.restore(backup, uuid.UUID(int=rng.getrandbits(128), version=4))
        self.passed.clear()

    async def _purge(self, _rng: random.Random) -> None:
        """Drop the traces of what is long deleted; here, of all that is settled."""
        store = SimulatedStore(self.database, lambda: asyncio.sleep(0.01))
        with contextlib.suppress(ConnectionLost):
            async with store.writing() as tx:
                dropped = await tx.purge(await tx.horizon())
        self.say("office", f"purges {dropped} traces of deleted records")

    async def _rush(self, rng: random.Random) -> None:
        """Let all sync at about the same time, several times over, as when a shift ends."""
        for phone in self.phones:
            for moment in (2, 4, 8, 16):
                self._loop.call_later(moment * rng.random(), phone.begin_sync)

    async def _give(self, rng: random.Random) -> None:
        user = rng.choice(self.phones).user
        role = rng.choice((Role.INSPECTOR, Role.INSPECTOR, Role.SUPERVISOR, Role.STEWARD))
        now = self.now_ms()
        until = rng.choice((None, now + rng.randrange(1_000_000)))
        grant = self.accounts.give(user, rng.choice(_SCOPES), role, now, until)
        ends = "" if until is None else f" until {(until - START_MS) // 1000} s"
        self.say("office", f"{user} becomes {grant.role} of {grant.scope}{ends}")

    async def _end(self, rng: random.Random) -> None:
        user = rng.choice(self.phones).user
        now = self.now_ms()
        held = [grant for grant in self.accounts.grants[user] if grant.holds_at(now)]
        if held:
            grant = rng.choice(held)
            self.accounts.end(user, grant, now)
            self.say("office", f"{user} is {grant.role} of {grant.scope} no more")

    async def _settle(self) -> None:
        """Heal everything, wait for what is still on its way, and let all sync until nothing moves."""
        self.say("world", "heals")
        for server in self.servers:
            server.calm = True
            server.steps_to_live = None
            server.start()
        for phone in self.phones:
            phone.link.heal()
            phone.disk.calm = True
            phone.disk.steps_to_live = None
        await asyncio.sleep(3_700)
        for server in self.servers:
            server.steps_to_live = None
            server.start()
        for phone in self.phones:
            if phone.disk.dead:
                await phone.restart()
        for _ in range(_MOST_ROUNDS):
            if await self._round():
                self.say("world", "is at rest")
                return
        self.violated("comes_to_rest", f"after {_MOST_ROUNDS} rounds of syncs something still moves")

    async def _round(self) -> bool:
        """Let everybody sync; whether nothing moved."""
        still = True
        for phone in self.phones:
            report = await phone.sync()
            still &= report is not None and not (report.pushed or report.pulled or report.forgotten)
            await asyncio.sleep(10)
        return still


async def _sign_in(phone: Phone) -> None:
    await phone.sync()
