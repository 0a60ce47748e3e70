"""Revoked devices, late work and old programs over HTTP: their work is taken, and kept apart where it must be."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from field_schemas.access import Role
from tests.integration.http_server import GRID, JSON, MSGPACK, STREET, HttpServer, Phone, problem

SCOPE = f"grid:{STREET}"
DAY_MS = 86_400_000
TYPES = "tests.integration.versioned_types"


@pytest.fixture
def revoked(server: HttpServer) -> Phone:
    """An inspector's device, signed in and then revoked."""
    phone = server.inspector()
    server.administer(lambda accounts: accounts.devices.revoke(phone.device))
    return phone


@pytest.fixture
def strict(database_url: str, tmp_path: Path) -> Iterator[HttpServer]:
    """A server that has left protocol 1 behind, with a record type at version 3."""
    with HttpServer(tmp_path, database_url, min_protocol=2, record_types=[TYPES], offline_days=3) as running:
        yield running


def supervisor(server: HttpServer) -> Phone:
    """A supervisor's device, new."""
    return server.signed_in((SCOPE, Role.SUPERVISOR))


def record_of(phone: Phone, record: str) -> dict[str, Any] | None:
    """A record as the device would receive it."""
    found: list[dict[str, Any]] = phone.ask("/v1/records/fetch", {"ids": [record]})["records"]
    return found[0] if found else None


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_a_revoked_devices_work_is_quarantined(revoked: Phone, wire: str) -> None:
    """What a revoked device pushes gets its verdict and is not applied."""
    change = revoked.change()
    verdict = revoked.verdict(change, wire=wire, accept=JSON)
    assert (verdict["outcome"], verdict["code"]) == ("refused", "device_quarantined")
    assert record_of(supervisor(revoked.server), change["record"]) is None


def test_a_supervisor_applies_quarantined_work(revoked: Phone) -> None:
    """A supervisor who sets the refusal to applied makes the change by the own authority; it stays its author's."""
    change = revoked.change()
    verdict = revoked.verdict(change)
    boss = supervisor(revoked.server)
    refusal = record_of(boss, verdict["attention"])
    assert refusal is not None
    applied = boss.change("refusal", record=refusal["id"], base=refusal["version"], fields={"state": "applied"})
    assert boss.verdict(applied)["outcome"] == "applied"
    made = record_of(boss, change["record"])
    assert made is not None
    assert (made["fields"]["text"], made["owner"]) == ("盖板破损", revoked.user)


def test_the_inspector_cannot_apply_it(revoked: Phone) -> None:
    """Whoever holds the author's account cannot lift the quarantine."""
    verdict = revoked.verdict(revoked.change())
    other = revoked.server.inspector()
    refusal = record_of(other, verdict["attention"])
    assert refusal is not None
    applied = other.change("refusal", record=refusal["id"], base=refusal["version"], fields={"state": "applied"})
    assert other.verdict(applied)["outcome"] == "refused"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/pull", {}),
        ("POST", "/v1/digests", {"scope": SCOPE}),
        ("POST", "/v1/records/fetch", {"ids": []}),
        ("GET", "/v1/records/0190a5c0-0000-7000-8000-00000000000f/history", None),
        ("GET", "/v1/me", None),
    ],
)
def test_a_revoked_device_reads_nothing(revoked: Phone, method: str, path: str, body: Any) -> None:
    """Nothing of the records reaches a revoked device."""
    assert problem(revoked.call(method, path, body)) == (403, "device_revoked")


def test_a_revoked_device_may_finish(revoked: Phone) -> None:
    """It refreshes its tokens, pushes, gets its receipt, signs out, and can sign in if it has more to hand in."""
    assert revoked.refresh().status_code == 200
    change = revoked.change()
    revoked.push(change)
    assert revoked.ask("/v1/receipts", {"changes": [change["id"]]})["receipt"]
    assert revoked.call("DELETE", "/v1/sessions/current").status_code == 204
    assert revoked.sign_in().status_code == 201
    assert revoked.verdict(revoked.change())["code"] == "device_quarantined"
    assert problem(revoked.call("POST", "/v1/pull", {})) == (403, "device_revoked")


@pytest.mark.parametrize("path", ["/v1/push", "/v1/pull"])
def test_revoked_while_its_request_comes(server: HttpServer, path: str) -> None:
    """What counts is who may do what when a request is whole, however long its body was on the way."""
    phone = server.inspector()
    body = msgspec.json.encode({"changes": [phone.change()]} if path == "/v1/push" else {})

    def slowly() -> Iterator[bytes]:
        yield b" " * 80_000
        # The server has looked at what came so far when it answers this.
        assert phone.call("GET", "/v1/me").status_code == 200
        server.administer(lambda accounts: accounts.devices.revoke(phone.device))
        yield body

    answer = phone.call("POST", path, raw=slowly())
    if path == "/v1/push":
        assert [one["code"] for one in answer.json()["verdicts"]] == ["device_quarantined"]
    else:
        assert problem(answer) == (403, "device_revoked")


def test_work_of_before_stands(server: HttpServer) -> None:
    """What a device pushed before it was revoked stays, and sent again gets the verdict it got."""
    phone = server.inspector()
    change = phone.change()
    before = phone.push(change).json()["verdicts"]
    server.administer(lambda accounts: accounts.devices.revoke(phone.device))
    assert phone.push(change).json()["verdicts"] == before


