"""A server in the test's own process: the HTTP contract over the real push and pull and a store in memory.

Maintained code, no mock: only accounts are simplified. Faults are asked for through `FakeServer.faults`.
"""

import asyncio
import contextlib
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import httpx
import jwt
import msgspec

from field_schemas.access import Grant
from field_schemas.registry import Registry, load_types
from sync.authority import SERVER, Actor
from sync.clock import Captured, stamp_at
from sync.compression import Coding, compressed, decompressed
from sync.decision import Submission
from sync.errors import SyncError
from sync.history import history
from sync.ids import derived_id
from sync.memory import MemorySnapshots, MemoryStore, State
from sync.messages import (
    Change,
    DigestRequest,
    FetchRequest,
    PullRequest,
    PullResponse,
    PushRequest,
    PushResponse,
    ReceiptRequest,
    ReceiptResponse,
    SnapshotRequest,
)
from sync.pull import pull
from sync.push import push
from sync.receipts import Receipt, receipt
from sync.verify import digest, fetch
from tests.fake_accounts import FakeAccounts, Problem
from tests.fake_time import Time
from tests.fake_uploads import FakeUploads

MSGPACK = "application/msgpack"
MAX_BODY_BYTES = 16 * 2**20
STATUSES = {"server_behind": 503, "record_unknown": 404, "receipt_invalid": 422, "scope_denied": 403}
_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
Fault = Callable[[httpx.Request], Awaitable[httpx.Response | None]]
REGISTRY = load_types()


