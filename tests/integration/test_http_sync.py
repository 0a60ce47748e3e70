"""Push and pull over HTTP: both encodings, bad input, and many devices at once."""

import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from field_schemas.access import Role
from tests.integration.http_server import (
    GRID,
    JSON,
    MAX_BATCH,
    MAX_BODY,
    MSGPACK,
    STREET,
    HttpServer,
    Phone,
    decoded,
    problem,
)

DEVICES = 20
PUSHES = 5


@pytest.fixture
def phone(server: HttpServer) -> Phone:
    """A signed-in inspector's device, new."""
    return server.inspector()


@pytest.fixture(scope="module")
def used_phone(server: HttpServer) -> Phone:
    """A signed-in inspector's device, for tests that need no fresh one."""
    return server.inspector()


def component(**fields: Any) -> dict[str, Any]:
    """The fields of a component that is complete."""
    return {"code": "4403040102000001", "kind": "0102", "grid": GRID, "place": {"lon": 114.06, "lat": 22.57}} | fields


@pytest.mark.parametrize("push_wire", [JSON, MSGPACK])
@pytest.mark.parametrize("pull_wire", [JSON, MSGPACK])
def test_a_record_travels(server: HttpServer, phone: Phone, push_wire: str, pull_wire: str) -> None:
    """What one device pushes in either encoding another receives in either."""
    change = phone.change()
    assert phone.verdict(change, wire=push_wire)["outcome"] == "applied"
    page = server.inspector().pull(wire=pull_wire)
    wanted = change["record"] if pull_wire == JSON else uuid.UUID(change["record"]).bytes
    (record,) = [record for record in page["records"] if record["id"] == wanted]
    assert record["fields"]["text"] == "盖板破损"
    assert record["owner"] == phone.user


def test_accept_outweighs_the_bodys_type(phone: Phone) -> None:
    """A device may push MessagePack and read JSON."""
    answer = phone.push(phone.change(), wire=MSGPACK, accept=f"{JSON}, {MSGPACK};q=0.5")
    assert answer.headers["content-type"] == JSON
    assert answer.json()["held"] == 1


def test_the_answer_comes_as_the_body_came(phone: Phone) -> None:
    """Without a word on what to accept, MessagePack is answered in MessagePack, its ids 16 bytes each."""
    change = phone.change()
    answer = phone.push(change, wire=MSGPACK)
    assert answer.headers["content-type"] == MSGPACK
    assert decoded(answer)["verdicts"][0]["change"] == uuid.UUID(change["id"]).bytes


def test_ids_may_be_bytes(phone: Phone) -> None:
    """In MessagePack an id is text or its 16 bytes."""
    change = phone.change()
    packed = change | {"id": uuid.UUID(change["id"]).bytes, "record": uuid.UUID(change["record"]).bytes}
    assert phone.verdict(packed, wire=MSGPACK, accept=JSON)["change"] == change["id"]


def test_deleting_in_json(server: HttpServer, phone: Phone) -> None:
    """A deletion names no fields, and arrives as a deletion."""
    change = phone.change("note", fields={"grid": GRID, "text": "x"})
    version = phone.verdict(change)["version"]
    gone = phone.change("note", record=change["record"], base=version, delete=True)
    del gone["fields"]
    assert phone.verdict(gone)["outcome"] == "applied"
    records = {record["id"]: record for record in server.inspector().pull()["records"]}
    assert records[change["record"]]["deleted"]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r"\ud83d", "\ufffd"),
        (r"a\ude00b\ud83d\ude00", "a\ufffdb😀"),
        (r"\\ud83d\ud83d\n", "\\ud83d\ufffd\n"),
    ],
)
def test_half_an_emoji(phone: Phone, sent: str, read: str) -> None:
    """A character cut in two, as text fields of the web do it, costs neither the text nor the push."""
    change = phone.change("note", fields={"grid": GRID, "text": "HERE"})
    body = msgspec.json.encode({"changes": [change]}).replace(b"HERE", sent.encode())
    answer = phone.call("POST", "/v1/push", raw=body)
    assert answer.json()["verdicts"][0]["outcome"] == "applied"
    records = {record["id"]: record for record in phone.pull()["records"]}
    assert records[change["record"]]["fields"]["text"] == read


