"""HTTP to the server: proofs, tokens, and problems turned into errors."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple, TypeVar

import httpx
import msgspec

from client_sdk.clocks import Clocks
from client_sdk.errors import DeviceError, Offline, Rejected, SignInNeeded, TooOld
from client_sdk.identity import Identity
from client_sdk.sessions import Sessions
from client_sdk.wire import (
    Credentials,
    EnrolledDevice,
    Me,
    MediaLink,
    Problem,
    PublishRequest,
    Refresh,
    SessionResponse,
)
from sync.clock import TrustedClock
from sync.compression import WORTH_BYTES, Coding, compressed, decompressed
from sync.errors import SyncError
from sync.ids import RandomBytes
from sync.messages import (
    DigestRequest,
    DigestResponse,
    FetchRequest,
    FetchResponse,
    HistoryResponse,
    PullRequest,
    PullResponse,
    PushRequest,
    PushResponse,
    ReceiptRequest,
    ReceiptResponse,
    SnapshotRequest,
    SnapshotResponse,
)

T = TypeVar("T")
Timed = TypeVar("Timed", SessionResponse, Me, PushResponse, PullResponse)
MSGPACK = "application/msgpack"
_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_problem = msgspec.json.Decoder(Problem).decode
_SESSION_OVER = frozenset({"token_missing", "token_invalid", "token_reused", "token_expired", "device_revoked"})
MAX_ANSWER_BYTES = 64 * 2**20
"""What an answer may hold, unpacked; pages are far smaller."""
_PIECE = 262_144
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_LIVE = "/v1/live"
_NO_MORE: Mapping[str, str] = {}
# The server says something each 25 seconds, if only that it is there.
_LINE_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class _Answer(NamedTuple):
    """A successful answer's body and headers, and the ms from asking to answer."""

    body: bytes
    round_trip_ms: int
    headers: httpx.Headers


class Traffic(msgspec.Struct):
    """Requests made, and bytes of their bodies sent and received."""

    requests: int = 0
    sent: int = 0
    received: int = 0


