"""A server in the test's own process: the HTTP contract over the real push and pull and a store in memory.

Maintained code, no mock: only accounts are simplified. Faults are asked for through `FakeServer.faults`.
"""

import base64
import hashlib
import json
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec

from client_sdk.clocks import Clocks
from field_schemas.access import Grant
from field_schemas.registry import Registry, load_types
from sync.authority import SERVER, Actor
from sync.clock import Captured, stamp_at
from sync.errors import SyncError
from sync.ids import derived_id
from sync.memory import MemoryStore, State
from sync.messages import Change, PullRequest, PullResponse, PushRequest, PushResponse
from sync.pull import pull
from sync.push import Submission, push

START_MS = 1_790_000_000_000
MSGPACK = "application/msgpack"
PROOF_WINDOW_MS = 120_000
TOKEN_MS = 900_000
_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
Fault = Callable[[httpx.Request], Awaitable[httpx.Response | None]]
REGISTRY = load_types()


class Time:
    """True time of a test, in ms; devices may have their own, wrong, idea of it."""

    def __init__(self) -> None:
        self.ms = START_MS

    def clocks(self, *, wrong_by_ms: int = 0, boot: str = "boot") -> Clocks:
        """The clocks of a device; sleeping lets the time pass at once."""

        async def sleep(seconds: float) -> None:
            self.ms += int(seconds * 1000)

        return Clocks(lambda: self.ms + wrong_by_ms, lambda: self.ms - START_MS, boot, sleep)


class Session(msgspec.Struct):
    """One signed-in device."""

    user: str
    device: uuid.UUID
    key: str
    access: str
    refresh: str
    expires_ms: int


