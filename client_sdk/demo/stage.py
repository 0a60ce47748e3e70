"""The stage of a demo: a folder, a real server process in it, and devices that sign in to it."""

import asyncio
import os
import secrets
import socket
import sys
import time
from itertools import count
from pathlib import Path

import httpx

READY_WITHIN_S = 20
_LOG_LINES = 30


class StageError(Exception):
    """The stage could not be set up; the text says which step failed and what it printed."""


class Stage:
    """A server in `folder`, on SQLite there or on `database_url`, driven by the same commands a person would type.

    `settings` are further settings of the server, by their variables (GRIDWALK_...).
    """

    def __init__(self, folder: Path, database_url: str | None = None, **settings: str) -> None:
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.database_url = database_url or f"sqlite:///{folder / 'server.db'}"
        self._environment = os.environ | {
            "GRIDWALK_DATABASE_URL": self.database_url,
            "GRIDWALK_DATA_DIR": str(folder),
            "GRIDWALK_HOST": "127.0.0.1",
            "GRIDWALK_PORT": str(port),
            # One process, so that ending it ends all of the server.
            "GRIDWALK_WORKERS": "1",
            **settings,
        }
        self._server: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether the server process was started and has not ended."""
        return self._server is not None and self._server.returncode is None

    @property
    def pid(self) -> int:
        """The running server's process."""
        if self._server is None:
            raise StageError("no server was started")
        return self._server.pid

    def log_tail(self) -> str:
        """The last the server wrote."""
        text = (self.folder / "server.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-_LOG_LINES:])

    def new_file(self, name: str) -> Path:
        """The path of a device store that does not exist yet."""
        return next(path for number in count(1) if not (path := self.folder / f"{name}-{number}.db").exists())

    async def command(self, *words: str, stdin: str = "") -> str:
        """Run `gridwalk WORDS`; what it printed. Raises StageError when it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gridwalk",
            *words,
            env=self._environment,
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate(stdin.encode())
        text = printed.decode(errors="replace")
        if process.returncode:
            raise StageError(f"gridwalk {' '.join(words)} failed:\n{text}")
        return text

    async def restart_server(self, **settings: str) -> None:
        """Stop the server and start it with other settings, given by their variables."""
        await self.stop_server()
        self._environment.update(settings)
        await self.start_server()

    async def add_user(self, name: str, *grants: tuple[str, str]) -> None:
        """An account with (role, scope) grants."""
        await self.command("user", "add", name, "--password-stdin", stdin=self.password + "\n")
        for role, scope in grants:
            await self.command("grant", "give", name, role, scope)

    async def start_server(self) -> float:
        """Start the server process; seconds until it was ready."""
        began = time.perf_counter()
        with (self.folder / "server.log").open("ab") as log:
            self._server = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gridwalk",
                "serve",
                env=self._environment,
                cwd=self.folder,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )
        async with httpx.AsyncClient() as client:
            while time.perf_counter() - began < READY_WITHIN_S:
                if self._server.returncode is not None:
                    break
                if await _is_ready(client, self.url):
                    return time.perf_counter() - began
                await asyncio.sleep(0.02)
        raise StageError(f"the server did not start:\n{self.log_tail()}")

    async def stop_server(self) -> None:
        """End the server process and wait until it is gone."""
        if self._server is not None and self.running:
            self._server.terminate()
            await self._server.wait()

    async def kill_server(self) -> None:
        """Kill the server process in the midst of whatever it does, and wait until it is gone."""
        if self._server is not None and self.running:
            self._server.kill()
            await self._server.wait()


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health/ready")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