class Connection:
    """Talks to one server in the name of one device; remembers nothing but the traffic."""

    def __init__(
        self,
        server: str,
        transport: httpx.AsyncBaseTransport | None,
        sessions: Sessions,
        clock: TrustedClock,
        clocks: Clocks,
        random_bytes: RandomBytes,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=server, transport=transport, timeout=_TIMEOUT)
        self._sessions = sessions
        self._clock = clock
        self._clocks = clocks
        self._random_bytes = random_bytes
        self._refreshing = asyncio.Lock()
        self.traffic = Traffic()

    async def close(self) -> None:
        """Close the network."""
        await self._http.aclose()

    async def sign_in(self, identity: Identity, user: str, password: str, model: str | None) -> SessionResponse:
        """A session for `user` on the device `identity`, which is enrolled if it is new. Raises Rejected, Offline."""
        device = EnrolledDevice(identity.device, identity.public_key, name="gridwalk", model=model)
        body = _encode(Credentials(user, password, device))
        return self._read(await self._call("POST", "/v1/sessions", body, identity), SessionResponse)

    async def sign_out(self) -> None:
        """End the session on the server."""
        await self._authorized("DELETE", "/v1/sessions/current")

    async def me(self) -> Me:
        """Who the server says is signed in, with what grants."""
        return self._read(await self._authorized("GET", "/v1/me"), Me)

    async def push(self, request: PushRequest) -> PushResponse:
        """Send changes. Raises Rejected, with `expected` for sequence errors, SignInNeeded, Offline."""
        return self._read(await self._authorized("POST", "/v1/push", _encode(request)), PushResponse)

    async def pull(self, request: PullRequest) -> PullResponse:
        """Ask for a page. Raises as `push`."""
        return self._read(await self._authorized("POST", "/v1/pull", _encode(request)), PullResponse)

    async def snapshot(self, request: SnapshotRequest) -> SnapshotResponse:
        """Ask for a snapshot. Raises as `push`."""
        return _decoded(await self._authorized("POST", "/v1/snapshots", _encode(request)), SnapshotResponse)

    async def snapshot_content(self, snapshot: str, start: int) -> AsyncGenerator[bytes, None]:
        """A snapshot's content from byte `start` on, as it arrives. Raises as `push`."""
        path = f"/v1/snapshots/{snapshot}"
        token = await self._token()
        headers = self._headers("GET", path, self._sessions.identity, token)
        headers |= {"Range": f"bytes={start}-", "Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        self.traffic.requests += 1
        began = self._clocks.monotonic_ms()
        try:
            async with self._http.stream("GET", path, headers=headers) as response:
                if not response.is_success:
                    await response.aread()
                    raise self._failed(response, self._clocks.monotonic_ms() - began)
                # What lies in between may leave out the range; the content then comes from its beginning.
                unasked = 0 if response.status_code == httpx.codes.PARTIAL_CONTENT else start
                async for piece in response.aiter_raw(_PIECE):
                    self.traffic.received += len(piece)
                    if len(piece) > unasked:
                        yield piece[unasked:]
                    unasked = max(0, unasked - len(piece))
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error

    async def digests(self, request: DigestRequest) -> DigestResponse:
        """Ask for the digests of a range. Raises as `push`."""
        return _decoded(await self._authorized("POST", "/v1/digests", _encode(request)), DigestResponse)

    async def fetch(self, request: FetchRequest) -> FetchResponse:
        """Ask for records by id. Raises as `push`."""
        return _decoded(await self._authorized("POST", "/v1/records/fetch", _encode(request)), FetchResponse)

    async def history(self, record: uuid.UUID) -> HistoryResponse:
        """Ask for the history of a record. Raises as `push`; Rejected `record_unknown`."""
        return _decoded(await self._authorized("GET", f"/v1/records/{record}/history"), HistoryResponse)

    async def receipt(self, request: ReceiptRequest) -> ReceiptResponse:
        """Ask for a receipt. Raises as `push`; Rejected `change_unknown`, `receipt_invalid`."""
        return _decoded(await self._authorized("POST", "/v1/receipts", _encode(request)), ReceiptResponse)

    async def create_upload(self, headers: Mapping[str, str]) -> httpx.Headers:
        """Create an upload by tus, without bytes; the answer's headers. Raises as `push`."""
        return (await self._authorized("POST", "/v1/uploads", more=headers)).headers

    async def media_link(self, digest: str, size: str | None) -> MediaLink:
        """Ask for a link to media, of a `size` the server makes, or None. Raises as `push`; `media_unknown`."""
        query = "" if size is None else f"?size={size}"
        return _decoded(await self._authorized("GET", f"/v1/media/{digest}{query}"), MediaLink)

    async def publish_media(self, digest: str, request: PublishRequest) -> MediaLink:
        """Have a picture for the public made. Raises as `push`; `role_denied`, `picture_unavailable`."""
        return _decoded(
            await self._authorized("POST", f"/v1/media/{digest}/publications", _encode(request)), MediaLink
        )

    async def pokes(self) -> AsyncGenerator[None, None]:
        """The server's pokes as they come, the first at once. Raises as `push`, and Offline when the line ends, with
        the time after which the server wants to be called again."""
        identity, token = self._sessions.identity, await self._token()
        headers = self._headers("GET", _LIVE, identity, token) | {"Accept": "text/event-stream"}
        self.traffic.requests += 1
        began, comeback_s = self._clocks.monotonic_ms(), None
        try:
            async with self._http.stream("GET", _LIVE, headers=headers, timeout=_LINE_TIMEOUT) as response:
                if not response.is_success:
                    await response.aread()
                    raise self._failed(response, self._clocks.monotonic_ms() - began)
                async for line in response.aiter_lines():
                    self.traffic.received += len(line) + 1
                    name, _, value = line.partition(": ")
                    if (name, value) == ("event", "poke"):
                        yield
                    elif name == "retry" and value.isdigit():
                        comeback_s = int(value) / 1000
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error
        raise Offline("the line has ended", comeback_s)

    async def _authorized(
        self, method: str, path: str, body: bytes = b"", more: Mapping[str, str] = _NO_MORE
    ) -> _Answer:
        token = await self._token()
        try:
            return await self._call(method, path, body, self._sessions.identity, token, more)
        except SignInNeeded as error:
            if error.code != "token_expired":
                raise
        token = await self._token(not_this=token)
        return await self._call(method, path, body, self._sessions.identity, token, more)

    async def _token(self, not_this: str = "") -> str:
        """An access token that is valid by the trusted clock, and another than `not_this`."""
        async with self._refreshing:
            account = self._sessions.account
            if account is None or not account.refresh_token:
                raise SignInNeeded("token_missing", "nobody is signed in")
            if account.access_token != not_this and account.expires_ms > self._clock.now_ms():
                return account.access_token
            body = _encode(Refresh(account.refresh_token))
            answer = await self._call("POST", "/v1/sessions/refresh", body, self._sessions.identity)
            response = self._read(answer, SessionResponse)
            await self._sessions.renew(response)
            return response.access_token

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes,
        identity: Identity,
        token: str | None = None,
        more: Mapping[str, str] = _NO_MORE,
    ) -> _Answer:
        """Send one request; once more when the device's clock was wrong and the server has set it right."""

        async def send() -> _Answer:
            began = self._clocks.monotonic_ms()
            headers = self._headers(method, path, identity, token) | dict(more)
            return self._answered(await self._exchange(method, path, body, headers), began)

        try:
            return await send()
        except _StaleProof:
            return await send()

    def _answered(self, response: httpx.Response, began: int) -> _Answer:
        round_trip_ms = self._clocks.monotonic_ms() - began
        if response.is_success:
            return _Answer(response.content, round_trip_ms, response.headers)
        raise self._failed(response, round_trip_ms)

    def _failed(self, response: httpx.Response, round_trip_ms: int) -> DeviceError:
        """The error that an answer is; its time is taken."""
        problem = problem_of(response)
        if problem.server_ms is not None:
            self._clock.trust(problem.server_ms, round_trip_ms)
        return error_of(problem, response)

    def _read(self, answer: _Answer, kind: type[Timed]) -> Timed:
        decoded = _decoded(answer, kind)
        self._clock.trust(decoded.server_ms, answer.round_trip_ms)
        return decoded

    async def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        if len(body) >= WORTH_BYTES:
            body = compressed(body, Coding.ZSTD)
            headers["Content-Encoding"] = Coding.ZSTD.value
        self.traffic.requests += 1
        self.traffic.sent += len(body)
        request = self._http.build_request(method, path, content=body, headers=headers)
        try:
            response = await self._http.send(request, stream=True)
            raw = await _read_off(response)
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error
        self.traffic.received += len(raw)
        return _unpacked(response, raw)

    def _headers(self, method: str, path: str, identity: Identity, token: str | None) -> dict[str, str]:
        proof = identity.proof(
            method,
            str(self._http.base_url.join(path.partition("?")[0])),
            time_ms=self._clock.now_ms(),
            jti=self._random_bytes(16).hex(),
            access_token=token,
        )
        headers = {"DPoP": proof, "Accept": MSGPACK, "Content-Type": MSGPACK}
        headers["Accept-Encoding"] = Coding.ZSTD.value
        if token is not None:
            headers["Authorization"] = f"DPoP {token}"
        return headers


