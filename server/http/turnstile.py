"""Turns requests away before they cost anything: before routing, tokens, proofs and bodies are looked at."""

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import blake2b

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from server.admission import Admission, Kind, Monotonic, Turn, TurnedAway
from server.http.bodies import Incoming, Received, Room
from server.http.problems import PROBLEM_JSON, preferred_language, problem_of
from server.http.request_log import completed
from sync.clock import Milliseconds
from sync.errors import SyncError

_HEALTH = "/health/"
_WORK = ("/v1/push", "/v1/sessions", "/v1/receipts")
_UPLOADS = "/v1/uploads"
"""What comes there is handed on and written to disk as it comes, from its first byte."""
_MOST_HEADER_BYTES = 16_384
"""Token and proof, the longest that devices send, have less than 2,000 together."""
_LOG_EVERY_S = 5.0
SLOW_S = 10.0
"""A reader that takes nothing for so long while its buffer is full is dropped."""

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class Turnstile:
    """Wraps the whole application, which may hold `body_bytes` of large bodies. Health is always answered."""

    def __init__(
        self, app: ASGIApp, admission: Admission, body_bytes: int, now_ms: Milliseconds, monotonic: Monotonic
    ) -> None:
        self._app = app
        self._admission = admission
        self._room = Room(body_bytes)
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._turned_away = 0
        self._logged = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith(_HEALTH):
            await self._app(scope, receive, send)
            return
        uploaded = scope["path"].startswith(_UPLOADS)
        body = Incoming(receive, None if uploaded else self._room)
        kind = Kind.WORK if scope["path"].startswith(_WORK) else Kind.NEWS
        with ExitStack() as stay:
            try:
                _check_length(scope["headers"])
                visit = self._admission.arrive(_device_of(dict(scope["headers"])), kind)
                stay.callback(self._admission.depart, visit)
                if not uploaded:
                    await body.begin()
                turn = await self._admission.turn(visit)
            except TurnedAway as refusal:
                await self._turn_away(refusal, scope, send)
            except SyncError as error:
                await self._refuse(error, scope, send, (b"connection", b"close"))
            else:
                await self._serve(scope, body, send, turn, stay)

    async def _serve(self, scope: HTTPScope, body: Incoming, send: Send, turn: Turn, stay: ExitStack) -> None:
        """Serve a request whose turn it is. Who waits for its client, to hear more or to be heard, holds no place.

        The device's `stay` ends with its answer: what the server does after it is not the device's.
        """
        loop = asyncio.get_running_loop()

        async def receive_on() -> Received:
            return await body.receive(turn)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                turn.end()
                body.forget()
            patience.reschedule(loop.time() + SLOW_S)
            await send(message)
            patience.reschedule(None)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                stay.close()

        try:
            async with asyncio.timeout(None) as patience:
                await self._app(scope, receive_on, send_on)
        except TimeoutError:
            # The protocol's own end would wait for the reader again; an unfinished answer closes the connection.
            if not patience.expired():
                raise
        finally:
            turn.end()
            body.forget()

    async def _turn_away(self, refusal: TurnedAway, scope: HTTPScope, send: Send) -> None:
        error = SyncError("too_many_requests" if refusal.crowded else "overloaded", str(refusal))
        await self._refuse(error, scope, send, (b"retry-after", b"%d" % refusal.retry_after_s))
        self._note(refusal)

    async def _refuse(self, error: SyncError, scope: HTTPScope, send: Send, header: tuple[bytes, bytes]) -> None:
        headers = dict(scope["headers"])
        language = preferred_language(headers.get(b"accept-language", b"").decode("latin-1"))
        problem = problem_of(error, language, self._now_ms())
        body = _encode(problem)
        sent = [
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", b"%d" % len(body)),
            header,
        ]
        sent = completed(scope["path"], sent)
        await send({"type": "http.response.start", "status": problem.status, "headers": sent})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _note(self, refusal: TurnedAway) -> None:
        """A line in the log now and then: one for each would cost more than the refusals."""
        self._turned_away += 1
        now = self._monotonic()
        if now - self._logged >= _LOG_EVERY_S:
            _log.warning("overloaded", turned_away=self._turned_away, retry_after_s=refusal.retry_after_s)
            self._logged, self._turned_away = now, 0


def _check_length(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises SyncError `headers_too_large`."""
    if sum(len(name) + len(value) for name, value in headers) > _MOST_HEADER_BYTES:
        raise SyncError("headers_too_large", f"the headers have more than {_MOST_HEADER_BYTES} bytes")


def _device_of(headers: dict[bytes, bytes]) -> str:
    """What tells a device from others before anything is verified: the first part of its proof holds its key."""
    key = headers.get(b"dpop", b"").partition(b".")[0]
    return blake2b(key, digest_size=16).hexdigest() if key else ""
