"""Who a device is: its id and Ed25519 key, and the proofs it signs (DPoP, RFC 9449)."""

import base64
import hashlib
import uuid

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.ids import RandomBytes, uuid7


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """A device's id, its raw 32-byte private key, and the user its store belongs to (None before sign-in)."""

    device: uuid.UUID
    private_key: bytes
    user: str | None = None

    @property
    def public_key(self) -> str:
        """The raw public key, base64url without padding."""
        return _b64(self._key().public_key().public_bytes_raw())

    def proof(self, method: str, url: str, *, time_ms: int, jti: str, access_token: str | None) -> str:
        """A proof that this device makes the request now."""
        claims: dict[str, object] = {"htm": method, "htu": url, "iat": time_ms / 1000, "jti": jti}
        if access_token is not None:
            claims["ath"] = _b64(hashlib.sha256(access_token.encode()).digest())
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": self.public_key}
        return jwt.encode(claims, self._key(), algorithm="EdDSA", headers={"typ": "dpop+jwt", "jwk": jwk})

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private_key)


def new_identity(time_ms: int, random_bytes: RandomBytes) -> Identity:
    """A device that no server knows yet."""
    return Identity(uuid7(time_ms, random_bytes), random_bytes(32))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
