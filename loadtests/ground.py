"""A server to be loaded: one of its own, in an empty folder, made and driven by the commands a person would type."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READY_WITHIN_S = 60
_POLL_S = 0.05


class Ground:
    """A server process on the loopback interface, with `accounts`: "name:community" each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.password = secrets.token_urlsafe(12)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.accounts: list[str] = []
        self._environment = os.environ | {
            "GRIDWALK_DATA_DIR": str(folder),
            "GRIDWALK_HOST": "127.0.0.1",
            "GRIDWALK_PORT": str(port),
        }
        self._environment.setdefault("GRIDWALK_DATABASE_URL", f"sqlite:///{folder / 'server.db'}")

    def add_inspector(self, number: int) -> None:
        """An account that inspects a community of its own."""
        name, community = f"inspector{number}", f"440304{1 + number // 900:03}{number % 900 + 1:03}"
        self._command("user", "add", name, "--password-stdin", stdin=self.password + "\n")
        self._command("grant", "give", name, "inspector", f"grid:{community}")
        self.accounts.append(f"{name}:{community}")

    @contextmanager
    def served(self) -> Iterator[int]:
        """The server process, from when it is ready; its pid."""
        command = [sys.executable, "-m", "gridwalk", "serve"]
        with (self._folder / "server.log").open("wb") as log:
            server = subprocess.Popen(command, env=self._environment, cwd=self._folder, stdout=log, stderr=log)
        try:
            self._wait_until_ready(server)
            yield server.pid
        finally:
            server.terminate()
            server.wait()

    def _wait_until_ready(self, server: "subprocess.Popen[bytes]") -> None:
        until = time.monotonic() + _READY_WITHIN_S
        while server.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.url}/health/ready", timeout=1):
                    return
            except OSError:
                time.sleep(_POLL_S)
        raise RuntimeError(f"the server does not start:\n{(self._folder / 'server.log').read_text()}")

    def _command(self, *words: str, stdin: str = "") -> None:
        command = [sys.executable, "-m", "gridwalk", *words]
        subprocess.run(
            command,
            env=self._environment,
            cwd=self._folder,
            input=stdin,
            text=True,
            check=True,
            stdout=subprocess.PIPE,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
