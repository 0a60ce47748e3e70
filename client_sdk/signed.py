"""Signed calls: each with a proof by the device's key, and a token that is renewed when it is due."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import msgspec

from client_sdk.answers import Answer, StaleProof, decoded, error_of, problem_of, read_off, unpacked
from client_sdk.clocks import Clocks
from client_sdk.errors import DeviceError, Offline, SignInNeeded
from client_sdk.identity import Identity
from client_sdk.sessions import Sessions
from client_sdk.wire import Me, Refresh, SessionResponse
from sync.clock import TrustedClock
from sync.compression import WORTH_BYTES, Coding, compressed
from sync.ids import RandomBytes
from sync.messages import PullResponse, PushResponse

Timed = TypeVar("Timed", SessionResponse, Me, PushResponse, PullResponse)
_MSGPACK = "application/msgpack"
encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_NO_MORE: Mapping[str, str] = {}


class Traffic(msgspec.Struct):
    """Requests made, and bytes of their bodies sent and received."""

    requests: int = 0
    sent: int = 0
    received: int = 0


class SignedCalls:
    """Calls of one server in the name of one device; they remember nothing but the traffic."""

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

    async def authorized(
        self, method: str, path: str, body: bytes = b"", more: Mapping[str, str] = _NO_MORE
    ) -> Answer:
        """Send one request of whoever is signed in. Raises Rejected, SignInNeeded, Offline."""
        token = await self._token()
        try:
            return await self.call(method, path, body, self._sessions.identity, token, more)
        except SignInNeeded as error:
            if error.code != "token_expired":
                raise
        token = await self._token(not_this=token)
        return await self.call(method, path, body, self._sessions.identity, token, more)

    async def headers(self, method: str, path: str) -> dict[str, str]:
        """What signs a call that another program makes, while the proof counts. Raises as `authorized`."""
        signed = self._headers(method, path, self._sessions.identity, await self._token())
        return {name: signed[name] for name in ("Authorization", "DPoP")}

    @asynccontextmanager
    async def streamed(
        self, path: str, more: Mapping[str, str], patience: httpx.Timeout = _TIMEOUT
    ) -> AsyncGenerator[httpx.Response, None]:
        """A successful answer whose body is still to come, for whoever is signed in; the caller counts its bytes.

        Raises as `authorized`, also for what befalls the body.
        """
        headers = self._headers("GET", path, self._sessions.identity, await self._token()) | dict(more)
        self.traffic.requests += 1
        began = self._clocks.monotonic_ms()
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=patience) as response:
                if not response.is_success:
                    await response.aread()
                    raise self._failed(response, self._clocks.monotonic_ms() - began)
                yield response
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error

    async def call(
        self,
        method: str,
        path: str,
        body: bytes,
        identity: Identity,
        token: str | None = None,
        more: Mapping[str, str] = _NO_MORE,
    ) -> Answer:
        """Send one request, once more when the device's clock was wrong and the server has set it right.

        Raises as `authorized`.
        """

        async def send() -> Answer:
            began = self._clocks.monotonic_ms()
            headers = self._headers(method, path, identity, token) | dict(more)
            return self._answered(await self._exchange(method, path, body, headers), began)

        try:
            return await send()
        except StaleProof:
            return await send()

    def read(self, answer: Answer, kind: type[Timed]) -> Timed:
        """The message that an answer is; its time is taken. Raises Offline."""
        message = decoded(answer, kind)
        self._clock.trust(message.server_ms, answer.round_trip_ms)
        return message

    async def _token(self, not_this: str = "") -> str:
        """An access token that is valid by the trusted clock, and another than `not_this`."""
        async with self._refreshing:
            account = self._sessions.account
            if account is None or not account.refresh_token:
                raise SignInNeeded("token_missing", "nobody is signed in")
            if account.access_token != not_this and account.expires_ms > self._clock.now_ms():
                return account.access_token
            body = encode(Refresh(account.refresh_token))
            answer = await self.call("POST", "/v1/sessions/refresh", body, self._sessions.identity)
            response = self.read(answer, SessionResponse)
            await self._sessions.renew(account, response)
            return response.access_token

    def _answered(self, response: httpx.Response, began: int) -> Answer:
        round_trip_ms = self._clocks.monotonic_ms() - began
        if response.is_success:
            return Answer(response.content, round_trip_ms, response.headers)
        raise self._failed(response, round_trip_ms)

    def _failed(self, response: httpx.Response, round_trip_ms: int) -> DeviceError:
        """The error that an answer is; its time is taken."""
        problem = problem_of(response)
        if problem.server_ms is not None:
            self._clock.trust(problem.server_ms, round_trip_ms)
        return error_of(problem, response)

    async def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        if len(body) >= WORTH_BYTES:
            body = compressed(body, Coding.ZSTD)
            headers["Content-Encoding"] = Coding.ZSTD.value
        self.traffic.requests += 1
        self.traffic.sent += len(body)
        request = self._http.build_request(method, path, content=body, headers=headers)
        try:
            response = await self._http.send(request, stream=True)
            raw = await read_off(response)
        except httpx.RequestError as error:
            raise Offline(f"{type(error).__name__}: {error}") from error
        self.traffic.received += len(raw)
        return unpacked(response, raw)

    def _headers(self, method: str, path: str, identity: Identity, token: str | None) -> dict[str, str]:
        proof = identity.proof(
            method,
            str(self._http.base_url.join(path.partition("?")[0])),
            time_ms=self._clock.now_ms(),
            jti=self._random_bytes(16).hex(),
            access_token=token,
        )
        headers = {"DPoP": proof, "Accept": _MSGPACK, "Content-Type": _MSGPACK}
        headers["Accept-Encoding"] = Coding.ZSTD.value
        if token is not None:
            headers["Authorization"] = f"DPoP {token}"
        return headers
