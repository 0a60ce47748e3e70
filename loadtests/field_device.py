"""A field device as a client of another make would write it, from docs/protocol.md: key, proofs, numbered changes."""

import base64
import hashlib
import os
import time
import uuid
from collections.abc import Mapping

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.messages import Change, PushRequest

encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_change = msgspec.msgpack.Decoder(Change).decode
_MSGPACK = "application/msgpack"
_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62
_FREE_BITS = ~(0xF << 76 | 0x3 << 62)


class FieldDevice:
    """One device of `user`. `stamp` is the largest stamp it has given or seen: a device pulls before it writes."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.id = new_id()
        self.token = ""
        self.stamp = 0
        self.sent = 0
        self._key = Ed25519PrivateKey.generate()
        self._public = _base64url(self._key.public_key().public_bytes_raw())

    def credentials(self, password: str) -> dict[str, object]:
        """The body of a sign-in, which enrols the device."""
        device = {"id": str(self.id), "public_key": self._public, "name": "load", "model": None}
        return {"user": self.user, "password": password, "device": device}

    def headers(self, path: str) -> dict[str, str]:
        """The headers of a POST to `path`: the proof that this device makes it now, and its token."""
        claims = {"htm": "POST", "htu": f"http://server{path}", "iat": time.time(), "jti": os.urandom(12).hex()}
        if self.token:
            claims["ath"] = _base64url(hashlib.sha256(self.token.encode()).digest())
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": self._public}
        proof = jwt.encode(claims, self._key, "EdDSA", {"typ": "dpop+jwt", "jwk": jwk})
        headers = {"Content-Type": _MSGPACK, "Accept": _MSGPACK, "DPoP": proof}
        return headers | {"Authorization": f"DPoP {self.token}"} if self.token else headers

    def push_of(self, count: int, record_type: str, fields: Mapping[str, object]) -> PushRequest:
        """The push of `count` new records, numbered on from the last."""
        return PushRequest([self._creation(record_type, fields) for _ in range(count)])

    def _creation(self, record_type: str, fields: Mapping[str, object]) -> Change:
        self.stamp += 1
        self.sent += 1
        written = {
            "id": new_id(),
            "seq": self.sent,
            "type": record_type,
            "record": new_id(),
            "stamp": self.stamp,
            "captured": {"wall_ms": _now_ms()},
            "fields": fields,
        }
        return _change(encode(written))


def new_id() -> uuid.UUID:
    """A UUIDv7."""
    by_chance = int.from_bytes(os.urandom(10), "big")
    return uuid.UUID(int=(_now_ms() << 80 | by_chance) & _FREE_BITS | _VERSION_7 | _VARIANT)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
