"""Accounts of the server in the test's own process: users, devices, sessions and the proofs of keys, simplified."""

import base64
import hashlib
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from field_schemas.access import Grant
from sync.authority import Actor
from tests.fake_time import Time

PROOF_WINDOW_MS = 120_000
TOKEN_MS = 900_000


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


class FakeAccounts:
    """Who may use a server, and who is signed in. `key` is the server's own."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.key = Ed25519PrivateKey.generate()
        self.users: dict[str, tuple[str, tuple[Grant, ...]]] = {}
        self.devices: dict[uuid.UUID, tuple[str, str]] = {}
        self.sessions: list[Session] = []
        self.revoked: set[uuid.UUID] = set()
        self._proofs: set[str] = set()
        self._count = 0

    def proven(self, request: httpx.Request) -> str:
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

    def session(self, request: httpx.Request, key: str) -> Session:
        """The session a request's token names. Raises Problem."""
        token = self._bearer(request)
        session = next((one for one in self.sessions if one.access == token and one.key == key), None)
        if session is None:
            raise Problem(401, "token_invalid")
        if session.expires_ms <= self.time.ms:
            raise Problem(401, "token_expired")
        return session

    def actor(self, request: httpx.Request, key: str) -> Actor:
        """Whom a request is from. Raises Problem."""
        session = self.session(request, key)
        grants = self.users[session.user][1]
        return Actor(session.user, session.device, grants, revoked=session.device in self.revoked)

    def active(self, request: httpx.Request, key: str) -> Actor:
        """As `actor`, for what a revoked device may not do."""
        actor = self.actor(request, key)
        if actor.revoked:
            raise Problem(403, "device_revoked")
        return actor

    def sign_in(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Begin a session; what the device is told. Raises Problem."""
        user, device = body["user"], uuid.UUID(bytes=body["device"]["id"])
        if user not in self.users or self.users[user][0] != body["password"]:
            raise Problem(401, "credentials_wrong")
        assert body["device"]["public_key"] == key
        if self.devices.setdefault(device, (user, key)) != (user, key):
            raise Problem(409, "device_taken")
        session = Session(user, device, key, *self._tokens())
        self.sessions.append(session)
        return self._told(session)

    def refresh(self, token: str, key: str) -> dict[str, Any]:
        """New tokens of a session; what the device is told. Raises Problem."""
        session = next((one for one in self.sessions if one.refresh == token and one.key == key), None)
        if session is None:
            raise Problem(401, "token_reused")
        session.access, _, session.expires_ms = self._tokens()
        return self._told(session)

    def _tokens(self) -> tuple[str, str, int]:
        self._count += 1
        return f"access-{self._count}", f"refresh-{self._count}", self.time.ms + TOKEN_MS

    def _told(self, session: Session) -> dict[str, Any]:
        return self.me(session) | {
            "access_token": session.access, "expires_in": TOKEN_MS // 1000, "refresh_token": session.refresh,
        }  # fmt: skip

    def me(self, session: Session) -> dict[str, Any]:
        """What a device is told of its user."""
        return {
            "user": session.user, "display_name": session.user.title(), "device": session.device,
            "grants": self.users[session.user][1], "server_ms": self.time.ms,
            "server_key": base64.urlsafe_b64encode(self.key.public_key().public_bytes_raw()).rstrip(b"=").decode(),
        }  # fmt: skip
