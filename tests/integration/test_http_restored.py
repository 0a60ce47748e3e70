"""The database is replaced by a backup: devices notice, and nothing that is written afterwards collides."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from field_schemas.access import Role
from tests.integration.cli import Gridwalk
from tests.integration.http_server import GRID, HttpServer, Phone, problem
from tests.integration.media import CHUNK, create, digest_of, media_ref, metadata, photo, send
from tests.postgres import administer

Restored = Callable[[], None]


class Town:
    """A database, its backup, and servers started on it one after the other."""

    def __init__(self, folder: Path, url: str, back_up: Restored, restore: Restored) -> None:
        self.folder = folder
        self.url = url
        self.back_up = back_up
        self.restore = restore

    def serving(self) -> HttpServer:
        """A server on the database, to be entered."""
        return HttpServer(self.folder / "data", self.url)


@pytest.fixture
def town(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Town]:
    """A town on either database; PostgreSQL's own tools are stood in for by copies of the whole database."""
    gridwalk = Gridwalk(tmp_path, database_url)
    if database_url.startswith("sqlite"):
        file = tmp_path / "backup.db"
        yield Town(
            tmp_path, database_url, lambda: _told(gridwalk, "backup", file), lambda: _told(gridwalk, "restore", file)
        )
        return
    server: URL = request.getfixturevalue("postgres_server")
    name, copy = make_url(database_url).database, f"gridwalk_backup_{uuid.uuid4().hex[:8]}"

    def restore() -> None:
        _psql(server, f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE {copy}")
        _told(gridwalk, "renew-epoch")

    yield Town(tmp_path, database_url, lambda: _psql(server, f"CREATE DATABASE {copy} TEMPLATE {name}"), restore)
    _psql(server, f"DROP DATABASE {copy} WITH (FORCE)")


def _told(gridwalk: Gridwalk, *words: str | Path) -> None:
    gridwalk.well(*words)


def _psql(server: URL, *statements: str) -> None:
    for statement in statements:
        asyncio.run(administer(server, statement))


def again(phone: Phone, server: HttpServer) -> Phone:
    """The device, signed in at the server that runs now."""
    phone.server = server
    assert phone.sign_in().status_code == 201
    return phone


def test_a_restored_town(town: Town) -> None:
    """After a restore a device hears of the new epoch, sends again what the backup lacks, and all is as it was."""
    with town.serving() as server:
        phone = server.inspector()
        early = phone.change()
        version = phone.verdict(early)["version"]
    town.back_up()
    with town.serving() as server:
        again(phone, server)
        late = phone.change()
        lost = phone.verdict(late)["version"]
        cursor = phone.pull()["cursor"]
    town.restore()
    with town.serving() as server:
        again(phone, server)
        assert problem(phone.call("POST", "/v1/pull", {"cursor": cursor})) == (409, "epoch_changed")
        page = phone.pull()
        assert {record["id"]: record["version"] for record in page["records"]} == {early["record"]: version}
        assert phone.push().json()["held"] == 1
        sent_again = phone.verdict(late)
        assert sent_again["outcome"] == "applied"
        assert sent_again["version"] > lost
        delta = phone.pull(page["cursor"])
        assert [record["id"] for record in delta["records"]] == [late["record"]]


@pytest.mark.parametrize("what", ["push", "pull"])
def test_a_folder_copied_back(tmp_path: Path, what: str) -> None:
    """A database file that was copied back is told by the first device that had read further, before it writes.

    Only SQLite: numbers of PostgreSQL's transactions are the cluster's, and go on.
    """
    town = Town(tmp_path, f"sqlite:///{tmp_path / 'town.db'}", lambda: None, lambda: None)
    with town.serving() as server:
        phone = server.inspector()
        phone.push(phone.change())
    copied = (tmp_path / "town.db").read_bytes()
    with town.serving() as server:
        again(phone, server)
        late = phone.change()
        phone.push(late)
        cursor = phone.pull()["cursor"]
    (tmp_path / "town.db").write_bytes(copied)
    with town.serving() as server:
        again(phone, server)
        asked = {"pull": {"cursor": cursor}, "push": {"changes": [phone.change()], "pull": {"cursor": cursor}}}[what]
        assert problem(phone.call("POST", f"/v1/{what}", asked)) == (409, "epoch_changed")
        assert phone.push().json()["held"] == 1
        assert phone.verdict(late)["outcome"] == "applied"


def test_a_photo_sent_since_the_backup(town: Town) -> None:
    """A photo whose row and record the restore lost is read again once the device has sent the record again."""
    content = photo()
    with town.serving() as server:
        phone, chen = server.inspector(), server.signed_in(("grid:440304", Role.SUPERVISOR))
    town.back_up()
    with town.serving() as server:
        again(phone, server)
        send(phone, content)
        finding = phone.change(fields={"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(content)]})
        assert phone.verdict(finding)["outcome"] == "applied"
    town.restore()
    with town.serving() as server:
        again(phone, server)
        again(chen, server)
        asked = create(phone, 1_000, Upload_Metadata=metadata(sha256=digest_of(content)[7:]), Content_Type=CHUNK)
        assert asked.headers["upload-offset"] == "1000"
        assert problem(chen.call("GET", f"/v1/media/{digest_of(content)}")) == (404, "media_unknown")
        assert phone.verdict(finding)["outcome"] == "applied"
        link = chen.call("GET", f"/v1/media/{digest_of(content)}").json()["url"]
        assert server.client.get(link).content == content


def test_receipts_of_before(town: Town) -> None:
    """A receipt of before the restore is not gone on from: it vouches for what is not there."""
    with town.serving() as server:
        phone = server.inspector()
    town.back_up()
    with town.serving() as server:
        again(phone, server)
        change = phone.change()
        phone.push(change)
        receipt = phone.ask("/v1/receipts", {"changes": [change["id"]]})["receipt"]
    town.restore()
    with town.serving() as server:
        again(phone, server)
        answer = phone.call("POST", "/v1/receipts", {"changes": [], "previous": receipt})
        assert problem(answer) == (422, "receipt_invalid")


def test_a_restore_of_another_machine(town: Town) -> None:
    """The epoch changes by the restore alone: it is not the backup's and not the one that was replaced."""
    epochs = []
    with town.serving() as server:
        epochs.append(server.inspector().pull()["epoch"])
    town.back_up()
    for _ in range(2):
        town.restore()
        with town.serving() as server:
            epochs.append(server.inspector().pull()["epoch"])
    assert len(set(epochs)) == 3
