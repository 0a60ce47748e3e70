"""Whatever a client sends, the server answers, and never with an error of its own."""

import math
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.http_server import GRID, JSON, MSGPACK, HttpServer, Phone

EXAMPLES = 60
_SAME_PHONE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)

_texts = st.one_of(st.text(max_size=20), st.sampled_from(["", "\0", "440304007001001", "finding", "\U0010ffff"]))
_numbers = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([-1, 0, 2**31, 2**53, 2**63 - 1]),
    st.floats(),
)
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), _numbers, _texts, st.binary(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_texts, inner, max_size=4)),
    max_leaves=8,
)
_names = st.sampled_from(
    ["grid", "kind", "text", "place", "state", "tags", "code", "inspections", "segments", "answers", "resolution"]
)
_fields = st.dictionaries(_names | _texts, _values, max_size=5)
_types = st.sampled_from(
    ["finding", "component", "note", "track", "patrol_task", "patrol_shift", "conflict", "refusal", "unit_grid"]
)
_overrides = st.dictionaries(
    st.sampled_from(["id", "seq", "type", "record", "stamp", "captured", "fields", "base", "delete", "type_version"]),
    _values,
    max_size=2,
)


@pytest.fixture(scope="module")
def phone(server: HttpServer) -> Phone:
    """One signed-in device."""
    return server.inspector()


def _answered(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
@given(raw=st.binary(max_size=200))
@_SAME_PHONE
def test_any_bytes(phone: Phone, wire: str, raw: bytes) -> None:
    """Bytes that mean nothing are refused."""
    for path in ("/v1/push", "/v1/pull"):
        assert phone.call("POST", path, raw=raw, wire=wire).status_code in (200, 400)


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
@given(body=_values)
@_SAME_PHONE
def test_any_document(phone: Phone, wire: str, body: Any) -> None:
    """Well-formed bodies of any shape are answered."""
    raw = msgspec.json.encode(body) if wire == JSON else msgspec.msgpack.encode(body)
    for path in ("/v1/push", "/v1/pull", "/v1/sessions", "/v1/sessions/refresh"):
        _answered(phone.call("POST", path, raw=raw, wire=wire))


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
@given(kind=_types, fields=_fields)
@_SAME_PHONE
def test_any_fields_get_a_verdict(phone: Phone, wire: str, kind: str, fields: dict[str, Any]) -> None:
    """Any fields of any type get a verdict, and the device's next change is taken."""
    change = phone.change(kind, fields={"grid": GRID} | fields)
    assert phone.verdict(change, wire=wire, accept=JSON)["seq"] == change["seq"]


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
@given(changed=_overrides)
@_SAME_PHONE
def test_any_change(phone: Phone, wire: str, changed: dict[str, Any]) -> None:
    """A change with anything in the place of anything is answered."""
    change = phone.change() | changed
    answer = phone.push(change, wire=wire, accept=JSON)
    _answered(answer)
    if answer.status_code != 200:
        phone.seq -= 1


@pytest.mark.parametrize("depth", [100, 900, 5_000, 50_000])
@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_deep_nesting(phone: Phone, wire: str, depth: int) -> None:
    """Depth alone brings nothing down, neither the push nor a later pull."""
    change = phone.change("conflict", fields={"resolution": {"text": 0}})
    deep = b"[" * depth + b"]" * depth if wire == JSON else b"\x91" * depth + b"\x90"
    encoded = msgspec.json.encode(change) if wire == JSON else msgspec.msgpack.encode(change)
    old = b'{"text":0}' if wire == JSON else b"\x81\xa4text\x00"
    assert old in encoded
    raw = b'{"changes":[' if wire == JSON else b"\x81\xa7changes\x91"
    raw += encoded.replace(old, old[:-2] + deep + b"}" if wire == JSON else old[:-1] + deep)
    answer = phone.call("POST", "/v1/push", raw=raw + b"]}" if wire == JSON else raw, wire=wire, accept=JSON)
    _answered(answer)
    if answer.status_code != 200:
        phone.seq -= 1


def test_everything_can_be_pulled_after_all_that(phone: Phone) -> None:
    """Nothing that was taken breaks a reader of JSON or of MessagePack."""
    for wire in (JSON, MSGPACK):
        cursor, more = None, True
        while more:
            page = phone.pull(cursor, wire=wire)
            cursor, more = page["cursor"], page["more"]
            assert not any(math.isnan(record["version"]) for record in page["records"])


@given(name=st.text(max_size=10), query=st.text(max_size=10))
@_SAME_PHONE
def test_any_path(server: HttpServer, name: str, query: str) -> None:
    """Any path and query is answered."""
    try:
        answer = server.client.get(f"/v1/record-types/{name}", params={"q": query})
    except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
        return
    _answered(answer)


@given(header=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
@_SAME_PHONE
def test_any_header(phone: Phone, header: str) -> None:
    """Any header is answered."""
    for name in ("DPoP", "Authorization", "Accept", "Accept-Language", "Content-Type"):
        value = f"DPoP {header}" if name == "Authorization" else header
        _answered(phone.call("POST", "/v1/pull", {}, headers={name: value}))