def test_pushing_again_changes_nothing(phone: Phone) -> None:
    """The same push sent twice gets the same verdicts."""
    change = phone.change()
    assert phone.push(change).json()["verdicts"] == phone.push(change).json()["verdicts"]


def test_an_empty_push_says_what_is_held(phone: Phone) -> None:
    """A device may ask how far the server holds its changes."""
    phone.push(phone.change(), phone.change())
    assert phone.push().json()["held"] == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"type": "spaceship"}, "type_unknown"),
        ({"type": "a\0b"}, "type_unknown"),
        ({"type": "x" * 5000}, "type_unknown"),
        ({"type_version": 99}, "type_too_new"),
        ({"fields": component(colour="red")}, "field_unknown"),
        ({"fields": component(**{"a\0b": 1})}, "field_unknown"),
        ({"fields": component(kind=7)}, "value_invalid"),
        ({"fields": component(place={"lon": 114.06, "lat": 91})}, "value_invalid"),
        ({"fields": component(inspections=2**63)}, "value_invalid"),
        ({"fields": {"grid": GRID}}, "field_missing"),
        ({"fields": component(responsible="shop")}, "field_denied"),
        ({"fields": component(grid="440304001001001")}, "scope_denied"),
        ({"fields": 5}, "value_invalid"),
        ({"fields": None}, "value_invalid"),
        ({"fields": [[1, 2]]}, "value_invalid"),
        ({"fields": "text"}, "value_invalid"),
        ({"base": 3}, "record_unknown"),
        ({"type": "unit_grid", "fields": {"code": GRID, "boundary": {"rings": []}}}, "value_invalid"),
    ],
)
@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_refusals_are_verdicts(used_phone: Phone, wire: str, changed: dict[str, Any], code: str) -> None:
    """Whatever is wrong with a change, it gets a verdict and the device goes on."""
    bad = used_phone.change("component", **({"fields": component()} | changed))
    verdict = used_phone.verdict(bad, wire=wire, accept=JSON)
    assert (verdict["outcome"], verdict["code"]) == ("refused", code)
    assert used_phone.verdict(used_phone.change())["outcome"] == "applied"


def test_numbers_beyond_any_type(used_phone: Phone) -> None:
    """A number that no type holds is refused like any other wrong value."""
    bad = used_phone.change("component", fields=component(place={"lon": 10**400, "lat": 22}))
    assert used_phone.verdict(bad)["code"] == "value_invalid"


@pytest.mark.parametrize("user", ["x\0y", "名" * 64])
def test_people_named_oddly(server: HttpServer, user: str) -> None:
    """A person's id that no account can have is taken or refused, never an error of the server."""
    supervisor = server.signed_in((f"grid:{STREET}", Role.SUPERVISOR))
    fields = {"subject": "x", "grid": GRID, "assignee": user}
    assert supervisor.push(supervisor.change("patrol_task", fields=fields)).status_code == 200


def test_odd_values_come_back_in_json(server: HttpServer, phone: Phone) -> None:
    """What only MessagePack can say still reaches a reader of JSON, in a refusal."""
    fields = {"extension": msgspec.msgpack.Ext(5, b"abc"), "keys": {(1, 2): 3}, "bytes": b"\xff", "nan": float("nan")}
    change = phone.change("component", fields=fields)
    assert phone.verdict(change, wire=MSGPACK, accept=JSON)["outcome"] == "refused"
    kinds = {record["type"] for record in phone.pull()["records"]}
    assert "refusal" in kinds


@pytest.mark.parametrize("first", [2, 2**53 - 1])
def test_a_hole_in_the_sequence(phone: Phone, first: int) -> None:
    """A device that skips a number is told where to go on; nothing of its push is taken."""
    answer = phone.push(phone.change(seq=first))
    assert problem(answer) == (409, "sequence_gap")
    assert answer.json()["expected"] == 1
    assert phone.push().json()["held"] == 0


