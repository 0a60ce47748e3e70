"""A database without room: told as what it is, and nothing that was acknowledged is touched."""

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from server.storage import sqlite
from server.storage.room import says_no_room
from tests.integration.http_server import GRID, HttpServer

ROOM_PAGES = 30


def limit_growth(database: Path, patch: pytest.MonkeyPatch) -> None:
    """Let connections to come write no further than ROOM_PAGES more: SQLite then answers as on a full disk."""
    with closing(sqlite3.connect(database)) as opened:
        (pages,) = opened.execute("PRAGMA page_count").fetchone()
    patch.setattr(sqlite, "_PRAGMAS", (*sqlite._PRAGMAS, f"max_page_count = {pages + ROOM_PAGES}"))


def test_a_push_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push for which the database has no room is 507 with a time to come back; all of before is held, once."""
    database = tmp_path / "city.db"
    with HttpServer(tmp_path, f"sqlite:///{database}") as server:
        server.inspector()
    limit_growth(database, monkeypatch)
    with HttpServer(tmp_path, f"sqlite:///{database}") as server:
        phone = server.inspector()
        held, long = 0, {"kind": "0102", "grid": GRID, "text": "满" * 5_000}
        while (answer := phone.push(phone.change(fields=long))).is_success:
            held = answer.json()["held"]
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert int(answer.headers["retry-after"]) > 0
        assert phone.push().json()["held"] == held > 0


@pytest.mark.parametrize("error", [asyncpg.DiskFullError("no space"), OSError(28, "no space")])
def test_no_room_on_postgresql_and_disks(error: Exception) -> None:
    """What PostgreSQL and the system say of a full disk is known whatever it became the cause of; nothing else is."""
    wrapped = RuntimeError("a transaction failed")
    wrapped.__cause__ = error
    assert says_no_room(wrapped)
    assert not says_no_room(ValueError("something else"))
