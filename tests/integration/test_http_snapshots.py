"""Snapshots over HTTP, on both databases: made, kept, streamed by range, refused, dropped."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client_sdk.clocks import Clocks
from client_sdk.device import Device
from field_schemas.access import Role
from server.snapshots.files import SnapshotFiles
from sync.snapshot import decode_block
from tests.integration.http_server import PASSWORD, STREET, HttpServer, Phone, problem

FROM = 5
SCOPE = f"grid:{STREET}"


@pytest.fixture
def city(tmp_path: Path, database_url: str) -> Iterator[HttpServer]:
    """A server whose streets come as snapshots from five records on."""
    with HttpServer(tmp_path / "data", database_url, snapshot_from=FROM) as server:
        yield server


def filled(city: HttpServer, count: int = FROM) -> Phone:
    """An inspector's phone that has pushed components."""
    phone = city.inspector()
    for _ in range(count):
        assert phone.verdict(phone.change())["outcome"] == "applied"
    return phone


def asked(phone: Phone) -> dict[str, Any]:
    """The snapshot of the street."""
    response = phone.call("POST", "/v1/snapshots", {"scope": SCOPE})
    assert response.status_code == 200
    snapshot: dict[str, Any] = response.json()["snapshot"]
    return snapshot


def test_a_first_sync(city: HttpServer) -> None:
    """Offer, snapshot, content and deltas together give all records once."""
    filled(city)
    phone = city.signed_in((SCOPE, Role.INSPECTOR))
    offer = phone.call("POST", "/v1/pull", {"snapshots": True}).json()
    assert (offer["offers"], offer["more"]) == ([SCOPE], True)
    snapshot = asked(phone)
    content = phone.call("GET", f"/v1/snapshots/{snapshot['id']}").content
    (block,) = snapshot["blocks"]
    assert (len(content), hashlib.sha256(content).hexdigest()) == (block["bytes"], block["sha256"])
    assert sum(len(group.versions) for group in decode_block(content)) == block["records"] == FROM
    assert phone.verdict(phone.change())["outcome"] == "applied"
    page = phone.call("POST", "/v1/pull", {"cursor": offer["cursor"], "loaded": [snapshot["cursor"]]}).json()
    assert (len(page["records"]), page["more"]) == (1, False)


def test_the_content_from_any_byte(city: HttpServer) -> None:
    """A download that broke off goes on where it stopped."""
    phone = filled(city)
    path = f"/v1/snapshots/{asked(phone)['id']}"
    whole = phone.call("GET", path)
    rest = phone.call("GET", path, headers={"Range": "bytes=100-"})
    size = len(whole.content)
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert rest.headers["content-range"] == f"bytes 100-{size - 1}/{size}"
    assert rest.headers["etag"] == whole.headers["etag"]


@pytest.mark.parametrize("wanted", ["bytes=0-4", "bytes=-5", "bytes=0-4,9-", "lines=3-", "bytes=x-"])
def test_other_ranges_get_the_whole(city: HttpServer, wanted: str) -> None:
    """A range of another kind is left unheeded."""
    phone = filled(city)
    answer = phone.call("GET", f"/v1/snapshots/{asked(phone)['id']}", headers={"Range": wanted})
    assert answer.status_code == 200


def test_from_behind_the_end(city: HttpServer) -> None:
    """There is nothing from the end on."""
    phone = filled(city)
    answer = phone.call("GET", f"/v1/snapshots/{asked(phone)['id']}", headers={"Range": "bytes=99999999-"})
    assert problem(answer) == (400, "parameter_invalid")


def test_made_once(city: HttpServer) -> None:
    """Readers of the same roles get the same snapshot, each with a cursor of their own."""
    first = asked(filled(city))
    second = asked(city.signed_in((SCOPE, Role.INSPECTOR)))
    assert first["id"] == second["id"]
    assert first["cursor"] != second["cursor"]


def test_not_for_other_roles(city: HttpServer) -> None:
    """Neither another role nor another street opens a snapshot."""
    snapshot = asked(filled(city))
    for grant in ((SCOPE, Role.SUPERVISOR), ("grid:440304001", Role.INSPECTOR)):
        stranger = city.signed_in(grant)
        assert problem(stranger.call("GET", f"/v1/snapshots/{snapshot['id']}")) == (403, "scope_denied")
    assert problem(stranger.call("POST", "/v1/snapshots", {"scope": SCOPE})) == (403, "scope_denied")


@pytest.mark.parametrize("name", ["x", "..%2Fserver.key", "0" * 32 + "-" + "0" * 16])
def test_no_such_snapshot(city: HttpServer, name: str) -> None:
    """What is not kept is not found, whatever it is called."""
    assert problem(city.inspector().call("GET", f"/v1/snapshots/{name}")) == (404, "not_found")


def test_made_anew_after_a_restore(city: HttpServer) -> None:
    """Of other contents there is another snapshot."""
    phone = filled(city)
    first = asked(phone)

    async def renew(accounts: Any) -> None:
        async with accounts.database.store.writing() as tx:
            await tx.renew(uuid.uuid4(), 1_000)

    city.administer(renew)
    assert asked(phone)["id"] != first["id"]
    assert problem(phone.call("GET", f"/v1/snapshots/{first['id']}")) == (403, "scope_denied")


def test_unused_snapshots_go(city: HttpServer, tmp_path: Path) -> None:
    """A snapshot goes when it was not used for long enough, and not before."""
    phone = filled(city)
    snapshot = asked(phone)
    files = SnapshotFiles(tmp_path / "data" / "snapshots")
    assert files.drop_unused(time.time() + 50, 10, 100) == 0
    assert files.drop_unused(time.time() + 150, 10, 100) == 1
    assert problem(phone.call("GET", f"/v1/snapshots/{snapshot['id']}")) == (404, "not_found")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Of two that would make the same snapshot one is told that it is being made."""
    files = SnapshotFiles(tmp_path)
    with files.alone("digest") as first, files.alone("digest") as second:
        assert (first, second) == (True, False)
    with files.alone("digest") as again:
        assert again


def test_a_phone_loads_it(city: HttpServer, tmp_path: Path) -> None:
    """The SDK loads a snapshot from the real server, and its copies are the server's."""
    filled(city, 12)
    user = city.new_user((SCOPE, Role.INSPECTOR))
    clocks = Clocks(lambda: city.now_ms, lambda: 0, "boot", asyncio.sleep)

    async def load() -> tuple[int, int, int]:
        async with Device.open(tmp_path / "phone.db", server=city.url, clocks=clocks) as device:
            await device.sign_in(user, PASSWORD)
            report = await device.sync()
            verified = await device.verify()
            return report.pulled, verified.fetched, verified.forgotten

    assert asyncio.run(load()) == (12, 0, 0)
