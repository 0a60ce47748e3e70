"""History, digests and single records over HTTP: nothing beyond the reader's role, whatever is asked."""

import uuid
from typing import Any

import pytest

from field_schemas.access import Role
from sync.digest import RangeDigest, differing, digest_ranges, range_key
from tests.integration.http_server import JSON, MSGPACK, STREET, HttpServer, Phone, problem

SCOPE = f"grid:{STREET}"


@pytest.fixture
def phone(server: HttpServer) -> Phone:
    """A signed-in inspector's device, new."""
    return server.inspector()


@pytest.fixture(scope="module")
def supervisor(server: HttpServer) -> Phone:
    """A signed-in supervisor's device."""
    return server.signed_in((SCOPE, Role.SUPERVISOR))


@pytest.fixture(scope="module")
def outsider(server: HttpServer) -> Phone:
    """A signed-in device of another street's inspector."""
    return server.signed_in(("grid:440304001", Role.INSPECTOR))


def finding(phone: Phone, **fields: Any) -> str:
    """A new finding in STREET; its id."""
    change = phone.change()
    change["fields"] |= fields
    assert phone.verdict(change)["outcome"] == "applied"
    return str(change["record"])


def copy_of(phone: Phone) -> dict[uuid.UUID, int]:
    """What a device holds of SCOPE after a pull: record to version."""
    return {
        uuid.UUID(record["id"]): record["version"]
        for record in phone.pull()["records"]
        for scopes in [[f"grid:{record['fields'].get('grid')}"], record["fields"].get("concerns", [])]
        if any(scope.startswith(SCOPE) for scope in scopes)
    }


def ranges_of(answer: dict[str, Any]) -> dict[str, RangeDigest]:
    """The digests of an answer."""
    return {key: RangeDigest(*row) for key, row in answer["ranges"].items()}


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_history_says_who_changed_what(supervisor: Phone, phone: Phone, wire: str) -> None:
    """Every change of a record is told with author, device, verdict, time and old values, in either encoding."""
    record = finding(phone)
    phone.push(phone.change(record=record, base=1, fields={"priority": "urgent"}))
    made, changed = supervisor.history(record, accept=wire)
    assert (made["user"], made["outcome"], made["seq"]) == (phone.user, "applied", 1)
    assert changed["fields"] == {"priority": "urgent"}
    assert changed["before"] == {"priority": "standard"}
    assert changed["captured_ms"] == phone.server.now_ms
    assert changed["error_ms"] == 1


def test_history_tells_of_refusals(supervisor: Phone, phone: Phone) -> None:
    """A refused change stands in the history with its code."""
    record = finding(phone)
    phone.push(phone.change(record=record, fields={"state": "closed"}))
    last = supervisor.history(record)[-1]
    assert (last["outcome"], last["code"], last["version"]) == ("refused", "transition_illegal", 0)


def test_history_is_masked(supervisor: Phone, phone: Phone) -> None:
    """A field for supervisors only is in the supervisor's history and in no other, new value nor old."""
    record = finding(supervisor, contact="13800138000")
    supervisor.push(supervisor.change(record=record, base=2**40, fields={"contact": "13900139000"}))
    assert [entry["fields"].get("contact") for entry in supervisor.history(record)] == ["13800138000", "13900139000"]
    assert supervisor.history(record)[1]["before"] == {"contact": "13800138000"}
    text = phone.call("GET", f"/v1/records/{record}/history").text
    assert "13800138000" not in text
    assert "13900139000" not in text


def test_history_of_what_one_may_not_see(phone: Phone, outsider: Phone) -> None:
    """A record beyond the reader's area answers as one that does not exist."""
    hidden = outsider.call("GET", f"/v1/records/{finding(phone)}/history")
    missing = outsider.call("GET", f"/v1/records/{uuid.uuid4()}/history")
    assert problem(hidden) == problem(missing) == (404, "record_unknown")


