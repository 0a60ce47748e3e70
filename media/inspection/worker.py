"""The child process: reads requests from standard input and answers on standard output until that is closed.

Started as `python -m media.inspection.worker`, by `media.inspection.inspector` alone.
"""

import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from media.inspection.confinement import allow_cpu, confine
from media.inspection.facts import Limits
from media.inspection.looking import look
from media.inspection.making import make
from media.inspection.messages import LENGTH_BYTES, Derive, Failed, Found, Inspect, Made, Reply, Request
from media.inspection.pictures import Undecodable, allow_pixels


def main() -> None:
    """Take the limits from the first message, then answer requests."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    first = _read(requests)
    if first is None:
        return
    limits = msgspec.msgpack.decode(first, type=Limits)
    allow_pixels(limits)
    confine(limits)
    while (message := _read(requests)) is not None:
        request = msgspec.msgpack.decode(message, type=Request)
        allow_cpu(limits.cpu_s + limits.more_s(request.size_bytes))
        reply = _answer(request, limits)
        body = msgspec.msgpack.encode(reply)
        replies.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
        replies.flush()


def _answer(request: Request, limits: Limits) -> Reply:
    try:
        match request:
            case Inspect(path, _, digest):
                return Found(look(Path(path), digest, limits))
            case Derive(path, _, wish):
                return Made(make(Path(path), wish, limits))
    except Undecodable as error:
        return Failed(error.finding.code, error.finding.found or "")
    except MemoryError:
        return Failed("inspection_stopped", f"more than {limits.memory_bytes} bytes of memory", spent=True)
    except OSError as error:
        return Failed("file_unreadable", f"{type(error).__name__}: {error.strerror}")


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return stream.read(int.from_bytes(head, "big"))


if __name__ == "__main__":
    main()