class Problem(Exception):
    """An answer that is a problem."""

    def __init__(self, status: int, code: str, detail: str = "", **extra: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra


class FakeServer:
    """Users, sessions, and one store; `faults` are taken one a request, before it is handled."""

    def __init__(self, time: Time, registry: Registry = REGISTRY) -> None:
        self.time = time
        self.registry = registry
        self.store = MemoryStore(uuid.uuid4())
        self.users: dict[str, tuple[str, tuple[Grant, ...]]] = {}
        self.devices: dict[uuid.UUID, tuple[str, str]] = {}
        self.sessions: list[Session] = []
        self.faults: deque[Fault | None] = deque()
        self.after: deque[Fault | None] = deque()
        self.requests: list[str] = []
        self.transport = httpx.MockTransport(self._handle)
        self._proofs: set[str] = set()
        self._count = 0

    def add_user(self, name: str, *grants: Grant) -> None:
        """A user whose password is `secret`, or new grants of one."""
        self.users[name] = ("secret", grants)

    def replace_contents(self, store: MemoryStore | None = None) -> None:
        """Another store takes the place of the present one: a restore from backup."""
        self.store = store or MemoryStore(uuid.uuid4())

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
            key = derived_id(self.store.epoch_id, f"import {self._count}")
            captured = Captured(self.time.ms, self.time.ms, 0)
            fields = msgspec.Raw(self.registry.get(record_type).patch(row))
            changes.append(
                Change(
                    id=key, seq=1, type=record_type, record=key, stamp=stamp_at(self.time.ms),
                    captured=captured, fields=fields,
                )
            )  # fmt: skip
        await self._submit(SERVER, changes)
        return [change.record for change in changes]

    async def _submit(self, actor: Actor, changes: list[Change]) -> PushResponse:
        async with self.store.writing() as tx:
            (answer,) = await push(tx, self.registry, [Submission(actor, changes, self.time.ms)])
        if isinstance(answer, SyncError):
            raise answer
        return answer

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and (answer := await fault(request)) is not None:
            return answer
        try:
            body = await self._route(request)
        except Problem as problem:
            return self._problem(problem)
        except SyncError as error:
            extra = {"expected": error.expected} if hasattr(error, "expected") else {}
            return self._problem(Problem(409, error.code, error.detail, **extra))
        after = self.after.popleft() if self.after else None
        if after is not None and (answer := await after(request)) is not None:
            return answer
        if body is None:
            return httpx.Response(204)
        return httpx.Response(200, stream=httpx.ByteStream(_encode(body)), headers={"content-type": MSGPACK})

    def _problem(self, problem: Problem) -> httpx.Response:
        content = {
            "type": f"urn:gridwalk:code:{problem.code}", "title": problem.code, "status": problem.status,
            "detail": problem.detail, "code": problem.code, "server_ms": self.time.ms, **problem.extra,
        }  # fmt: skip
        headers = {"content-type": "application/problem+json"}
        return httpx.Response(problem.status, content=json.dumps(content).encode(), headers=headers)

    async def _route(self, request: httpx.Request) -> Any:
        key = self._proven(request)
        body: dict[str, Any] = {}
        match (request.method, request.url.path):
            case ("POST", "/v1/sessions"):
                body = msgspec.msgpack.decode(request.content)
                return self._sign_in(body, key)
            case ("POST", "/v1/sessions/refresh"):
                return self._refresh(msgspec.msgpack.decode(request.content)["refresh_token"], key)
            case ("DELETE", "/v1/sessions/current"):
                self.sessions.remove(self._session(request, key))
                return None
            case ("GET", "/v1/me"):
                return self._me(self._session(request, key))
            case ("POST", "/v1/push"):
                changes = msgspec.msgpack.decode(request.content, type=PushRequest).changes
                return await self._submit(self._actor(request, key), changes)
            case ("POST", "/v1/pull"):
                return await self._pull(self._actor(request, key), request.content)
        raise Problem(404, "not_found")

    async def _pull(self, actor: Actor, content: bytes) -> PullResponse:
        asked = msgspec.msgpack.decode(content, type=PullRequest)
        async with self.store.reading() as tx:
            return await pull(tx, self.registry, actor, asked, self.time.ms)

    def _proven(self, request: httpx.Request) -> str:
        """The public key of a valid proof."""
        proof = request.headers["dpop"]
        header = jwt.get_unverified_header(proof)
        assert header["typ"] == "dpop+jwt"
        claims = jwt.decode(proof, jwt.PyJWK(header["jwk"]), algorithms=["EdDSA"], options={"verify_iat": False})
        assert claims["htm"] == request.method
        assert urlsplit(claims["htu"]).path == request.url.path
        assert claims["jti"] not in self._proofs
        self._proofs.add(claims["jti"])
        if abs(claims["iat"] * 1000 - self.time.ms) > PROOF_WINDOW_MS:
            raise Problem(401, "proof_stale")
        if token := self._bearer(request):
            digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
            assert claims["ath"] == digest
        return str(header["jwk"]["x"])

    def _bearer(self, request: httpx.Request) -> str:
        return str(request.headers.get("authorization", "")).removeprefix("DPoP ")

    def _session(self, request: httpx.Request, key: str) -> Session:
        token = self._bearer(request)
        session = next((one for one in self.sessions if one.access == token and one.key == key), None)
        if session is None:
            raise Problem(401, "token_invalid")
        if session.expires_ms <= self.time.ms:
            raise Problem(401, "token_expired")
        return session

    def _actor(self, request: httpx.Request, key: str) -> Actor:
        session = self._session(request, key)
        return Actor(session.user, session.device, self.users[session.user][1])

    def _sign_in(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        user, device = body["user"], uuid.UUID(bytes=body["device"]["id"])
        if user not in self.users or self.users[user][0] != body["password"]:
            raise Problem(401, "credentials_wrong")
        assert body["device"]["public_key"] == key
        if self.devices.setdefault(device, (user, key)) != (user, key):
            raise Problem(409, "device_taken")
        session = Session(user, device, key, *self._tokens())
        self.sessions.append(session)
        return self._told(session)

    def _refresh(self, token: str, key: str) -> dict[str, Any]:
        session = next((one for one in self.sessions if one.refresh == token and one.key == key), None)
        if session is None:
            raise Problem(401, "token_reused")
        session.access, _, session.expires_ms = self._tokens()
        return self._told(session)

    def _tokens(self) -> tuple[str, str, int]:
        self._count += 1
        return f"access-{self._count}", f"refresh-{self._count}", self.time.ms + TOKEN_MS

    def _told(self, session: Session) -> dict[str, Any]:
        return self._me(session) | {
            "access_token": session.access, "expires_in": TOKEN_MS // 1000, "refresh_token": session.refresh,
            "epoch": self.store.epoch_id,
        }  # fmt: skip

    def _me(self, session: Session) -> dict[str, Any]:
        return {
            "user": session.user, "display_name": session.user.title(), "device": session.device,
            "grants": self.users[session.user][1], "server_ms": self.time.ms,
        }  # fmt: skip


async def lost(_request: httpx.Request) -> httpx.Response | None:
    """A fault: the network breaks."""
    raise httpx.ReadError("the network broke")
