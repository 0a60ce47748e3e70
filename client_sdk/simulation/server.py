"""One server process: HTTP in the simulation's own process, over the shared database; it may die at any step."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

import httpx
import jwt
import msgspec

from client_sdk.simulation.accounts import PASSWORD, TOKEN_MS, Accounts, Session
from client_sdk.simulation.database import Database, SimulatedStore, SimulatedTransaction
from client_sdk.simulation.locks import ConnectionLost
from client_sdk.simulation.programs import PROGRAMS, Program
from client_sdk.simulation.signing import Signer
from client_sdk.simulation.writers import PushQueue
from client_sdk.wire import Credentials, Me, Refresh, SessionResponse
from field_schemas.access import Grant
from sync.authority import Actor
from sync.decision import Submission
from sync.errors import SequenceError, SyncError
from sync.history import history
from sync.memory import MadeSnapshot, MemorySnapshots
from sync.messages import (
    DigestRequest,
    DigestResponse,
    FetchRequest,
    FetchResponse,
    HistoryResponse,
    PullRequest,
    PullResponse,
    PushRequest,
    PushResponse,
    ReceiptRequest,
    ReceiptResponse,
    SnapshotRequest,
    SnapshotResponse,
    WireRecord,
)
from sync.pull import pull
from sync.push import push
from sync.receipts import receipt
from sync.snapshot import decode_block
from sync.storage import Collision
from sync.stretch import Stretches
from sync.verify import digest, fetch

MSGPACK = "application/msgpack"
_PROOF_WINDOW_MS = 120_000
_WRITERS = 2
_STRETCH = 2
"""Entries that are kept together: few, so that much happens between reading and showing them."""
_SNAPSHOT_FROM, _BLOCK_RECORDS, _MADE_ANEW = 4, 2, 0.3
_ATTEMPTS = 5
_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode = msgspec.msgpack.decode


class Surroundings(Protocol):
    """What a server process needs of its world."""

    database: Database
    accounts: Accounts
    signer: Signer
    happened: Counter[str]

    def now_ms(self) -> int:
        """True time, which servers have."""

    def say(self, actor: str, event: str) -> None:
        """Note an event."""

    def on_delivery(
        self,
        session: Session,
        grants: tuple[Grant, ...],
        now_ms: int,
        records: list[WireRecord],
        tx: SimulatedTransaction,
    ) -> None:
        """Look at records before they leave."""

    def broken(self, what: str, error: BaseException) -> None:
        """Note an exception that nobody should ever see."""


class Problem(Exception):
    """An answer that is a problem."""

    def __init__(self, status: int, code: str, detail: str = "", expected: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.expected = expected


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
        self._snapshots: dict[str, MadeSnapshot] = {}
        self._stretches = Stretches(_STRETCH)

    def start(self) -> None:
        """Begin to serve."""
        if self.alive:
            return
        self._world.say(self.name, f"starts, knows signs of version {self.program.version}")
        self.alive = True
        self.steps_to_live = None
        self._pushes.clear()
        self._snapshots.clear()
        self._stretches = Stretches(_STRETCH)
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

    async def _serve(self, request: httpx.Request, answer: asyncio.Future[httpx.Response | None]) -> None:
        try:
            body = await self._route(request)
            response = body if isinstance(body, httpx.Response) else httpx.Response(200, content=_encode(body))
        except Problem as problem:
            response = self._problem(problem)
        except SyncError as error:
            expected = error.expected if isinstance(error, SequenceError) else None
            status = 503 if error.code == "server_behind" else 409
            response = self._problem(Problem(status, error.code, error.detail, expected))
            self._world.happened[error.code] += 1
        except ConnectionLost:
            response = self._problem(Problem(500, "internal"))
        except Exception as error:
            self._world.broken(f"{self.name} {request.url.path}", error)
            response = self._problem(Problem(500, "internal"))
        if not answer.done():
            answer.set_result(response)

    def _problem(self, problem: Problem) -> httpx.Response:
        self._world.say(self.name, f"answers {problem.code} {problem.detail}")
        content = {
            "code": problem.code,
            "detail": problem.detail,
            "expected": problem.expected,
            "server_ms": self._world.now_ms(),
        }
        headers = {"content-type": "application/problem+json"}
        return httpx.Response(problem.status, content=msgspec.json.encode(content), headers=headers)

    async def _route(self, request: httpx.Request) -> Any:
        self._check_proof(request)
        match request.url.path:
            case "/v1/sessions":
                return self._sign_in(_decode(request.content, type=Credentials))
            case "/v1/sessions/refresh":
                return self._refresh(_decode(request.content, type=Refresh))
            case "/v1/me":
                user = self._active(request).user
                return Me(user, user, self._grants(user), self._world.now_ms())
            case "/v1/push":
                return await self._push(self._session(request), request.content)
            case "/v1/pull":
                return await self._pull(self._active(request), _decode(request.content, type=PullRequest))
            case "/v1/digests":
                return await self._digest(self._active(request), _decode(request.content, type=DigestRequest))
            case "/v1/snapshots":
                return await self._ask_snapshot(self._active(request), _decode(request.content, type=SnapshotRequest))
            case path if path.startswith("/v1/snapshots/"):
                return await self._snapshot_content(self._active(request), request)
            case "/v1/records/fetch":
                return await self._fetch(self._active(request), _decode(request.content, type=FetchRequest))
            case "/v1/receipts":
                return await self._receipt(self._session(request), _decode(request.content, type=ReceiptRequest))
            case path if path.endswith("/history"):
                return await self._history(self._active(request), uuid.UUID(path.split("/")[-2]))
        raise Problem(404, "not_found")

    def _check_proof(self, request: httpx.Request) -> None:
        claims = jwt.decode(request.headers["dpop"], options={"verify_signature": False})
        if abs(claims["iat"] * 1000 - self._world.now_ms()) > _PROOF_WINDOW_MS:
            raise Problem(401, "proof_stale")

    def _session(self, request: httpx.Request) -> Session:
        token = request.headers.get("authorization", "").removeprefix("DPoP ")
        session = self._world.accounts.session(token)
        if session is None:
            raise Problem(401, "token_invalid")
        if session.expires_ms <= self._world.now_ms():
            raise Problem(401, "token_expired")
        return session

    def _active(self, request: httpx.Request) -> Session:
        """The session of a device that may read: a revoked one may only hand in its work."""
        session = self._session(request)
        if self._world.accounts.is_revoked(session.device, self._world.now_ms()):
            raise Problem(403, "device_revoked")
        return session

    def _grants(self, user: str) -> tuple[Grant, ...]:
        return self._world.accounts.grants.get(user, ())

    def _sign_in(self, asked: Credentials) -> SessionResponse:
        if asked.password != PASSWORD:
            raise Problem(401, "credentials_wrong")
        access, refresh = self._world.accounts.sign_in(asked.user, asked.device.id, self._world.now_ms())
        return self._told(asked.user, access, refresh)

    def _refresh(self, asked: Refresh) -> SessionResponse:
        access = self._world.accounts.renew(asked.refresh_token, self._world.now_ms())
        if access is None:
            raise Problem(401, "token_reused")
        return self._told(self._world.accounts.user_of(asked.refresh_token), access, asked.refresh_token)

    def _told(self, user: str, access: str, refresh: str) -> SessionResponse:
        now = self._world.now_ms()
        key = self._world.signer.public_key
        return SessionResponse(user, user, access, TOKEN_MS // 1000, refresh, self._grants(user), now, key)

    async def _push(self, session: Session, content: bytes) -> PushResponse:
        asked = _decode(content, type=PushRequest)
        now = self._world.now_ms()
        revoked = self._world.accounts.is_revoked(session.device, now)
        actor = Actor(session.user, session.device, self._grants(session.user), revoked=revoked)
        response = await self._pushes.submit(Submission(actor, asked.changes, now, epoch=asked.epoch))
        page = await self._page_along(session, asked.pull) if asked.pull and not revoked else None
        return msgspec.structs.replace(response, page=page)

    async def _page_along(self, session: Session, asked: PullRequest) -> PullResponse | None:
        try:
            return await self._pull(session, asked)
        except SyncError:
            return None

    async def _pull(self, session: Session, asked: PullRequest) -> PullResponse:
        # Small pages, so that much happens between two of them.
        asked = msgspec.structs.replace(asked, limit=min(asked.limit, self._rng.choice((2, 5, 20, 500))))
        grants, now = self._grants(session.user), self._world.now_ms()
        async with self._store.reading() as tx:
            reader = Actor(session.user, session.device, grants)
            page = await pull(tx, self.program.registry, reader, asked, now, _SNAPSHOT_FROM, self._stretches)
            self._world.on_delivery(session, grants, now, page.records, tx)
        return page

    def _snapshots_of(self, known: Mapping[str, MadeSnapshot]) -> MemorySnapshots:
        return MemorySnapshots(self.program.registry, _BLOCK_RECORDS, known)

    async def _ask_snapshot(self, session: Session, asked: SnapshotRequest) -> SnapshotResponse:
        reader, now = Actor(session.user, session.device, self._grants(session.user)), self._world.now_ms()
        known = {} if self._rng.random() < _MADE_ANEW else dict(self._snapshots)
        snapshots = self._snapshots_of(known)
        async with self._store.reading() as tx:
            response = await snapshots.ask(tx, reader, asked, now, _SNAPSHOT_FROM)
            for made in snapshots.kept.keys() - known.keys():
                groups = [group for block in snapshots.kept[made].blocks for group in decode_block(block)]
                shown = [wire for group in groups for wire in group.records()]
                self._world.on_delivery(session, reader.grants, now, shown, tx)
        self._snapshots.update(snapshots.kept)
        return response

    async def _snapshot_content(self, session: Session, request: httpx.Request) -> httpx.Response:
        """The content from the start that the range names to a place where chance breaks it off."""
        snapshot = request.url.path.rpartition("/")[2]
        reader, now = Actor(session.user, session.device, self._grants(session.user)), self._world.now_ms()
        async with self._store.reading() as tx:
            whole = await self._snapshots_of(self._snapshots).content(tx, reader, snapshot, now)
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        end = len(whole) if self.calm else self._rng.randint(start, len(whole) * 2)
        return httpx.Response(206, stream=httpx.ByteStream(whole[start:end]))

    async def _fetch(self, session: Session, asked: FetchRequest) -> FetchResponse:
        grants, now = self._grants(session.user), self._world.now_ms()
        async with self._store.reading() as tx:
            found = await fetch(tx, self.program.registry, Actor(session.user, session.device, grants), asked, now)
            self._world.on_delivery(session, grants, now, found.records, tx)
        return found

    async def _history(self, session: Session, record: uuid.UUID) -> HistoryResponse:
        actor = Actor(session.user, session.device, self._grants(session.user))
        async with self._store.reading() as tx:
            return await history(tx, self.program.registry, actor, record, self._world.now_ms())

    async def _digest(self, session: Session, asked: DigestRequest) -> DigestResponse:
        actor = Actor(session.user, session.device, self._grants(session.user))
        async with self._store.reading() as tx:
            return await digest(tx, self.program.registry, actor, asked, self._world.now_ms())

    async def _receipt(self, session: Session, asked: ReceiptRequest) -> ReceiptResponse:
        signer = self._world.signer
        actor = Actor(session.user, session.device, self._grants(session.user))
        async with self._store.reading() as tx:
            given = await receipt(tx, actor, signer.read(asked.previous), asked.changes, self._world.now_ms())
        return ReceiptResponse(signer.sign(given))

    async def _commit(self, submissions: list[Submission]) -> list[PushResponse | SyncError]:
        for attempt in range(_ATTEMPTS):
            try:
                async with self._store.writing() as tx:
                    return await push(tx, self.program.registry, submissions, look=attempt > 0)
            except Collision:
                self._world.say(self.name, "collides")
        raise Problem(503, "overloaded")
