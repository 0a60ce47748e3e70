"""A small city in virtual time: phones, servers, one database, and what befalls them."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from client_sdk.simulation.accounts import Accounts
from client_sdk.simulation.database import Database
from client_sdk.simulation.database_watch import DatabaseWatch
from client_sdk.simulation.ledger import Ledger
from client_sdk.simulation.network import Link
from client_sdk.simulation.past import Past
from client_sdk.simulation.phone import Phone
from client_sdk.simulation.programs import NEWEST, PROGRAMS
from client_sdk.simulation.server import Server
from client_sdk.simulation.server_work import FEW_RECORDS, ServerWork
from client_sdk.simulation.signing import Signer
from client_sdk.simulation.trace import Trace, short
from client_sdk.simulation.work import ACTIONS, CHANGING_HANDS, Action
from field_schemas.access import Role
from field_schemas.registry import Registry
from sync.memory import State

START_MS = 1_790_000_000_000
SCOPES = ("grid:440304", "grid:440304001", "grid:440304001001", "grid:440304001001002", "grid:440304002")
_PAUSES_S = (0.02, 0.02, 0.5, 2.0, 10.0, 300.0)
_MOST_ROUNDS = 10
_OFTEN = 8
_REFRESH_MS = (2_400_000, 86_400_000)
_HANDS = {action.work.__name__ for action in CHANGING_HANDS}
_SELDOM, _RELUCTANCE = 0.05, 0.6


class Scenario(msgspec.Struct, frozen=True):
    """The size of a run: phones, what their users do in all, and server processes; `often` names what befalls it
    (an event of `fate`, as often as all the rest together) or what people do (`work`) more than in other runs."""

    devices: int = 5
    steps: int = 160
    servers: int = 2
    often: str | None = None


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
        self.registry: Registry = NEWEST.registry
        self.trace = Trace(lambda: int(self._loop.time() * 1000))
        self.failures: list[Failure] = []
        self.ledger = Ledger()
        self.accounts = Accounts(self.rng("refresh tokens").choice(_REFRESH_MS))
        self.hands_change = self.rng("hands").random() < 0.5 or scenario.often in _HANDS
        self.past = Past(self.registry, self.accounts.grants)
        self.signer = Signer(self.rng("signer"))
        self.database = Database(uuid.UUID(int=self.rng("epoch").getrandbits(128), version=4))
        self.database.grants = self.accounts.grants
        self.watch = DatabaseWatch(self)
        self.database.on_commit = self.watch.on_commit
        self.database.on_read = self.watch.on_read
        self.restored_ms = 0.0
        self.happened: Counter[str] = Counter()
        names = [f"server-{n}" for n in range(1, scenario.servers + 1)]
        self.servers = [Server(name, self, self.rng(name)) for name in names]
        self.server_work = ServerWork(self.servers[0], self.database, self.now_ms)
        # The first has two phones.
        self.users = [f"user-{max(1, n)}" for n in range(scenario.devices)]
        self.phones = [self._phone(n, user, folder) for n, user in enumerate(self.users, 1)]
        if self.rng("programs").random() < 0.5:
            # A city where nothing was ever updated.
            for server in self.servers:
                server.program = PROGRAMS[0]
            for phone in self.phones:
                phone.program = PROGRAMS[0]
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

    def on_wiped(self, phone: str, since_ms: float) -> None:
        """What a revoked phone made is in the log before it is gone from the phone, unless it was lost with the
        database while the phone gave its last account."""
        self.happened["wipes"] += 1
        if self.restored_ms < since_ms:
            for key in self.ledger.of(phone):
                if key not in self.database.state.log:
                    self.violated(
                        "wiped_only_what_was_sent", f"{phone} was wiped before change {short(key)} was sent"
                    )
        self.ledger.lose(phone)

    def on_passed_on(self, phone: str) -> None:
        """What a phone's last user made is in the log before the store passes on, or was lost with the database."""
        self.happened["handed on"] += 1
        for key in self.ledger.of(phone):
            if key not in self.database.state.log and key not in self.watch.restored_away:
                self.violated(
                    "passed_on_only_when_sent", f"{phone} was passed on before change {short(key)} was sent"
                )
        self.ledger.lose(phone)

    def _phone(self, number: int, user: str, folder: Path) -> Phone:
        name = f"phone-{number}"
        rng = self.rng(name)
        link = Link(self.servers, self.rng(f"{name} link"), self._loop.time, lambda event: self.say(name, event))
        return Phone(name, user, self, link, folder / name, rng)

    def _on_stray(self, _loop: object, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception):
            self.broken("a task", error)

    def restore(self, backup: State, epoch: uuid.UUID) -> None:
        """Lose the database, and go on with an older state of it."""
        self.restored_ms = self.true_ms()
        self.happened["restores"] += 1
        self.watch.on_restore(self.database.state, backup)
        self.database.restore(backup, epoch)

    async def live(self, befall: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The whole run, up to the moment when all are at rest; `befall` goes on beside it until the users end."""
        self._appoint()
        for server in self.servers:
            server.start()
        rng = self.rng("import")
        for _ in range(FEW_RECORDS):
            await self.server_work.make(rng, "sample", {})
        await self.server_work.make(
            rng, "sign", {"text": "a"} if self.servers[0].program is PROGRAMS[0] else {"title": "a"}
        )
        for phone in self.phones:
            await phone.open()
        fate = asyncio.ensure_future(befall())
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

    def _appoint(self) -> None:
        rng = self.rng("office")
        users = sorted(set(self.users))
        for user in users:
            chief = user == users[-1]
            role = Role.SUPERVISOR if chief else rng.choice((*[Role.INSPECTOR] * 3, Role.STEWARD))
            for scope in ("grid:440304",) if chief else (rng.choice(SCOPES[:3]), rng.choice(SCOPES)):
                self.accounts.give(user, scope, role, START_MS - 60_000)
                self.say("office", f"{user} is {role} of {scope}")

    async def _use(self, phone: Phone, steps: int) -> None:
        """Let a user work, and on every other day sign out or pass the phone on now and then."""
        await phone.act(_sign_in)
        weights, hands = self._weights(ACTIONS), self._weights(CHANGING_HANDS)
        phone.reluctance = _RELUCTANCE if self.hands_change else 0.0
        changes_hands = _SELDOM * sum(hands) / sum(action.weight for action in CHANGING_HANDS)
        for _ in range(steps):
            await asyncio.sleep(phone.rng.choice(_PAUSES_S) * phone.rng.random())
            if self.failures:
                return
            (action,) = phone.rng.choices(ACTIONS, weights)
            await phone.act(action.work)
            if self.hands_change and phone.habits.random() < changes_hands:
                (action,) = phone.habits.choices(CHANGING_HANDS, hands)
                await phone.act(action.work)

    def _weights(self, actions: Sequence[Action]) -> list[int]:
        often = self.scenario.often
        return [action.weight * (_OFTEN if action.work.__name__ == often else 1) for action in actions]

    async def _settle(self) -> None:
        """Heal everything, wait for what is still on its way, and let all sync until nothing moves."""
        self.say("world", "heals")
        for server in self.servers:
            server.update(NEWEST)
            server.calm = True
            server.steps_to_live = None
            server.start()
        self.accounts.disabled.clear()
        for phone in self.phones:
            phone.link.heal()
            phone.reluctance = 0.0
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
            if await self._round() or self.failures:
                self.say("world", "is at rest")
                return
        self.violated("comes_to_rest", f"after {_MOST_ROUNDS} rounds of syncs something still moves")

    async def _round(self) -> bool:
        """Let everybody sync; whether nothing moved."""
        still = True
        for phone in self.phones:
            report = await phone.sync_unwatched()
            still &= report is not None and not (report.pushed or report.pulled or report.forgotten)
            await asyncio.sleep(10)
        return still


async def _sign_in(phone: Phone) -> None:
    await phone.sync()
