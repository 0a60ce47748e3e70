"""One server process: HTTP in the simulation's own process, over the shared database; it may die at any step."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Protocol

import httpx
import msgspec

from client_sdk.simulation import routes
from client_sdk.simulation.database import Database
from client_sdk.simulation.locks import ConnectionLost
from client_sdk.simulation.programs import PROGRAMS, Program
from client_sdk.simulation.routes import Routes
from client_sdk.simulation.transactions import SimulatedStore
from client_sdk.simulation.writers import PushQueue
from sync.decision import Submission
from sync.errors import SequenceError, SyncError
from sync.messages import PushResponse
from sync.push import push
from sync.storage import Collision

_WRITERS = 2
_ATTEMPTS = 5
_STATUS = {
    "credentials_wrong": 401,
    "token_expired": 401,
    "token_invalid": 401,
    "token_reused": 401,
    "proof_invalid": 401,
    "proof_stale": 401,
    "account_disabled": 403,
    "device_revoked": 403,
    "not_found": 404,
    "internal": 500,
    "overloaded": 503,
    "server_behind": 503,
}
"""Of the others the device asks the code alone."""
_ORDINARY = ("proof_stale", "token_expired")
_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Surroundings(routes.Surroundings, Protocol):
    """What a server process needs of its world."""

    database: Database
    happened: Counter[str]

    def say(self, actor: str, event: str) -> None:
        """Note an event."""

    def broken(self, what: str, error: BaseException) -> None:
        """Note an exception that nobody should ever see."""


class Server:
    """Handles requests in tasks of its own; `kill` ends all of them, and `start` is needed again."""

    def __init__(self, name: str, world: Surroundings, rng: random.Random) -> None:
        self.name = name
        self.alive = False
        self.steps_to_live: int | None = None
        self.calm = False
        self.program = PROGRAMS[1]
        self._world = world
        self._rng = rng
        self._store = SimulatedStore(world.database, self._pace)
        self._tasks: list[asyncio.Task[None]] = []
        self._requests: list[asyncio.Future[httpx.Response | None]] = []
        self._pushes = PushQueue(self._commit)
        self._routes = self._new_routes()

    def start(self) -> None:
        """Begin to serve."""
        if self.alive:
            return
        self._world.say(self.name, f"starts, knows signs of version {self.program.version}")
        self.alive = True
        self.steps_to_live = None
        self._pushes.clear()
        self._routes = self._new_routes()
        self._tasks = [asyncio.ensure_future(self._pushes.write()) for _ in range(_WRITERS)]

    def kill(self) -> None:
        """Die at once. Requests in flight get no answer; a transaction commits wholly or not at all."""
        if not self.alive:
            return
        self._world.say(self.name, "is killed")
        self.alive = False
        self._store.kill()
        for task in self._tasks:
            task.cancel()
        for answer in self._requests:
            if not answer.done():
                answer.set_result(None)
        self._tasks, self._requests = [], []

    def update(self, program: Program) -> None:
        """Be started with another program next time."""
        self.kill()
        self.program = program

    def receive(self, request: httpx.Request) -> asyncio.Future[httpx.Response | None]:
        """Take a request; its answer, None when the process died over it."""
        answer: asyncio.Future[httpx.Response | None] = asyncio.get_running_loop().create_future()
        if not self.alive:
            answer.set_result(None)
            return answer
        self._requests = [one for one in self._requests if not one.done()]
        self._requests.append(answer)
        self._spawn(self._serve(request, answer))
        return answer

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.ensure_future(work))

    async def _pace(self) -> None:
        """One step of a transaction takes a moment, sometimes a long one, and may be the last."""
        if self.steps_to_live is not None:
            self.steps_to_live -= 1
            if self.steps_to_live < 0:
                self.kill()
        roll = 1.0 if self.calm else self._rng.random()
        slow = 20.0 if roll < 0.01 else 1.0 if roll < 0.2 else 0.01
        await asyncio.sleep(self._rng.random() * slow)

    def _new_routes(self) -> Routes:
        return Routes(self._world, self._store, self.program, self._pushes.submit, self._rng, calm=self.calm)

    async def _serve(self, request: httpx.Request, answer: asyncio.Future[httpx.Response | None]) -> None:
        try:
            body = await self._routes.answer(request)
            response = body if isinstance(body, httpx.Response) else httpx.Response(200, content=_encode(body))
        except SyncError as error:
            if error.code not in _ORDINARY:
                self._world.happened[error.code] += 1
            response = self._problem(error)
        except ConnectionLost:
            response = self._problem(SyncError("internal", "the connection to the database is lost"))
        except Exception as error:
            self._world.broken(f"{self.name} {request.url.path}", error)
            response = self._problem(SyncError("internal", "a fault"))
        if not answer.done():
            answer.set_result(response)

    def _problem(self, error: SyncError) -> httpx.Response:
        self._world.say(self.name, f"answers {error.code} {error.detail}")
        content = {
            "code": error.code,
            "detail": error.detail,
            "expected": error.expected if isinstance(error, SequenceError) else None,
            "server_ms": self._world.now_ms(),
        }
        headers = {"content-type": "application/problem+json"}
        return httpx.Response(_STATUS.get(error.code, 409), content=msgspec.json.encode(content), headers=headers)

    async def _commit(self, submissions: list[Submission]) -> list[PushResponse | SyncError]:
        for attempt in range(_ATTEMPTS):
            try:
                async with self._store.writing() as tx:
                    return await push(tx, self.program.registry, submissions, look=attempt > 0)
            except Collision:
                self._world.say(self.name, "collides")
        raise SyncError("overloaded", "collisions without end")
