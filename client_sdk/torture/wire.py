"""A lean device for load: signs in, keeps one connection, sends prepared changes. It keeps nothing on disk."""

import asyncio
import base64
import hashlib
import os
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sync.clock import Captured, stamp_at
from sync.ids import RandomBytes, uuid7
from sync.messages import Change, PullRequest, PullResponse, PushRequest, PushResponse

encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
TYPE = "application/msgpack"
ANSWER_WITHIN_S = 60
_LARGEST_HEAD = 2**26
_IDLE_S = 4.0
"""Servers close connections that idle, some after five seconds; so one that did is not used again, as by httpx."""
_OK = 200


class Unanswered(Exception):
    """No answer came; nobody knows what became of the request."""


class _Problem(msgspec.Struct):
    code: str


class NotAsExpected(Exception):
    """The server answered with another status than the call should have."""

    def __init__(self, path: str, status: int, body: bytes, retry_after_s: int | None = None) -> None:
        super().__init__(f"{path}: {status} {body[:1_000].decode(errors='replace')}")
        self.code = _code_of(body)
        self.retry_after_s = retry_after_s


def _code_of(body: bytes) -> str | None:
    """The code of a problem."""
    try:
        return msgspec.json.decode(body, type=_Problem).code
    except msgspec.DecodeError:
        return None


def now_ms() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000


def new_id(random_bytes: RandomBytes = os.urandom) -> uuid.UUID:
    """A UUIDv7."""
    return uuid7(now_ms(), random_bytes)


class Answer(NamedTuple):
    """An answer, and the seconds after which it asks to be asked again."""

    status: int
    body: bytes
    retry_after_s: int | None


