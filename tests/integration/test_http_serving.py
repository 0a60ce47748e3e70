"""The server as a process: one command starts it, one line says so, one signal ends it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.http_server import HttpServer, problem

READY_S = 2.0
_START = (
    "import os, pathlib; from server.app import serve; from server.settings import load_settings; "
    "serve(load_settings(os.environ, pathlib.Path.cwd()).settings)"
)


def start(folder: Path, **settings: str) -> "subprocess.Popen[str]":
    """A server process in `folder` that takes any free port."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "GRIDWALK_PORT": "0",
        **{f"GRIDWALK_{name.upper()}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-c", _START]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environ, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def process(folder: Path, **settings: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """A server process and its URL, once it is ready."""
    with start(folder, **settings) as running:
        assert running.stdout is not None
        found = re.search(r"http://\S+:\d+", running.stdout.readline())
        assert found
        try:
            yield running, found[0]
        finally:
            running.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_one_command_one_line_one_signal(tmp_path: Path, ending: signal.Signals) -> None:
    """An empty folder is enough; the end is clean and leaves only the server's own files, private."""
    with process(tmp_path) as (running, url):
        assert httpx.get(f"{url}/health/ready").json() == {
            "status": "ok",
            "checks": {"database": "ok", "migrations": "ok"},
        }
        running.send_signal(ending)
        out, err = running.communicate(timeout=10)
    assert (running.returncode, out) == (0, "")
    assert "Traceback" not in err
    files = sorted((tmp_path / "gridwalk-data").iterdir())
    assert [file.name for file in files] == ["blobs", "gridwalk.db", "server.key", "uploads"]
    assert [file.stat().st_mode & 0o077 for file in files] == [0, 0, 0, 0]


def test_ready_in_two_seconds(tmp_path: Path) -> None:
    """From start to ready line at most two seconds of the processor, migrations and key included."""
    with process(tmp_path) as (running, _):
        used = os.sysconf("SC_CLK_TCK")
        fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
        assert (int(fields[11]) + int(fields[12])) / used <= READY_S


def test_several_workers(tmp_path: Path) -> None:
    """Several processes serve behind one address, and end together."""
    with process(tmp_path, workers="2") as (running, url):
        answers = [httpx.get(f"{url}/health/live").status_code for _ in range(10)]
        assert answers == [200] * 10
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)
    assert running.returncode == 0


def test_logs_hold_no_secrets(tmp_path: Path) -> None:
    """A request is one line: method, path, status, time; no query, header or body."""
    with process(tmp_path, log_format="json") as (running, url):
        headers = {"Authorization": "DPoP secret-token", "DPoP": "secret-proof"}
        httpx.post(f"{url}/v1/push?key=secret-query", content=b"secret-body", headers=headers)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=10)
    (line,) = [line for line in err.splitlines() if "/v1/push" in line]
    assert '"status":401' in line
    assert "secret" not in err


def test_unusable_key_file(tmp_path: Path) -> None:
    """A file that holds no key stops the start; it is not replaced."""
    (tmp_path / "key").write_text("notes")
    with start(tmp_path, key_file="key") as running:
        out, err = running.communicate(timeout=20)
    assert running.returncode != 0
    assert out == ""
    assert "key holds no Ed25519 private key" in err
    assert (tmp_path / "key").read_text() == "notes"


def test_health(server: HttpServer) -> None:
    """Both questions are answered, and say nothing of where the database is."""
    assert server.client.get("/health/live").json() == {"status": "ok", "checks": {}}
    assert server.client.get("/health/ready").json()["checks"] == {"database": "ok", "migrations": "ok"}


def test_docs_work_without_internet(server: HttpServer) -> None:
    """The page names no other host."""
    page = server.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)=.?(https?:)?//", page.text)
    assert server.client.get("/openapi.json").json()["openapi"] == "3.1.0"


def test_catalogue(server: HttpServer) -> None:
    """Record types and codes are public."""
    types = server.client.get("/v1/record-types").json()["record_types"]
    assert "finding" in {row["name"] for row in types}
    assert server.client.get(types[0]["schema"]).json()["x-name"] == types[0]["name"]
    codes = {row["name"]: row for row in server.client.get("/v1/codes").json()["codes"]}
    assert (codes["sequence_gap"]["status"], codes["transition_illegal"]["status"]) == (409, None)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/record-types/moon", (404, "type_unknown")),
        ("GET", "/v1/nothing", (404, "not_found")),
        ("GET", "/", (404, "not_found")),
        ("PUT", "/v1/push", (405, "method_not_allowed")),
        ("GET", "/v1/push", (405, "method_not_allowed")),
    ],
)
def test_wrong_addresses(server: HttpServer, method: str, path: str, expected: tuple[int, str]) -> None:
    """Unknown paths and methods are problems like any other."""
    assert problem(server.client.request(method, path)) == expected