@pytest.mark.parametrize("text", ["1", "not-a-uuid", "%00", "é", "0" * 500])
def test_history_of_no_id(phone: Phone, text: str) -> None:
    """An id that is none is the caller's error."""
    headers = {"DPoP": phone.proof("GET", f"/v1/records/{_unquoted(text)}/history", phone.access_token)}
    answer = phone.call("GET", f"/v1/records/{text}/history", headers=headers)
    assert problem(answer) == (400, "parameter_invalid")


def _unquoted(text: str) -> str:
    return text.replace("%00", "\0")


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_digests_equal_the_copys(server: HttpServer, phone: Phone, wire: str) -> None:
    """The server's digests of a scope are those a device computes over what it received."""
    for _ in range(3):
        finding(phone)
    copy = copy_of(phone)
    answer = phone.ask("/v1/digests", {"scope": SCOPE}, accept=wire)
    assert answer["count"] == len(copy)
    assert ranges_of(answer) == digest_ranges(copy.items())


@pytest.mark.parametrize("damage", ["lost", "stale", "invented"])
def test_a_damaged_copy_is_found(phone: Phone, damage: str) -> None:
    """A record lost, old or invented shows as the one range that differs, which the next question narrows to it."""
    record = uuid.UUID(finding(phone))
    copy = copy_of(phone)
    match damage:
        case "lost":
            del copy[record]
        case "stale":
            copy[record] -= 1
        case "invented":
            record = uuid.uuid4()
            copy[record] = 7
    answer = phone.ask("/v1/digests", {"scope": SCOPE})
    (prefix,) = differing(digest_ranges(copy.items()), ranges_of(answer))
    assert range_key(record).startswith(prefix)
    narrower = phone.ask("/v1/digests", {"scope": SCOPE, "prefix": prefix})
    ours = {entry for entry in copy.items() if range_key(entry[0]).startswith(prefix)}
    theirs = {(uuid.UUID(one), version) for one, version in narrower["records"]}
    assert {one for one, _ in ours ^ theirs} == {record}


def test_digests_count_only_what_is_seen(phone: Phone, supervisor: Phone, outsider: Phone) -> None:
    """A record of a type the reader may not read is not in the reader's digests; a foreign scope has none."""
    finding(phone)
    known = phone.ask("/v1/digests", {"scope": SCOPE, "types": {"note": 1}})
    assert known["count"] == 0
    assert problem(outsider.call("POST", "/v1/digests", {"scope": SCOPE})) == (403, "scope_denied")


@pytest.mark.parametrize(
    "body", [{}, {"scope": SCOPE, "prefix": "zz"}, {"scope": SCOPE, "prefix": "a"}, {"scope": 5}]
)
def test_malformed_digest_requests(phone: Phone, body: dict[str, Any]) -> None:
    """A range that cannot be is refused."""
    assert problem(phone.call("POST", "/v1/digests", body)) == (400, "body_malformed")


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_fetch(phone: Phone, wire: str) -> None:
    """A record asked for by id arrives as a pull brings it."""
    record = finding(phone)
    (fetched,) = phone.ask("/v1/records/fetch", {"ids": [record]}, accept=wire)["records"]
    (pulled,) = [one for one in phone.pull(accept=wire)["records"] if one["id"] == fetched["id"]]
    assert fetched == pulled


def test_fetch_masks(phone: Phone, supervisor: Phone) -> None:
    """A field for supervisors only is not fetched by others."""
    record = finding(supervisor, contact="13800138000")
    (fetched,) = phone.ask("/v1/records/fetch", {"ids": [record]})["records"]
    assert "contact" not in fetched["fields"]


def test_fetch_beyond_the_role(phone: Phone, outsider: Phone) -> None:
    """What the reader may not see, and what does not exist, is to be forgotten, without a difference."""
    hidden, missing = finding(phone), str(uuid.uuid4())
    answer = outsider.ask("/v1/records/fetch", {"ids": [hidden, missing, hidden]})
    assert (answer["records"], answer["forget"]) == ([], [hidden, missing])


def test_fetch_is_bounded(phone: Phone) -> None:
    """No more than a thousand records are asked for at once."""
    ids = [str(uuid.uuid4()) for _ in range(1_001)]
    assert problem(phone.call("POST", "/v1/records/fetch", {"ids": ids})) == (400, "body_malformed")