class Connection:
    """One kept-alive HTTP/1.1 connection, opened by the first call and anew after one that failed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used_s = 0.0

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """The answer. Raises Unanswered."""
        lines = [f"POST {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._exchange("\r\n".join([*lines, "", ""]).encode() + body)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Unanswered(f"{path}: {error!r}") from error

    async def _exchange(self, request: bytes) -> Answer:
        now_s = asyncio.get_running_loop().time
        if now_s() - self._used_s > _IDLE_S:
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port, limit=_LARGEST_HEAD)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(_header(head, "content-length") or 0)
        retry_after = _header(head, "retry-after")
        body = await reader.readexactly(length)
        self._used_s = now_s()
        return Answer(int(head.split(" ", 2)[1]), body, int(retry_after) if retry_after else None)

    async def lines(self, path: str, headers: dict[str, str]) -> AsyncGenerator[str, None]:
        """The lines of a stream, on a connection of their own. Raises Unanswered when it ends, NotAsExpected."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        named = [f"{name}: {value}" for name, value in headers.items()]
        head = [f"GET {path} HTTP/1.1", f"Host: {self.host}", *named]
        try:
            writer.write("\r\n".join([*head, "", ""]).encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(answer.split(" ", 2)[1])
            if status != _OK:
                raise NotAsExpected(path, status, b"", int(_header(answer, "retry-after") or 0))
            while line := await reader.readline():
                yield line.decode().rstrip()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Unanswered(f"{path}: {error!r}") from error
        finally:
            writer.close()
        raise Unanswered(f"{path}: the stream has ended")

    def close(self) -> None:
        """Drop the connection."""
        if self._streams:
            self._streams[1].close()
        self._streams = None


def _header(head: str, name: str) -> str:
    """The value of a header, "" where it is missing; `head` in small letters."""
    return head.partition(f"\r\n{name}:")[2].partition("\r\n")[0].strip()


class LoadDevice:
    """A signed-in device. Its calls raise Unanswered and NotAsExpected."""

    def __init__(self, url: str, user: str, random_bytes: RandomBytes = os.urandom) -> None:
        self.user = user
        self.url = url
        self._random_bytes = random_bytes
        self.id = self.new_id()
        self.seq = 0
        self._connection = Connection(url)
        self._key = Ed25519PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._public = base64.urlsafe_b64encode(self.public_key).rstrip(b"=").decode()
        self._token = ""

    async def __aenter__(self) -> "LoadDevice":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def turn_to(self, url: str) -> None:
        """Send further calls to another server process."""
        self._connection.close()
        self._connection = Connection(url)
        self.url = url

    async def sign_in(self, password: str) -> None:
        """Enrol and sign in, or sign in anew."""
        self._token = ""
        device = {"id": str(self.id), "public_key": self._public, "name": "load", "model": None}
        body = {"user": self.user, "password": password, "device": device}
        session = await self._call("/v1/sessions", encoder.encode(body), 201)
        self._token = msgspec.msgpack.decode(session)["access_token"]

    def admit(self, access_token: str) -> None:
        """Go on with an access token that it did not sign in for."""
        self._token = access_token

    def new_id(self) -> uuid.UUID:
        """An id of the device's own."""
        return new_id(self._random_bytes)

    def change(
        self, record_type: str, fields: Mapping[str, object], record: uuid.UUID | None = None, base: int = 0
    ) -> Change:
        """The device's next change: of `record` as seen at version `base`, or the creation of a new one."""
        time_ms = now_ms()
        self.seq += 1
        return Change(
            id=self.new_id(),
            seq=self.seq,
            type=record_type,
            record=record or self.new_id(),
            stamp=stamp_at(time_ms) + self.seq % 4096,
            captured=Captured(time_ms, time_ms, 0, 5),
            fields=msgspec.Raw(encoder.encode(fields)),
            base=base,
        )

    def changes(self, record_type: str, count: int, fields: Mapping[str, object]) -> list[Change]:
        """`count` creations, numbered on from the last."""
        return [self.change(record_type, fields) for _ in range(count)]

    async def push(self, body: bytes) -> PushResponse:
        """Send an encoded PushRequest."""
        return msgspec.msgpack.decode(await self._call("/v1/push", body, 200), type=PushResponse)

    async def pull(self, cursor: str | None, limit: int) -> PullResponse:
        """A page."""
        return msgspec.msgpack.decode(await self.pull_raw(cursor, limit), type=PullResponse)

    async def pull_raw(self, cursor: str | None, limit: int) -> bytes:
        """A page, undecoded."""
        return await self._call("/v1/pull", encoder.encode(PullRequest(cursor, limit)), 200)

    async def pull_all(self, limit: int = 10_000) -> int:
        """Pull everything; the number of records."""
        cursor, count = None, 0
        while True:
            page = await self.pull(cursor, limit)
            count += len(page.records)
            cursor = page.cursor
            if not page.more:
                return count

    def live(self) -> AsyncGenerator[str, None]:
        """The lines of the server's event stream."""
        headers = {"DPoP": self._proof("GET", "/v1/live"), "Authorization": f"DPoP {self._token}"}
        return self._connection.lines("/v1/live", headers)

    async def pokes(self) -> AsyncGenerator[None, None]:
        """The server's pokes as they come; the first comes at once."""
        async for line in self.live():
            if line == "event: poke":
                yield

    def signature(self, path: str) -> dict[str, str]:
        """The headers that sign a POST to `path`."""
        proof = {"DPoP": self._proof("POST", path)}
        return proof | {"Authorization": f"DPoP {self._token}"} if self._token else proof

    async def _call(self, path: str, body: bytes, expected: int) -> bytes:
        headers = {"Content-Type": TYPE, "Accept": TYPE, **self.signature(path)}
        answer = await self._connection.post(path, body, headers)
        if answer.status != expected:
            raise NotAsExpected(path, answer.status, answer.body, answer.retry_after_s)
        return answer.body

    def _proof(self, method: str, path: str) -> str:
        claims = {"htm": method, "htu": f"http://server{path}", "iat": time.time(), "jti": os.urandom(12).hex()}
        if self._token:
            digest = hashlib.sha256(self._token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": self._public}
        return jwt.encode(claims, self._key, "EdDSA", {"typ": "dpop+jwt", "jwk": jwk})


def batches(
    device: LoadDevice, record_type: str, fields: Mapping[str, object], count: int, size: int = 100
) -> list[bytes]:
    """`count` encoded pushes of `size` creations each."""
    return [encoder.encode(PushRequest(device.changes(record_type, size, fields))) for _ in range(count)]
