"""The server's side of the inspection: one warm child, asked one file at a time, ended when a file is too much."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from types import TracebackType

import msgspec

from field_schemas.media import DigestName
from field_schemas.media_findings import CheckFinding
from media.derivatives import Derivative, DerivativeError
from media.inspection.facts import Facts, Limits
from media.inspection.messages import (
    LENGTH_BYTES,
    MAX_REPLY_BYTES,
    Derive,
    Failed,
    Found,
    Inspect,
    Made,
    Reply,
    Request,
)

_WORKER = "media.inspection.worker"
_REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_START_S = 20.0
"""More for a file that comes first: the child starts and loads its decoders."""
_FROM_OUTSIDE = frozenset({"SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"})
"""What ends a child without its doing: it can signal nobody, and the limits have signals of their own."""


class _EndedFromOutside(Exception):
    """The child was ended, by the signal named, while it looked into a file or before."""


class Inspector:
    """Looks into files that may be hostile, in a child process bounded by `limits`.

        async with Inspector() as inspector:
            facts = await inspector.inspect(path)

    Requests wait for each other; for more at once, make several.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._child: asyncio.subprocess.Process | None = None
        self._asked = 0
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> "Inspector":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def inspect(self, path: Path, digest: DigestName = "sha256") -> Facts:
        """The facts of the file at `path`, with its digest by `digest`; whatever it holds, this does not raise."""
        reply = await self._ask(Inspect(str(path), _size(path), digest))
        match reply:
            case Found(facts):
                return facts
            case Failed(code, detail):
                return Facts(faults=(CheckFinding(code, detail or None),))
        raise AssertionError(f"the child answers {type(reply).__name__}")

    async def derive(self, path: Path, wish: Derivative) -> bytes:
        """The picture file that `wish` asks for from the file at `path`. Raises DerivativeError."""
        reply = await self._ask(Derive(str(path), _size(path), wish))
        match reply:
            case Made(picture):
                return picture
            case Failed(code, detail):
                raise DerivativeError(code, detail)
        raise AssertionError(f"the child answers {type(reply).__name__}")

    async def close(self) -> None:
        """End the child."""
        async with self._turn:
            await self._end()

    async def _ask(self, request: Request) -> Reply:
        async with self._turn:
            with contextlib.suppress(_EndedFromOutside):
                return await self._reply(request)
            # No file did that: a restart of the server's whole unit, or a machine out of memory.
            try:
                return await self._reply(request)
            except _EndedFromOutside as error:
                return Failed("inspection_stopped", f"the child ended by {error}")

    async def _reply(self, request: Request) -> Reply:
        answered = False
        try:
            reply = await self._answer(request)
            answered = not (isinstance(reply, Failed) and reply.spent)
            return reply
        except TimeoutError:
            return Failed("inspection_stopped", f"more than {self._wall_s(request):g} s")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            ended = await self._end()
            if ended in _FROM_OUTSIDE:
                raise _EndedFromOutside(ended) from error
            return Failed("inspection_stopped", f"the child ended by {ended}")
        except (EOFError, msgspec.MsgspecError):
            return Failed("inspection_stopped", f"the child ended by {await self._end()}")
        finally:
            # Also when the asker was cancelled: the answer would meet the next question.
            if not answered or self._asked >= self.limits.files_per_child:
                await self._end()

    async def _answer(self, request: Request) -> Reply:
        fresh = self._child is None
        child = self._child or await self._start()
        if child.stdin is None or child.stdout is None:
            raise EOFError("no pipes")
        self._asked += 1
        async with asyncio.timeout(self._wall_s(request) + (_START_S if fresh else 0)):
            child.stdin.write(_framed(request))
            await child.stdin.drain()
            size = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES), "big")
            if size > MAX_REPLY_BYTES:
                raise EOFError("an answer beyond all bounds")
            return _REPLIES.decode(await child.stdout.readexactly(size))

    def _wall_s(self, request: Request) -> float:
        return self.limits.wall_s + self.limits.more_s(request.size_bytes)

    async def _start(self) -> asyncio.subprocess.Process:
        self._asked = 0
        self._child = child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-m", _WORKER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # A group of its own, so that all of it can be ended, and no secrets of ours in its environment.
            start_new_session=True,
            env={},
        )
        if child.stdin is not None:
            child.stdin.write(_framed(self.limits))
        return child

    async def _end(self) -> str:
        """End the child and what it started; how it ended."""
        child, self._child = self._child, None
        if child is None:
            return "nothing"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = await child.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _size(path: Path) -> int:
    """0 for what cannot be opened, which the child will say."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _framed(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body
