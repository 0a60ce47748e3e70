"""`python -m tests.bench.bare_upload FOLDER PORT`: an endpoint that hashes, writes and syncs, no more."""

import hashlib
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn


def bare_app(folder: str) -> Callable[..., Awaitable[None]]:
    """PATCH /name appends the body to that file, durably. No offsets, no locks, no database."""
    files: dict[str, tuple[int, Any]] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path not in files:
            flags = os.O_CREAT | os.O_WRONLY
            files[path] = (os.open(folder + path, flags, 0o600), hashlib.sha256())
        descriptor, running = files[path]
        more = True
        while more:
            message = await receive()
            running.update(message["body"])
            os.write(descriptor, message["body"])
            more = message["more_body"]
        os.fsync(descriptor)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


if __name__ == "__main__":
    uvicorn.run(
        bare_app(sys.argv[1]),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="error",
    )