def test_a_number_used_twice(phone: Phone) -> None:
    """Two changes under one number are not mistaken for each other."""
    phone.push(phone.change())
    answer = phone.push(phone.change(seq=1))
    assert problem(answer) == (409, "sequence_reused")
    assert answer.json()["expected"] == 2


def test_a_push_for_other_contents(phone: Phone) -> None:
    """A push that names contents which are not there any more is not taken; one that names those that are, is."""
    names = {"changes": [phone.change()], "epoch": str(uuid.uuid4())}
    answer = phone.call("POST", "/v1/push", names)
    assert problem(answer) == (409, "epoch_changed")
    there = phone.push().json()
    assert there["held"] == 0
    assert phone.call("POST", "/v1/push", names | {"epoch": there["epoch"]}).json()["held"] == 1


def test_batch_too_large(phone: Phone) -> None:
    """More changes than the limit are refused as a whole."""
    answer = phone.push(*[phone.change() for _ in range(MAX_BATCH + 1)])
    assert problem(answer) == (413, "batch_too_large")


def test_body_too_large(used_phone: Phone) -> None:
    """A body past the limit is refused by its announced length."""
    answer = used_phone.call("POST", "/v1/push", raw=b" " * (MAX_BODY + 1))
    assert problem(answer) == (413, "body_too_large")


def test_body_too_large_unannounced(server: HttpServer, used_phone: Phone) -> None:
    """A body past the limit is refused while it is read when its length was not announced."""
    headers = {
        "DPoP": used_phone.proof("POST", "/v1/push", used_phone.access_token),
        "Authorization": f"DPoP {used_phone.access_token}",
        "Content-Type": JSON,
    }
    chunks = (b" " * 10_000 for _ in range(MAX_BODY // 10_000 + 1))
    answer = httpx.post(f"{server.url}/v1/push", content=chunks, headers=headers)
    assert problem(answer) == (413, "body_too_large")


@pytest.mark.parametrize("wire", ["text/plain", "application/jsonx", "multipart/form-data", ""])
def test_other_content_types(used_phone: Phone, wire: str) -> None:
    """Only JSON and MessagePack are read."""
    answer = used_phone.call("POST", "/v1/push", raw=b"{}", wire=wire)
    assert problem(answer) == (415, "media_type_unsupported")


def test_content_type_with_parameters(used_phone: Phone) -> None:
    """A charset beside the content type does no harm."""
    assert used_phone.call("POST", "/v1/pull", raw=b"{}", wire="Application/JSON; charset=utf-8").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"changes": 5}',
        b'{"changes": [{}]}',
        b'{"changes": [{"id": "1"}]}',
        b'{"changes": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"changes": [' * 1_000,
        b'{"changes": [], "x": NaN}',
    ],
)
def test_malformed_json(used_phone: Phone, body: bytes) -> None:
    """A body that cannot be read is the sender's error, and the answer says where."""
    answer = used_phone.call("POST", "/v1/push", raw=body)
    assert problem(answer) == (400, "body_malformed")
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "changed",
    [
        {"seq": -1},
        {"seq": 0},
        {"seq": 2**53},
        {"seq": 10**30},
        {"seq": 1.5},
        {"seq": "1"},
        {"stamp": -1},
        {"base": -1},
        {"id": "not a uuid"},
        {"record": 5},
        {"captured": {}},
        {"captured": {"wall_ms": 10**30}},
        {"captured": {"wall_ms": -(2**63)}},
        {"captured": {"wall_ms": 0, "trusted_ms": 2**63, "elapsed_ms": 1}},
        {"captured": {"wall_ms": 0, "trusted_ms": 0, "elapsed_ms": 0, "error_ms": 2**62}},
        {"captured": {"wall_ms": 0, "trusted_ms": 0, "elapsed_ms": 2**62}},
    ],
)
def test_impossible_changes(used_phone: Phone, changed: dict[str, Any]) -> None:
    """Numbers no device can mean are refused with the body they come in."""
    change = used_phone.change() | changed
    used_phone.seq -= 1
    assert problem(used_phone.push(change)) == (400, "body_malformed")