def test_late_work_is_for_a_supervisor(server: HttpServer) -> None:
    """A change captured more than thirty days ago is refused, and a supervisor can still apply it."""
    phone = server.inspector()
    change = phone.change()
    server.now_ms += 31 * DAY_MS
    phone.sign_in()
    verdict = phone.verdict(change)
    assert (verdict["outcome"], verdict["code"]) == ("refused", "offline_too_long")
    boss = supervisor(server)
    applied = boss.change("refusal", record=verdict["attention"], base=2**40, fields={"state": "applied"})
    assert boss.verdict(applied)["outcome"] == "applied"
    assert record_of(boss, change["record"]) is not None


def test_the_days_offline_are_a_setting(strict: HttpServer) -> None:
    """How long a change may wait on a device is for the city to say."""
    boss = supervisor(strict)
    then = strict.now_ms - 4 * DAY_MS
    captured = {"wall_ms": then, "trusted_ms": then, "elapsed_ms": 0}
    assert boss.verdict(boss.change(captured=captured))["code"] == "offline_too_long"


def test_an_old_program_is_told_after_its_work_was_taken(strict: HttpServer) -> None:
    """A client that is too old pushes as ever; when it pulls it hears that it is too old."""
    phone = supervisor(strict)
    assert phone.verdict(phone.change())["outcome"] == "applied"
    answer = phone.call("POST", "/v1/pull", {"protocol": 1})
    assert problem(answer) == (426, "client_too_old")
    assert phone.call("POST", "/v1/pull", {"protocol": 2}).status_code == 200


def sign(phone: Phone, version: int, fields: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """A change of a street sign by a program that knows the type at `version`."""
    return phone.change("street_sign", type_version=version, fields=fields, **changed)


def pulled(phone: Phone, record: str, types: dict[str, int] | None, **how: Any) -> dict[str, Any]:
    """The fields of a record as a program that knows `types` receives them."""
    page = phone.ask("/v1/pull", {"protocol": 2, "limit": 1000, "types": types}, **how)
    wanted = uuid.UUID(record).bytes if how.get("accept") == MSGPACK else record
    (fields,) = [one["fields"] for one in page["records"] if one["id"] == wanted]
    assert isinstance(fields, dict)
    return fields


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_an_old_programs_change_is_upgraded(strict: HttpServer, wire: str) -> None:
    """What a program writes by an old version of a type arrives as the newest version has it."""
    phone = supervisor(strict)
    change = sign(phone, 1, {"grid": GRID, "name": "福华路", "height_cm": 250})
    assert phone.verdict(change, wire=wire, accept=JSON)["outcome"] == "applied"
    fields = pulled(phone, change["record"], None)
    assert (fields["text"], fields["height_mm"]) == ("福华路", 2500)
    assert "name" not in fields


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (1, {"name": "福华路", "height_cm": 250}),
        (2, {"text": "福华路", "height_cm": 250}),
        (3, {"text": "福华路", "height_mm": 2500, "colour": "blue"}),
    ],
)
def test_an_old_program_reads_what_it_knows(
    strict: HttpServer, wire: str, known: int, expected: dict[str, Any]
) -> None:
    """A program receives records as the version of the type it declares has them."""
    phone = supervisor(strict)
    change = sign(phone, 3, {"grid": GRID, "text": "福华路", "height_mm": 2500, "colour": "blue"})
    phone.push(change)
    fields = pulled(phone, change["record"], {"street_sign": known}, accept=wire)
    assert fields.items() >= expected.items()
    assert not {"name", "text", "height_cm", "height_mm"} & (fields.keys() - expected.keys())


def test_an_old_program_keeps_what_it_does_not_know(strict: HttpServer) -> None:
    """A program that does not know a field leaves it as it is when it changes others."""
    phone = supervisor(strict)
    change = sign(phone, 3, {"grid": GRID, "text": "福华路", "colour": "blue"})
    version = phone.verdict(change)["version"]
    phone.push(sign(phone, 1, {"name": "福中路"}, record=change["record"], base=version))
    fields = pulled(phone, change["record"], None)
    assert (fields["text"], fields["colour"]) == ("福中路", "blue")


def test_types_a_program_does_not_know_are_not_sent(strict: HttpServer) -> None:
    """A program receives no record of a type it does not name."""
    phone = supervisor(strict)
    phone.push(sign(phone, 3, {"grid": GRID, "text": "福华路"}), phone.change())
    page = phone.ask("/v1/pull", {"protocol": 2, "types": {"finding": 1}})
    assert {record["type"] for record in page["records"]} == {"finding"}


def test_a_version_of_the_future(strict: HttpServer) -> None:
    """A program that is newer than the server is told; its change is kept as a refusal."""
    phone = supervisor(strict)
    assert phone.verdict(sign(phone, 4, {"grid": GRID, "text": "x"}))["code"] == "type_too_new"


def test_a_capture_before_enrolment_counts_as_of_it(server: HttpServer) -> None:
    """A device that was enrolled after its user's grant had ended cannot have worked under it."""
    phone = server.inspector()
    (grant,) = server.administer(lambda accounts: accounts.grants.of(phone.user))
    server.administer(lambda accounts: accounts.grants.end(grant.id))
    fresh = Phone(server, phone.user)
    fresh.sign_in()
    before = server.now_ms - DAY_MS
    claimed = {"wall_ms": before, "trusted_ms": before, "elapsed_ms": 0}
    verdict = fresh.verdict(fresh.change(captured=claimed))
    assert (verdict["outcome"], verdict["code"]) == ("refused", "scope_denied")
