"""Who calls: proofs, tokens and sessions, judged in the order in which the real server judges them."""

from collections.abc import Callable

import httpx
import jwt
import msgspec

from client_sdk.simulation.accounts import PASSWORD, TOKEN_MS, Accounts, Session, Tokens
from client_sdk.wire import Credentials, Refresh, SessionResponse
from sync.errors import SyncError

_PROOF_WINDOW_MS = 120_000
_decode = msgspec.msgpack.decode


class Gate:
    """Signs devices in and out, and lets their calls through. `server_key` is told to them."""

    def __init__(self, accounts: Accounts, server_key: str, now_ms: Callable[[], int]) -> None:
        self._accounts = accounts
        self._server_key = server_key
        self._now_ms = now_ms

    def sign_in(self, request: httpx.Request) -> SessionResponse:
        """A session for whoever knows the password."""
        key, asked = self._proven_key(request), _decode(request.content, type=Credentials)
        if asked.password != PASSWORD:
            raise SyncError("credentials_wrong", "user name and password do not match")
        return self._told(self._accounts.sign_in(asked.user, asked.device.id, key, self._now_ms()))

    def refresh(self, request: httpx.Request) -> SessionResponse:
        """New tokens for a refresh token."""
        key, asked = self._proven_key(request), _decode(request.content, type=Refresh)
        return self._told(self._accounts.refresh(asked.refresh_token, key, self._now_ms()))

    def sign_out(self, request: httpx.Request) -> httpx.Response:
        """End the session of the call."""
        self.session(request).ended = True
        return httpx.Response(204)

    def session(self, request: httpx.Request) -> Session:
        """The session of a device that may hand in its work: a revoked one, too."""
        token = request.headers["authorization"].removeprefix("DPoP ")
        session = self._accounts.session(token, self._now_ms())
        self._accounts.check(session, self._proven_key(request), self._now_ms())
        return session

    def active(self, request: httpx.Request) -> Session:
        """The session of a device that may read."""
        session = self.session(request)
        if self._accounts.is_revoked(session.device, self._now_ms()):
            raise SyncError("device_revoked", f"device {session.device} was revoked")
        return session

    def _proven_key(self, request: httpx.Request) -> str:
        """The key that the call's proof names; whether it signed the proof is not asked here."""
        proof = request.headers["dpop"]
        claims = jwt.decode(proof, options={"verify_signature": False})
        if abs(claims["iat"] * 1000 - self._now_ms()) > _PROOF_WINDOW_MS:
            raise SyncError("proof_stale", "the proof is of another time")
        return str(jwt.get_unverified_header(proof)["jwk"]["x"])

    def _told(self, tokens: Tokens) -> SessionResponse:
        user = tokens.session.user
        return SessionResponse(
            user=user,
            display_name=user,
            access_token=tokens.access,
            expires_in=TOKEN_MS // 1000,
            refresh_token=tokens.refresh,
            grants=self._accounts.grants.get(user, ()),
            server_ms=self._now_ms(),
            server_key=self._server_key,
        )