class _StaleProof(Rejected):
    """The proof's time was too far off; the clock has been set since."""


def _decoded(answer: _Answer, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(answer.body, type=kind)
    except msgspec.MsgspecError as error:
        # What answers so is no Gridwalk server: a captive portal, a broken proxy.
        raise Offline(f"the answer cannot be read: {error}") from error


async def _read_off(response: httpx.Response) -> bytes:
    """The body as it travelled: httpx would unpack it without a bound."""
    raw = bytearray()
    try:
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise TypeError("a transport for AsyncClient gives asynchronous streams")
        async for part in response.stream:
            raw += part
            if len(raw) > MAX_ANSWER_BYTES:
                raise Offline(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    finally:
        await response.aclose()
    return bytes(raw)


def _unpacked(response: httpx.Response, raw: bytes) -> httpx.Response:
    """The answer with its body as it was before it travelled."""
    headers = response.headers.copy()
    try:
        content = decompressed(raw, headers.pop("content-encoding", ""), MAX_ANSWER_BYTES)
    except SyncError as error:
        raise Offline(f"the answer cannot be read: {error.detail}") from error
    return httpx.Response(response.status_code, headers=headers, content=content)


def problem_of(response: httpx.Response) -> Problem:
    """The problem that an answer tells of; one without a code where it is none of Gridwalk's."""
    with contextlib.suppress(msgspec.MsgspecError):
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            return _problem(response.content)
    return Problem("")


_LATER = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)


def error_of(problem: Problem, response: httpx.Response) -> DeviceError:
    """The error that a problem is on the device."""
    code, detail = problem.code, problem.detail or problem.title
    if not code or response.status_code in _LATER or response.is_server_error:
        return Offline(f"{response.status_code} {code} {detail}", _retry_after(response), code)
    if code == "proof_stale":
        return _StaleProof(code, detail)
    if response.status_code == httpx.codes.UNAUTHORIZED and code in _SESSION_OVER:
        return SignInNeeded(code, detail)
    if code == "client_too_old":
        return TooOld(code, detail)
    return Rejected(code, detail, problem.expected, problem.change)


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