@pytest.mark.parametrize("cursor", ["x", "", "é", "kQ", "A" * 1000, "a\0"])
def test_invalid_cursor(used_phone: Phone, cursor: str) -> None:
    """A cursor the server did not make is refused."""
    assert problem(used_phone.call("POST", "/v1/pull", {"cursor": cursor})) == (400, "cursor_invalid")


def test_a_cursor_goes_on(server: HttpServer, phone: Phone) -> None:
    """A pull with a cursor brings only what is new."""
    cursor = phone.pull()["cursor"]
    other = server.inspector()
    change = other.change()
    other.push(change)
    assert [record["id"] for record in phone.pull(cursor)["records"]] == [change["record"]]


@pytest.mark.parametrize("limit", [0, -1, 10_001, "ten"])
def test_page_limits(used_phone: Phone, limit: object) -> None:
    """Every page has a limit."""
    assert problem(used_phone.call("POST", "/v1/pull", {"limit": limit})) == (400, "body_malformed")


def test_nobody_reads_beyond_their_area(server: HttpServer, phone: Phone) -> None:
    """A device receives nothing of another street."""
    change = phone.change()
    phone.push(change)
    outsider = server.signed_in(("grid:440304001", Role.INSPECTOR))
    assert change["record"] not in {record["id"] for record in outsider.pull()["records"]}


def test_many_devices_at_once(server: HttpServer) -> None:
    """Twenty devices that push at once get their own verdicts, and every record is there once."""
    phones = [server.inspector() for _ in range(DEVICES)]
    with ThreadPoolExecutor(DEVICES) as threads:
        sent = list(threads.map(_push_in_turn, phones))
    assert all(held == PUSHES * 2 for _, held in sent)
    found = [record["id"] for record in server.inspector().pull()["records"] if record["type"] == "finding"]
    assert sorted(set(found)) == sorted(found)
    assert {record for records, _ in sent for record in records} <= set(found)


def _push_in_turn(phone: Phone) -> tuple[list[str], int]:
    """Two changes a push, each push twice as after a lost answer; the records made and what is held."""
    records: list[str] = []
    held = 0
    for _ in range(PUSHES):
        changes = [phone.change(), phone.change()]
        records += [change["record"] for change in changes]
        first, again = phone.push(*changes).json(), phone.push(*changes).json()
        assert [verdict["change"] for verdict in first["verdicts"]] == [change["id"] for change in changes]
        assert all(verdict["outcome"] == "applied" for verdict in first["verdicts"])
        assert first["verdicts"] == again["verdicts"]
        held = again["held"]
    return records, held


def test_a_client_that_hangs_up(server: HttpServer, phone: Phone, capsys: pytest.CaptureFixture[str]) -> None:
    """A request that breaks off half-way is no error of the server."""
    proof = phone.proof("POST", "/v1/pull", phone.access_token)
    head = (
        f"POST /v1/pull HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 100\r\n"
        f"DPoP: {proof}\r\nAuthorization: DPoP {phone.access_token}\r\n\r\n{{"
    )
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass
    assert phone.pull()["more"] is False
    assert "unexpected" not in capsys.readouterr().out


def test_a_page_comes_along_with_a_push(server: HttpServer, phone: Phone) -> None:
    """A push that asks for a page gets what a pull after it would bring, its own changes included."""
    change = phone.change()
    answer = phone.ask("/v1/push", {"changes": [change], "pull": {"limit": 1000}})
    assert change["record"] in [record["id"] for record in answer["page"]["records"]]
    assert answer["page"]["records"] == phone.pull()["records"]


def test_work_is_taken_where_no_page_can_come(phone: Phone) -> None:
    """A cursor of no use does not touch the changes; a pull tells what is wrong with it."""
    answer = phone.ask("/v1/push", {"changes": [phone.change()], "pull": {"cursor": "nonsense"}})
    assert [verdict["outcome"] for verdict in answer["verdicts"]] == ["applied"]
    assert "page" not in answer
    assert problem(phone.call("POST", "/v1/pull", {"cursor": "nonsense"})) == (400, "cursor_invalid")
