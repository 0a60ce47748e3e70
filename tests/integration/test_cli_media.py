"""gridwalk media: what is there, and whether it is whole."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from server.cli.session import now_ms
from server.media.tables import blobs, media_claims
from sync.clock import DAY_MS
from tests.integration.cli import Gridwalk
from tests.integration.http_server import GRID, Accounts, HttpServer
from tests.integration.media import digest_of, media_ref, photo, send


@pytest.fixture
def city(database_url: str, tmp_path: Path) -> Iterator[HttpServer]:
    """A running server of the test's own."""
    with HttpServer(tmp_path / "data", database_url, key_file=str(tmp_path / "server.key")) as running:
        yield running


@pytest.fixture
def gridwalk(database_url: str, tmp_path: Path) -> Gridwalk:
    """The command line on the same database."""
    return Gridwalk(tmp_path, database_url, GRIDWALK_KEY_FILE=str(tmp_path / "server.key"))


def test_list_and_verify(city: HttpServer, gridwalk: Gridwalk, tmp_path: Path) -> None:
    """Files are listed with their records; one that is missing and one that is damaged are named by verify."""
    contents = [photo(), photo(), photo()]
    phone = city.inspector()
    for content in contents:
        send(phone, content)
    fields = {"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(contents[0]), media_ref(photo())]}
    change = phone.change(fields=fields)
    assert phone.verdict(change)["outcome"] == "applied"
    listed = gridwalk.well("media", "list")
    (named,) = [line for line in listed.splitlines() if digest_of(contents[0]) in line]
    assert {change["record"], phone.user} <= set(named.split())
    (unnamed,) = [line for line in listed.splitlines() if digest_of(contents[1]) in line]
    assert unnamed.split()[-1] == phone.user
    assert "3 files, 3,000 bytes; 1 more named, not here yet." in listed
    assert "nothing damaged: 3 files." in gridwalk.well("media", "verify")
    files = [tmp_path / "data" / "blobs" / "sha256" / one[7:9] / one[7:] for one in map(digest_of, contents)]
    files[0].unlink()
    files[1].write_bytes(photo())
    printed = gridwalk("media", "verify")
    assert printed.code == 1
    assert set(printed.out.splitlines()) == {f"{digest_of(contents[0])} missing", f"{digest_of(contents[1])} damaged"}
    assert "2 of 3 files missing or damaged" in printed.err


def test_checked_again(city: HttpServer, gridwalk: Gridwalk) -> None:
    """Verdicts are listed; what came to one is checked again by the server, and the command ends when it is done."""
    city.now_ms = now_ms() + DAY_MS
    phone, content = city.inspector(), photo()
    send(phone, content)
    fields = {"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(content)]}
    assert phone.verdict(phone.change(fields=fields))["outcome"] == "applied"
    ends = time.monotonic() + 60
    while "unverified" not in gridwalk.well("media", "list"):
        assert time.monotonic() < ends
    assert "1 check done again." in gridwalk.well("media", "recheck", "--verdict", "unverified")
    assert "0 checks done again." in gridwalk.well("media", "recheck", "--verdict", "suspect")
    assert "unverified" in gridwalk.well("media", "list")


@pytest.mark.parametrize("words", [(), ("--all", "--verdict", "suspect"), ("--verdict", "odd"), ("--record", "x")])
def test_what_to_check_again(gridwalk: Gridwalk, words: tuple[str, ...]) -> None:
    """What is to be checked again must be said, and said once."""
    assert gridwalk("media", "recheck", *words).code in (1, 2)


@pytest.mark.parametrize("limit", ["-1", "0", str(2**70)])
def test_list_of_no_length(gridwalk: Gridwalk, limit: str) -> None:
    """A number of files that there cannot be is told as such."""
    printed = gridwalk("media", "list", "--limit", limit)
    assert printed.code == 2
    assert "--limit" in printed.err


def test_collect(city: HttpServer, gridwalk: Gridwalk) -> None:
    """What nothing has named for long goes; what is named, and what is fresh, stays."""
    named = photo()
    city.now_ms = now_ms() - 40 * DAY_MS
    phone = city.inspector()
    send(phone, photo())
    send(phone, named)
    fields = {"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(named)]}
    assert phone.verdict(phone.change(fields=fields))["outcome"] == "applied"
    city.now_ms = now_ms()
    send(city.inspector(), photo())
    assert "1 file gone, 1,000 bytes" in gridwalk.well("media", "collect")
    assert "2 files, 2,000 bytes" in gridwalk.well("media", "list")


def test_what_the_database_does_not_know(city: HttpServer, gridwalk: Gridwalk) -> None:
    """After a restore, verify names what lies in the store unknown; collecting finds what a record names."""
    named, stray = photo(), photo()
    phone = city.inspector()
    for content in (named, stray):
        send(phone, content)
    fields = {"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(named)]}
    assert phone.verdict(phone.change(fields=fields))["outcome"] == "applied"

    async def forget(accounts: Accounts) -> None:
        async with accounts.database.engine.begin() as connection:
            for table in (media_claims, blobs):
                await connection.execute(delete(table))

    city.administer(forget)
    unknown = {f"{digest_of(content)} not in the database" for content in (named, stray)}
    assert unknown <= set(gridwalk.well("media", "verify").splitlines())
    assert "1 file found in the store that the database did not know." in gridwalk.well("media", "collect")
    printed = gridwalk.well("media", "verify").splitlines()
    assert printed == [f"{digest_of(stray)} not in the database", "Nothing missing, nothing damaged: 1 file."]
