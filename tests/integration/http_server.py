"""A real server in a thread of this process, and a device that speaks to it as a phone does."""

import asyncio
import base64
import hashlib
import itertools
import os
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import jwt
import msgspec
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from field_schemas.access import Role
from server.accounts.devices import Devices
from server.accounts.grants import Grants
from server.accounts.users import Users
from server.app import create_app
from server.settings import Settings
from server.storage.database import Database, open_database
from sync.clock import stamp_at
from sync.ids import uuid7
from tests.unit.builders import NOW

T = TypeVar("T")
PASSWORD = "a long enough secret"
STREET = "440304007"
GRID = STREET + "001001"
JSON = "application/json"
MSGPACK = "application/msgpack"
MAX_BODY = 200_000
MAX_BATCH = 20
_numbers = itertools.count(1)


class Accounts:
    """The use cases of administrators, on an open database."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self.database = database
        self.users = Users(database, clock)
        self.grants = Grants(database, clock)
        self.devices = Devices(database, clock)


class HttpServer:
    """The server, reachable at `url`, with a clock that tests move; `changed` are further settings."""

    def __init__(self, folder: Path, database_url: str, **changed: Any) -> None:
        self.now_ms = NOW
        self._inspector: str | None = None
        chosen = {"max_body_bytes": MAX_BODY, "max_batch": MAX_BATCH} | changed
        self.settings = Settings(data_dir=str(folder), database_url=database_url, **chosen)
        app = create_app(self.settings, clock=lambda: self.now_ms)
        config = uvicorn.Config(app, http="httptools", log_config=None, access_log=False, lifespan="on")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def __enter__(self) -> Self:
        self._thread.start()
        # The socket listens already: the first call waits until the server has started.
        assert self.client.get("/health/ready").status_code == 200
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join()

    def administer(self, work: Callable[[Accounts], Awaitable[T]]) -> T:
        """What `work` gives, done beside the server as the command line does it."""

        async def run() -> T:
            database = open_database(self.settings.database_url, 2)
            try:
                return await work(Accounts(database, lambda: self.now_ms))
            finally:
                await database.close()

        return asyncio.run(run())

    def new_user(self, *grants: tuple[str, Role], name: str | None = None) -> str:
        """A new account with PASSWORD and these grants (scope, role)."""
        user = name or f"user{next(_numbers)}"

        async def make(accounts: Accounts) -> None:
            await accounts.users.create(user, user.title(), PASSWORD)
            for scope, role in grants:
                await accounts.grants.give(user, role, scope)

        self.administer(make)
        return user

    def signed_in(self, *grants: tuple[str, Role]) -> "Phone":
        """A new device of a new account with these grants, signed in."""
        return self._sign_in(self.new_user(*grants))

    def inspector(self) -> "Phone":
        """A new device, signed in, of the one account that inspects STREET."""
        if self._inspector is None:
            self._inspector = self.new_user((f"grid:{STREET}", Role.INSPECTOR))
        return self._sign_in(self._inspector)

    def _sign_in(self, user: str) -> "Phone":
        phone = Phone(self, user)
        assert phone.sign_in().status_code == 201
        return phone


class Phone:
    """A device with its key, tokens and sequence."""

    def __init__(self, server: HttpServer, user: str) -> None:
        self.server = server
        self.user = user
        self.device = uuid.uuid4()
        self.key = Ed25519PrivateKey.generate()
        self.access_token: str | None = None
        self.refresh_token = ""
        self.seq = 0

    @property
    def public_key(self) -> str:
        """The raw public key as base64url."""
        return _base64url(self.key.public_key().public_bytes_raw())

    def proof(self, method: str, path: str, token: str | None, **changed: Any) -> str:
        """A DPoP proof; `changed` replaces claims."""
        claims: dict[str, Any] = {
            "htm": method,
            "htu": self.server.url + path,
            "iat": self.server.now_ms / 1000,
            "jti": uuid.uuid4().hex,
        }
        if token:
            claims["ath"] = _base64url(hashlib.sha256(token.encode()).digest())
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": self.public_key}
        return jwt.encode(claims | changed, self.key, algorithm="EdDSA", headers={"typ": "dpop+jwt", "jwk": jwk})

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        wire: str = JSON,
        accept: str | None = None,
        raw: bytes | Iterator[bytes] | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One call as a well-behaved device makes it."""
        token = token or self.access_token
        sent = {"DPoP": self.proof(method, path, token)}
        if token:
            sent["Authorization"] = f"DPoP {token}"
        content = raw
        if body is not None:
            content = msgspec.json.encode(body) if wire == JSON else msgspec.msgpack.encode(body)
        if content is not None:
            sent["Content-Type"] = wire
        if accept:
            sent["Accept"] = accept
        return self.server.client.request(method, path, content=content, headers=sent | (headers or {}))

    def sign_in(self, password: str = PASSWORD, **changed: Any) -> httpx.Response:
        """Sign in and keep the tokens."""
        device = {"id": str(self.device), "public_key": self.public_key, "name": "phone", "model": None}
        self.access_token = None
        body = {"user": self.user, "password": password, "device": device | changed}
        return self._keep(self.call("POST", "/v1/sessions", body))

    def refresh(self, refresh_token: str | None = None) -> httpx.Response:
        """Exchange a refresh token and keep the new ones."""
        body = {"refresh_token": refresh_token or self.refresh_token}
        held, self.access_token = self.access_token, None
        answer = self.call("POST", "/v1/sessions/refresh", body)
        self.access_token = held
        return self._keep(answer)

    def _keep(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            self.access_token = answer.json()["access_token"]
            self.refresh_token = answer.json()["refresh_token"]
        return answer

    def change(self, kind: str = "finding", **changed: Any) -> dict[str, Any]:
        """The device's next change: a finding in GRID unless `changed` says otherwise."""
        self.seq += 1
        now = self.server.now_ms
        return {
            "id": str(uuid7(now, os.urandom)),
            "seq": self.seq,
            "type": kind,
            "record": str(uuid7(now, os.urandom)),
            "stamp": stamp_at(now),
            "captured": {"wall_ms": now, "trusted_ms": now, "elapsed_ms": 0},
            "fields": {"kind": "0102", "grid": GRID, "text": "盖板破损"},
        } | changed

    def push(self, *changes: dict[str, Any], **how: Any) -> httpx.Response:
        """Push these changes."""
        return self.call("POST", "/v1/push", {"changes": changes}, **how)

    def verdict(self, *changes: dict[str, Any], **how: Any) -> dict[str, Any]:
        """Push, and the last verdict."""
        answer = self.push(*changes, **how)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = decoded(answer)["verdicts"][-1]
        return found

    def pull(self, cursor: str | None = None, **how: Any) -> dict[str, Any]:
        """Pull one page."""
        return self.ask("/v1/pull", {"cursor": cursor, "limit": 1000}, **how)

    def ask(self, path: str, body: dict[str, Any], **how: Any) -> dict[str, Any]:
        """POST what must be answered 200; the answer."""
        answer = self.call("POST", path, body, **how)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = decoded(answer)
        return found

    def history(self, record: str, **how: Any) -> list[dict[str, Any]]:
        """The entries of a record's history."""
        answer = self.call("GET", f"/v1/records/{record}/history", **how)
        assert answer.status_code == 200, answer.text
        entries: list[dict[str, Any]] = decoded(answer)["entries"]
        return entries


def decoded(answer: httpx.Response) -> Any:
    """The answer's body, whichever encoding it says it has."""
    if answer.headers["content-type"] == MSGPACK:
        return msgspec.msgpack.decode(answer.content)
    return answer.json()


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status and code of an error answer."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:gridwalk:code:{body['code']}"
    return answer.status_code, body["code"]


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
