"""Live pokes: a stream of server-sent events that says when to pull."""

import asyncio
from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from field_schemas.labels import Label
from server.accounts.identities import Identity
from server.http.authentication import Gate
from server.http.described import Operation, described
from server.http.negotiation import AnyRequest
from server.http.routes.sessions import TOKEN_CODES
from server.live import Hub, Listener, Reader, Word, reader_of
from sync.clock import Milliseconds

HEARTBEAT_S = 25.0
"""Silence after which something is sent, so that neither side, nor a proxy, holds a dead line."""

_LIVE = Operation(
    tag=Label("实时", "Live"),
    summary=Label("有可拉取的更改时得到通知 (SSE)", "Be told when there is something to pull (server-sent events)"),
    response=str,
    codes=("overloaded", *TOKEN_CODES),
    answer_example="event: poke\ndata: pull\n\n",
    proof=True,
    token=True,
)
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # nginx would hold pokes back to fill its buffer.
    (b"x-accel-buffering", b"no"),
]
_POKE = b"event: poke\ndata: pull\n\n"
_BEAT = b":\n\n"


def live_routes(gate: Gate, hub: Hub, now_ms: Milliseconds) -> list[HTTPRouteHandler]:
    """The route by which devices listen; revoked ones may not."""

    @get("/v1/live", opt=described(_LIVE))
    async def live(request: AnyRequest) -> EventStream:
        who = await gate.identify(request)
        return EventStream(hub, hub.join(_reader(who, now_ms())))

    return [live]


def _reader(who: Identity, now_ms: int) -> Reader:
    return reader_of(who.user, who.device, who.session, who.grants, now_ms)


class EventStream(ASGIResponse):
    """Passes on to one client what its listener is told, until either of them ends."""

    def __init__(self, hub: Hub, listener: Listener) -> None:
        super().__init__()
        self._hub = hub
        self._listener = listener

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            while (word := await self._listener.next(HEARTBEAT_S)) is not Word.BYE:
                await self._say(send, _POKE if word is Word.POKE else _BEAT)
            await self._say(send, b"event: bye\nretry: %d\ndata: later\n\n" % self._listener.comeback_ms, last=True)
        finally:
            watching.cancel()
            self._hub.part(self._listener)

    async def _watch(self, receive: Receive) -> None:
        """End the line when the client hangs up."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._hub.part(self._listener)

    async def _say(self, send: Send, text: bytes, *, last: bool = False) -> None:
        message: Any = {"type": "http.response.body", "body": text, "more_body": not last}
        await send(message)
