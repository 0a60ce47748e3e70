"""Who calls: the access token, and the DPoP proof that the caller holds the device's key."""

import uuid
from typing import TypeVar

from server.accounts.identities import Identity
from server.accounts.proofs import thumbprint, verify_proof
from server.accounts.sessions import Sessions
from server.accounts.tokens import AccessTokens
from server.http.negotiation import AnyRequest, Body
from sync.clock import Milliseconds
from sync.errors import SyncError

SCHEME = "DPoP"
T = TypeVar("T")


class Gate:
    """Lets a call through when token, proof and session hold."""

    def __init__(self, tokens: AccessTokens, sessions: Sessions, now_ms: Milliseconds) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._now_ms = now_ms

    async def identify(self, request: AnyRequest, *, revoked_too: bool = False) -> Identity:
        """Who makes this call; `revoked_too` where a revoked device may make it as well.

        Raises SyncError `token_missing`, `token_invalid`, `token_expired`, `proof_invalid`, `proof_stale`,
        `device_revoked` or `account_disabled`.
        """
        return await self._standing(self._admitted(request), revoked_too=revoked_too)

    async def read(self, request: AnyRequest, body: Body[T], *, revoked_too: bool = False) -> tuple[Identity, T]:
        """Who makes this call, by what holds when its body has come, and what it says. Raises as `identify` and
        `Body.read`.

        A body may take hours; whoever lost the right meanwhile has no longer got it.
        """
        session = self._admitted(request)
        message = await body.read(request)
        return await self._standing(session, revoked_too=revoked_too), message

    def _admitted(self, request: AnyRequest) -> uuid.UUID:
        """The session that the token names, with the proof that it is the caller's. Raises SyncError."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != SCHEME.lower() or not token:
            raise SyncError("token_missing", f"this call needs the header Authorization: {SCHEME} <access token>")
        claims = self._tokens.read(token, self._now_ms())
        if thumbprint(self._proof_key(request, token)) != claims.cnf.jkt:
            raise SyncError("proof_invalid", "the proof is signed by another key than the token's")
        # For the request log, also where nothing comes of the call.
        request.scope["user"] = claims
        return claims.sid

    async def _standing(self, session: uuid.UUID, *, revoked_too: bool) -> Identity:
        identity = await self._sessions.identify(session)
        if identity.revoked and not revoked_too:
            raise SyncError("device_revoked", f"device {identity.device} was revoked")
        return identity

    def proof_key(self, request: AnyRequest) -> bytes:
        """The key that signed the proof of a call without access token. Raises SyncError."""
        return self._proof_key(request, None)

    def _proof_key(self, request: AnyRequest, token: str | None) -> bytes:
        proof = request.headers.get("dpop", "")
        return verify_proof(proof, request.method, request.scope["path"], self._now_ms(), token)
