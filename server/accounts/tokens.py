"""Access tokens (JWT, EdDSA, short-lived) and refresh tokens (random, known to the server by digest only)."""

import base64
import functools
import hashlib
import uuid

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.errors import SyncError
from sync.ids import RandomBytes

ISSUER = "gridwalk"
_ALGORITHM = "EdDSA"
_REMEMBERED = 4_096
"""Tokens whose signature need not be checked again: a device calls with the same one several times."""
_jws = jwt.PyJWS(algorithms=[_ALGORITHM])


class Confirmation(msgspec.Struct, frozen=True):
    """The key that must prove possession: its RFC 7638 thumbprint."""

    jkt: str


class AccessClaims(msgspec.Struct, frozen=True):
    """What an access token says. Times in s."""

    iss: str
    sub: str
    dev: uuid.UUID
    sid: uuid.UUID
    iat: int
    exp: int
    cnf: Confirmation


class AccessTokens:
    """Issues and reads access tokens with the server's key."""

    def __init__(self, key: Ed25519PrivateKey, life_s: int) -> None:
        self._key = key
        self._public = key.public_key()
        self.life_s = life_s
        self._claims = functools.lru_cache(_REMEMBERED)(self._verified)

    def issue(self, user: str, device: uuid.UUID, session: uuid.UUID, thumbprint: str, now_ms: int) -> str:
        """A token that lives `life_s` from `now_ms`."""
        now = now_ms // 1000
        claims = AccessClaims(ISSUER, user, device, session, now, now + self.life_s, Confirmation(thumbprint))
        return _jws.encode(msgspec.json.encode(claims), self._key, algorithm=_ALGORITHM, headers={"typ": "JWT"})

    def read(self, token: str, now_ms: int) -> AccessClaims:
        """The claims of a token. Raises SyncError `token_invalid` or `token_expired`."""
        claims = self._claims(token)
        if now_ms >= claims.exp * 1000:
            raise SyncError("token_expired", f"the access token ended at {claims.exp}")
        return claims

    def _verified(self, token: str) -> AccessClaims:
        try:
            claims = msgspec.json.decode(_jws.decode(token, self._public, algorithms=[_ALGORITHM]), type=AccessClaims)
        except (jwt.PyJWTError, msgspec.DecodeError, ValueError, RecursionError) as error:
            raise SyncError("token_invalid", "the access token was not made by this server") from error
        if claims.iss != ISSUER:
            raise SyncError("token_invalid", "the access token was not made by this server")
        return claims


def new_refresh_token(random_bytes: RandomBytes) -> str:
    """32 random bytes as text."""
    return base64.urlsafe_b64encode(random_bytes(32)).rstrip(b"=").decode()


def refresh_digest(token: str) -> bytes:
    """What the server keeps of a refresh token."""
    return hashlib.sha256(token.encode()).digest()


def honoured(generation: int, newest: int) -> bool:
    """Whether a refresh token of `generation` may be exchanged when `newest` is the session's latest.

    The newest may, and so may the one before: a later generation begins when a newest token is first used, so the
    answer that carried the newest may have got lost. An older one was used by two parties.
    """
    return generation >= newest - 1
