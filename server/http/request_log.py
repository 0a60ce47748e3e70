"""One log line a request, without bodies and secrets; and what every answer of the API carries."""

import time

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from media.tus import VERSION
from server.accounts.tokens import AccessClaims

_log = structlog.get_logger("server.requests")
_NO_STORE = (b"cache-control", b"no-store")
_TUS = (b"tus-resumable", VERSION.encode())
_UPLOADS = "/v1/uploads"


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
                    message["headers"] = completed(scope["path"], list(message["headers"]))
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            _write(scope, status, time.perf_counter() - started)


def completed(path: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer of the API, with those that all of its kind carry."""
    if not any(name.lower() == b"cache-control" for name, _ in headers):
        headers.append(_NO_STORE)
    if path.startswith(_UPLOADS):
        headers.append(_TUS)
    return headers


def _shown(path: str) -> str:
    """The path without the keys some paths hold."""
    return f"{_UPLOADS}/..." if path.startswith(f"{_UPLOADS}/") else path


def _write(scope: HTTPScope, status: int, seconds: float) -> None:
    caller = scope.get("user")
    who = {"user": caller.sub, "device": str(caller.dev)} if isinstance(caller, AccessClaims) else {}
    _log.info(
        "request",
        method=scope["method"],
        path=_shown(scope["path"]),
        status=status,
        ms=round(seconds * 1000, 1),
        **who,
    )