class FakeServer:
    """Users, sessions, and one store; `faults` are taken one a request, before it is handled."""

    def __init__(self, time: Time, registry: Registry = REGISTRY) -> None:
        self.time = time
        self.accounts = FakeAccounts(time)
        self.registry = registry
        self.store = MemoryStore(uuid.uuid4())
        self.faults: deque[Fault | None] = deque()
        self.after: deque[Fault | None] = deque()
        self.requests: list[str] = []
        self.transport = httpx.MockTransport(self._handle)
        self.min_protocol = 1
        self.uploads = FakeUploads()
        self.lines: list[asyncio.Queue[str | None]] = []
        self.snapshot_from = 10_000
        self.snapshots = MemorySnapshots(registry, block_records=4)
        self._count = 0

    def add_user(self, name: str, *grants: Grant) -> None:
        """A user whose password is `secret`, or new grants of one."""
        self.accounts.users[name] = ("secret", grants)
        self.store.grants[name] = grants

    def replace_contents(self, store: MemoryStore | None = None) -> None:
        """Another store takes the place of the present one: a restore from backup."""
        grants = self.store.grants
        self.store = store or MemoryStore(uuid.uuid4())
        self.store.grants = grants

    async def restore(self, state: State, skip_versions: int = 1_000) -> None:
        """Go back to earlier contents, as an administrator does after a restore from backup."""
        self.store.state = state
        async with self.store.writing() as tx:
            await tx.renew(uuid.uuid4(), skip_versions)

    def say(self, event: str | None) -> None:
        """Say something on all open lines; None ends them."""
        for line in self.lines:
            line.put_nowait(event)

    async def _line(self) -> AsyncIterator[bytes]:
        said: asyncio.Queue[str | None] = asyncio.Queue()
        self.lines.append(said)
        said.put_nowait("event: poke\ndata: pull\n\n")
        try:
            while (event := await said.get()) is not None:
                yield event.encode()
        finally:
            self.lines.remove(said)

    def lose_change(self, change: uuid.UUID) -> None:
        """Forget a change that was acknowledged."""
        log = {key: logged for key, logged in self.state.log.items() if key != change}
        self.store.state = msgspec.structs.replace(self.state, log=log)

    @property
    def state(self) -> State:
        """What the store holds now."""
        return self.store.state

    def count_from(self, device: uuid.UUID, held: int) -> None:
        """Believe that the device sent `held` changes."""
        self.store.state = msgspec.structs.replace(self.state, sequences={**self.state.sequences, device: held})

    async def import_records(self, record_type: str, rows: Iterable[dict[str, Any]]) -> list[uuid.UUID]:
        """Records the server makes by itself; their ids."""
        changes = []
        for row in rows:
            self._count += 1
            key = derived_id(self.store.state.epoch, f"import {self._count}")
            captured = Captured(self.time.ms, self.time.ms, 0)
            fields = msgspec.Raw(self.registry.get(record_type).patch(row))
            changes.append(
                Change(
                    type_version=self.registry.get(record_type).version,
                    id=key, seq=1, type=record_type, record=key, stamp=stamp_at(self.time.ms),
                    captured=captured, fields=fields,
                )
            )  # fmt: skip
        await self.submit(SERVER, PushRequest(changes))
        return [change.record for change in changes]

    async def submit(self, actor: Actor, asked: PushRequest) -> PushResponse:
        """Decide a push. Raises SyncError."""
        submission = Submission(actor, asked.changes, self.time.ms, epoch=asked.epoch)
        async with self.store.writing() as tx:
            (answer,) = await push(tx, self.registry, [submission])
        if isinstance(answer, SyncError):
            raise answer
        return answer

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        plain = decompressed(request.content, request.headers.get("content-encoding", ""), MAX_BODY_BYTES)
        request = httpx.Request(request.method, request.url, headers=request.headers, content=plain)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and (answer := await fault(request)) is not None:
            return answer
        if request.url.path.startswith("/v1/uploads/"):
            return self.uploads.at(request)
        try:
            body = await self._route(request)
        except Problem as problem:
            return self._problem(problem)
        except SyncError as error:
            extra = {name: getattr(error, name) for name in ("expected", "change") if hasattr(error, name)}
            return self._problem(Problem(STATUSES.get(error.code, 409), error.code, error.detail, **extra))
        after = self.after.popleft() if self.after else None
        if after is not None and (answer := await after(request)) is not None:
            return answer
        if isinstance(body, httpx.Response):
            return body
        if body is None:
            return httpx.Response(204)
        if isinstance(body, AsyncIterator):
            return httpx.Response(200, content=body)
        packed = compressed(_encode(body), Coding.ZSTD)
        headers = {"content-type": MSGPACK, "content-encoding": Coding.ZSTD}
        return httpx.Response(200, stream=httpx.ByteStream(packed), headers=headers)

    def _problem(self, problem: Problem) -> httpx.Response:
        content = {
            "type": f"urn:gridwalk:code:{problem.code}", "title": problem.code, "status": problem.status,
            "detail": problem.detail, "code": problem.code, "server_ms": self.time.ms, **problem.extra,
        }  # fmt: skip
        headers = {"content-type": "application/problem+json"}
        return httpx.Response(problem.status, content=json.dumps(content, default=str).encode(), headers=headers)

    async def _route(self, request: httpx.Request) -> Any:
        key = self.accounts.proven(request)
        body: dict[str, Any] = {}
        match (request.method, request.url.path):
            case ("POST", "/v1/sessions"):
                body = msgspec.msgpack.decode(request.content)
                return self.accounts.sign_in(body, key) | {"epoch": self.state.epoch}
            case ("POST", "/v1/sessions/refresh"):
                token = msgspec.msgpack.decode(request.content)["refresh_token"]
                return self.accounts.refresh(token, key) | {"epoch": self.state.epoch}
            case ("DELETE", "/v1/sessions/current"):
                self.accounts.sessions.remove(self.accounts.session(request, key))
                return None
            case ("GET", "/v1/me"):
                self.accounts.active(request, key)
                return self.accounts.me(self.accounts.session(request, key))
            case ("GET", "/v1/live"):
                self.accounts.active(request, key)
                return self._line()
            case ("POST", "/v1/push"):
                asked = msgspec.msgpack.decode(request.content, type=PushRequest)
                actor = self.accounts.actor(request, key)
                answer = await self.submit(actor, asked)
                page = await self._page_along(actor, asked.pull)
                return msgspec.structs.replace(answer, page=page)
            case ("POST", "/v1/uploads"):
                self.accounts.actor(request, key)
                return self.uploads.create(request)
            case ("POST", "/v1/receipts"):
                return await self._receipt(self.accounts.actor(request, key), request.content)
        return await self._read(request, self.accounts.active(request, key))

    async def _read(self, request: httpx.Request, actor: Actor) -> Any:
        """What a revoked device may not do."""
        decode, content, now = msgspec.msgpack.decode, request.content, self.time.ms
        async with self.store.reading() as tx:
            match (request.method, *request.url.path.split("/")[2:]):
                case ("POST", "pull"):
                    return await self._pull(actor, content)
                case ("POST", "snapshots"):
                    asked = decode(content, type=SnapshotRequest)
                    return await self.snapshots.ask(tx, actor, asked, now, self.snapshot_from)
                case ("GET", "snapshots", snapshot):
                    whole = await self.snapshots.content(tx, actor, snapshot, now)
                    return _part(whole, request.headers["range"])
                case ("POST", "digests"):
                    return await digest(tx, self.registry, actor, decode(content, type=DigestRequest), now)
                case ("POST", "records", "fetch"):
                    return await fetch(tx, self.registry, actor, decode(content, type=FetchRequest), now)
                case ("GET", "records", record, "history"):
                    return await history(tx, self.registry, actor, uuid.UUID(record), now)
        raise Problem(404, "not_found")

    async def _receipt(self, actor: Actor, content: bytes) -> ReceiptResponse:
        asked = msgspec.msgpack.decode(content, type=ReceiptRequest)
        previous = self._signed(asked.previous) if asked.previous else None
        async with self.store.reading() as tx:
            made = await receipt(tx, actor, previous, asked.changes, self.time.ms)
        claims = msgspec.to_builtins(made) | {"iss": "gridwalk"}
        return ReceiptResponse(jwt.encode(claims, self.accounts.key, algorithm="EdDSA"))

    def _signed(self, text: str) -> Receipt:
        try:
            claims = jwt.decode(text, self.accounts.key.public_key(), algorithms=["EdDSA"], issuer="gridwalk")
        except jwt.PyJWTError as error:
            raise SyncError("receipt_invalid", str(error)) from error
        return msgspec.convert(claims, Receipt)

    async def _pull(self, actor: Actor, content: bytes) -> PullResponse:
        asked = msgspec.msgpack.decode(content, type=PullRequest)
        if asked.protocol < self.min_protocol:
            raise Problem(426, "client_too_old")
        async with self.store.reading() as tx:
            return await pull(tx, self.registry, actor, asked, self.time.ms, self.snapshot_from)

    async def _page_along(self, actor: Actor, asked: PullRequest | None) -> PullResponse | None:
        if asked is None or actor.revoked or asked.protocol < self.min_protocol:
            return None
        async with self.store.reading() as tx:
            with contextlib.suppress(SyncError):
                return await pull(tx, self.registry, actor, asked, self.time.ms, self.snapshot_from)
        return None


def _part(whole: bytes, wanted: str) -> httpx.Response:
    """The answer to a request for a range that has no end."""
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    return httpx.Response(206, stream=httpx.ByteStream(whole[start:]))


async def lost(_request: httpx.Request) -> httpx.Response | None:
    """A fault: the network breaks."""
    raise httpx.ReadError("the network broke")
