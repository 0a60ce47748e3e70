"""Live pokes over real HTTP: who hears of a change, and when a line ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from field_schemas.access import Role
from tests.integration.http_server import STREET, HttpServer, Phone, problem

LINE = "/v1/live"


class Line:
    """A line that a phone listens on."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def until(self, name: str) -> None:
        """Read up to an event of this name; on SQLite the first listener may be poked twice."""
        while (event := self.event()) != name:
            assert event == "poke"

    def event(self) -> str | None:
        """The next event's name, None when the line has ended; silence is passed over."""
        for line in self._lines:
            if line.startswith("event: "):
                return line.removeprefix("event: ")
        return None


@contextmanager
def listening(phone: Phone, token: str | None = None) -> Iterator[Line]:
    """A line of `phone`, its first poke taken."""
    token = token or phone.access_token
    headers = {"DPoP": phone.proof("GET", LINE, token), "Authorization": f"DPoP {token}"}
    with (
        httpx.Client(base_url=phone.server.url, timeout=20) as client,
        client.stream("GET", LINE, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        line = Line(answer)
        assert line.event() == "poke"
        yield line


def test_a_change_pokes_those_it_concerns(server: HttpServer) -> None:
    """A colleague in the street hears of a change, and the pull that follows finds it."""
    author, colleague = server.inspector(), server.inspector()
    cursor = colleague.pull()["cursor"]
    with listening(colleague) as line:
        change = author.change()
        author.push(change)
        line.until("poke")
        assert [record["id"] for record in colleague.pull(cursor)["records"]] == [change["record"]]


def test_it_is_a_stream_that_nothing_holds_back(server: HttpServer) -> None:
    """The answer is an event stream that caches and proxies leave alone."""
    with listening(server.inspector()) as line:
        headers = line.answer.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "DPoP nothing"}])
def test_listening_needs_a_session(server: HttpServer, headers: dict[str, str]) -> None:
    """Without a token that holds there is no line."""
    status, code = problem(server.client.get(LINE, headers=headers))
    assert (status, code.partition("_")[0]) == (401, "token")


def test_a_new_line_ends_the_old_one(server: HttpServer) -> None:
    """A device that comes back has one line, the newest."""
    phone = server.inspector()
    with listening(phone) as old, listening(phone) as new:
        old.until("bye")
        other = server.inspector()
        other.push(other.change())
        new.until("poke")


@pytest.mark.parametrize("how", ["signed out", "revoked", "disabled", "grant given"])
def test_a_line_ends_with_what_it_was_opened_by(
    server: HttpServer, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """When the session ends, the device or user is barred, or grants change, the line ends soon."""
    monkeypatch.setattr("server.live_standing.EVERY_S", 0.05)
    folder = tmp_path_factory.mktemp("beside")
    with HttpServer(folder, server.settings.database_url) as fresh:
        phone = fresh.signed_in((f"grid:{STREET}", Role.INSPECTOR))
        with listening(phone) as line:
            _do(fresh, phone, how)
            line.until("bye")


def _do(server: HttpServer, phone: Phone, how: str) -> None:
    match how:
        case "signed out":
            phone.call("DELETE", "/v1/sessions/current")
        case "revoked":
            server.administer(lambda accounts: accounts.devices.revoke(phone.device))
        case "disabled":
            server.administer(lambda accounts: accounts.users.disable(phone.user))
        case "grant given":
            server.administer(lambda accounts: accounts.grants.give(phone.user, Role.INSPECTOR, "grid:440305"))
