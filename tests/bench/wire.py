"""A lean device for load: signs in, keeps one connection, sends prepared changes. The SDK is measured elsewhere."""

import asyncio
import base64
import hashlib
import os
import time
import uuid
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sync.clock import Captured, stamp_at
from sync.ids import uuid7
from sync.messages import Change, PullRequest, PullResponse, PushRequest, PushResponse

encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
TYPE = "application/msgpack"


def now_ms() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000


def new_id() -> uuid.UUID:
    """A UUIDv7."""
    return uuid7(now_ms(), os.urandom)


class Connection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port, limit=2**26)
        reader, writer = self._streams
        lines = [f"POST {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        return int(head.split(" ", 2)[1]), await reader.readexactly(length)

    def close(self) -> None:
        """Drop the connection."""
        if self._streams:
            self._streams[1].close()


class LoadDevice:
    """A signed-in device."""

    def __init__(self, url: str, user: str) -> None:
        self.user = user
        self.id = new_id()
        self.seq = 0
        self._connection = Connection(url)
        self._key = Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._public = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        self._token = ""

    async def __aenter__(self) -> "LoadDevice":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    async def sign_in(self, password: str) -> None:
        """Enrol and sign in."""
        device = {"id": str(self.id), "public_key": self._public, "name": "load", "model": None}
        body = {"user": self.user, "password": password, "device": device}
        session = await self._call("/v1/sessions", encoder.encode(body), 201)
        self._token = msgspec.msgpack.decode(session)["access_token"]

    def changes(self, record_type: str, count: int, fields: dict[str, Any]) -> list[Change]:
        """`count` creations, numbered on from the last."""
        time_ms = now_ms()
        raw = msgspec.Raw(encoder.encode(fields))
        made = []
        for _ in range(count):
            self.seq += 1
            made.append(
                Change(
                    id=new_id(),
                    seq=self.seq,
                    type=record_type,
                    record=new_id(),
                    stamp=stamp_at(time_ms) + self.seq % 4096,
                    captured=Captured(time_ms, time_ms, 0, 5),
                    fields=raw,
                )
            )
        return made

    async def push(self, body: bytes) -> PushResponse:
        """Send an encoded PushRequest."""
        return msgspec.msgpack.decode(await self._call("/v1/push", body, 200), type=PushResponse)

    async def pull_raw(self, cursor: str | None, limit: int) -> bytes:
        """A page, undecoded."""
        return await self._call("/v1/pull", encoder.encode(PullRequest(cursor, limit)), 200)

    async def pull_all(self, limit: int = 10_000) -> int:
        """Pull everything; the number of records."""
        cursor, count = None, 0
        while True:
            page = msgspec.msgpack.decode(await self.pull_raw(cursor, limit), type=PullResponse)
            count += len(page.records)
            cursor = page.cursor
            if not page.more:
                return count

    async def _call(self, path: str, body: bytes, expected: int) -> bytes:
        headers = {"Content-Type": TYPE, "Accept": TYPE, "DPoP": self._proof(path)}
        if self._token:
            headers["Authorization"] = f"DPoP {self._token}"
        status, answer = await self._connection.post(path, body, headers)
        if status != expected:
            raise RuntimeError(f"{path}: {status} {answer[:500]!r}")
        return answer

    def _proof(self, path: str) -> str:
        claims = {"htm": "POST", "htu": f"http://server{path}", "iat": time.time(), "jti": os.urandom(12).hex()}
        if self._token:
            digest = hashlib.sha256(self._token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": self._public}
        return jwt.encode(claims, self._key, "EdDSA", {"typ": "dpop+jwt", "jwk": jwk})


def batches(device: LoadDevice, record_type: str, fields: dict[str, Any], count: int, size: int = 100) -> list[bytes]:
    """`count` encoded pushes of `size` creations each."""
    return [encoder.encode(PushRequest(device.changes(record_type, size, fields))) for _ in range(count)]
