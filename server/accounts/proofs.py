"""DPoP proofs (RFC 9449): a device shows with every call that it holds its key. Pure."""

import base64
import binascii
import hashlib
from typing import Literal
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sync.errors import SyncError

WINDOW_S = 120
"""How far the proof's time may be off either way."""
KEY_BYTES = 32
_ALGORITHM = "EdDSA"
_jws = jwt.PyJWS(algorithms=[_ALGORITHM])


class Jwk(msgspec.Struct, frozen=True):
    """An Ed25519 public key as JSON Web Key."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str


class ProofHeader(msgspec.Struct, frozen=True):
    """The header of a proof."""

    typ: Literal["dpop+jwt"]
    alg: Literal["EdDSA"]
    jwk: Jwk


class ProofClaims(msgspec.Struct, frozen=True):
    """What a proof says: method, URL, time (s), a nonce, and the digest of the token it comes with."""

    htm: str
    htu: str
    iat: float
    jti: str
    ath: str | None = None


def verify_proof(proof: str, method: str, path: str, now_ms: int, access_token: str | None) -> bytes:
    """The raw public key (32 bytes) that signed `proof` for this call.

    Of the proof's URL only the path counts: proxies change the rest. Raises SyncError `proof_invalid` or
    `proof_stale`.
    """
    try:
        header = msgspec.convert(jwt.get_unverified_header(proof), ProofHeader)
        key = decode_key(header.jwk.x)
        payload = _jws.decode(proof, Ed25519PublicKey.from_public_bytes(key), algorithms=[_ALGORITHM])
        claims = msgspec.json.decode(payload, type=ProofClaims)
        proven_path = urlsplit(claims.htu).path
    except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SyncError("proof_invalid", f"the proof cannot be read: {error}") from error
    if (claims.htm, proven_path) != (method, path):
        raise SyncError("proof_invalid", f"the proof is for another call than {method} {path}")
    if claims.ath != (token_hash(access_token) if access_token else None):
        raise SyncError("proof_invalid", "the proof does not belong to the access token")
    if abs(claims.iat - now_ms / 1000) > WINDOW_S:
        raise SyncError("proof_stale", f"the proof's time is more than {WINDOW_S} s off")
    return key


def decode_key(text: str) -> bytes:
    """The 32 raw bytes of a base64url public key. Raises ValueError."""
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"a public key is base64url text: {error}") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"an Ed25519 public key has {KEY_BYTES} bytes")
    return key


def token_hash(access_token: str) -> str:
    """The claim `ath` for an access token."""
    return base64url(hashlib.sha256(access_token.encode()).digest())


def thumbprint(key: bytes) -> str:
    """The RFC 7638 thumbprint of a raw Ed25519 public key."""
    members = f'{{"crv":"Ed25519","kty":"OKP","x":"{base64url(key)}"}}'
    return base64url(hashlib.sha256(members.encode()).digest())


def base64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
