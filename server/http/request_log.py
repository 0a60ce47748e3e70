"""One log line a request, without bodies and secrets; and what every answer of the API carries."""

import time

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from server.accounts.identities import Identity

_log = structlog.get_logger("server.requests")
_NO_STORE = (b"cache-control", b"no-store")


class RequestLog:
    """Wraps the whole application, so that calls of unknown paths are logged too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["path"].startswith("/v1/"):
                    message["headers"] = [*message["headers"], _NO_STORE]
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            _write(scope, status, time.perf_counter() - started)


def _write(scope: HTTPScope, status: int, seconds: float) -> None:
    caller = scope.get("user")
    who = {"user": caller.user, "device": str(caller.device)} if isinstance(caller, Identity) else {}
    _log.info(
        "request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 1), **who
    )
