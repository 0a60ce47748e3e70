"""Running the server: one process or several, one line when it is ready, a clean end on SIGTERM and SIGINT."""

import asyncio
import resource
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

Application = Callable[..., Awaitable[None]]

_GRACE_S = 10
_READY_POLL_S = 0.1
_READY_TRIES = 600
_NOT_STARTED = 3
"""The exit status of a server that could not start, as uvicorn has it."""
_ENDLESS_HEADERS = 65_536
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def run_one(app: Application, host: str, port: int) -> None:
    """Serve in this process.

    Raises OSError when the address is taken, and SystemExit when the application cannot start.
    """
    listener = _listen(host, port)
    server = _AnnouncingServer(_config(app, 1), _url(host, listener))
    server.run([listener])
    if not server.started:
        sys.exit(_NOT_STARTED)


def run_many(factory: str, workers: int, host: str, port: int) -> None:
    """Serve in `workers` processes, each of which calls the factory named "module:function"."""
    listener = _listen(host, port)
    threading.Thread(target=_announce_when_ready, args=(_url(host, listener),), daemon=True).start()
    Multiprocess(_config(factory, workers), [listener]).run()


def when_leaving(work: Callable[[], None]) -> None:
    """Do `work` in the running loop as soon as a signal asks the process to end, before requests are waited for.

    Streams that would never end by themselves end so. Without effect outside of the main thread, which alone gets
    signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        handled = signal.getsignal(signal_number)

        def leave(number: int, frame: FrameType | None, handled: Any = handled) -> None:
            loop.call_soon_threadsafe(work)
            if callable(handled):
                handled(number, frame)

        signal.signal(signal_number, leave)


class _AnnouncingServer(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _announce(self._url)


class _Protocol(HttpToolsProtocol):
    """Breaks off a request whose headers do not end: the parser gathers them without a bound.

    Hands a piece of a body on as it came: gathering it first copies it twice, into memory that is fetched anew and
    given back each time, which costs more than all else about receiving.
    """

    _heard = 0
    _in_headers = True
    _came_to_an_end = False

    def data_received(self, data: bytes) -> None:
        self._came_to_an_end = False
        super().data_received(data)
        self._heard = self._heard + len(data) if self._in_headers and not self._came_to_an_end else 0
        if self._heard > _ENDLESS_HEADERS:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_headers, self._came_to_an_end = False, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        held: bytes | bytearray = self.cycle.body
        if not held:
            self.cycle.body, body = body, b""  # type: ignore[assignment]
        elif isinstance(held, bytes):
            self.cycle.body = bytearray(held)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_headers, self._came_to_an_end = True, True
        super().on_message_complete()


def _config(app: Application | str, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=workers,
        loop="uvloop",
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


def _listen(host: str, port: int) -> socket.socket:
    # Each listening device holds a connection, and the usual limit is 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _leave)
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.set_inheritable(True)
    return listener


def _url(host: str, listener: socket.socket) -> str:
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{listener.getsockname()[1]}"


def _announce(url: str) -> None:
    sys.stdout.write(f"Gridwalk 已就绪 is ready: {url} ({url}/docs)\n")
    sys.stdout.flush()


def _announce_when_ready(url: str) -> None:
    for _ in range(_READY_TRIES):
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=1):  # noqa: S310
                _announce(url)
                return
        except OSError:
            time.sleep(_READY_POLL_S)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End well: uvicorn raises the signal again when it has shut down."""
    sys.exit(0)
