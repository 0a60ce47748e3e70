"""Compressed bodies over HTTP, both ways."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from sync.compression import Coding, compressed, decompressed
from tests.integration.http_server import JSON, MAX_BODY, MSGPACK, HttpServer, Phone, decoded, problem


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    """A signed-in inspector's device of a server of its own."""
    folder = tmp_path_factory.mktemp("server")
    with HttpServer(folder, f"sqlite:///{folder}/gridwalk.db") as running:
        yield running.inspector()


def push(phone: Phone, body: bytes, coding: str, wire: str = JSON) -> Any:
    """The answer to a push of these bytes."""
    return phone.call("POST", "/v1/push", raw=body, wire=wire, headers={"Content-Encoding": coding})


@pytest.mark.parametrize("coding", list(Coding))
@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_a_compressed_push(phone: Phone, coding: Coding, wire: str) -> None:
    """A push in either encoding and coding gets its verdicts."""
    encode = msgspec.json.encode if wire == JSON else msgspec.msgpack.encode
    body = encode({"changes": [phone.change() for _ in range(10)]})
    answer = push(phone, compressed(body, coding), coding, wire)
    assert [verdict["outcome"] for verdict in decoded(answer)["verdicts"]] == ["applied"] * 10


@pytest.mark.parametrize(
    ("offered", "coding"),
    [
        ("zstd", "zstd"),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip;q=0.8", "gzip"),
        ("zstd;q=0, gzip; q=0.1", "gzip"),
        ("br, x;q=y", None),
        ("zstd;q=0", None),
        ("", None),
    ],
)
def test_the_answer_comes_as_the_client_likes(phone: Phone, offered: str, coding: str | None) -> None:
    """Accept-Encoding decides, by its weights; the answer says that it did."""
    for _ in range(5):
        phone.verdict(phone.change())
    answer = phone.call("POST", "/v1/pull", {"limit": 5}, headers={"Accept-Encoding": offered})
    assert answer.headers.get("content-encoding") == coding
    assert "Accept-Encoding" in answer.headers["vary"]
    assert len(decoded(answer)["records"]) == 5


def test_small_answers_stay_plain(phone: Phone) -> None:
    """What compressing would hardly shorten is sent as it is."""
    answer = phone.push(headers={"Accept-Encoding": "zstd, gzip"})
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers


def test_an_unknown_coding(phone: Phone) -> None:
    """A coding the server does not read is 415, with those it reads."""
    answer = push(phone, b"{}", "br")
    assert problem(answer) == (415, "media_type_unsupported")
    assert answer.headers["accept-encoding"] == "zstd, gzip"


@pytest.mark.parametrize("coding", list(Coding))
def test_what_becomes_too_much(phone: Phone, coding: Coding) -> None:
    """The bound on bodies is of what they become; nothing of it is taken."""
    body = msgspec.json.encode({"changes": [phone.change(fields={"text": "x" * MAX_BODY})]})
    phone.seq -= 1
    assert problem(push(phone, compressed(body, coding), coding)) == (413, "body_too_large")


@pytest.mark.parametrize("coding", list(Coding))
def test_what_is_not_what_it_says(phone: Phone, coding: Coding) -> None:
    """A body that is not in the coding it names is malformed."""
    assert problem(push(phone, b'{"changes": []}', coding)) == (400, "body_malformed")


def test_compressed_is_the_same(phone: Phone) -> None:
    """What comes compressed is what comes plain."""
    phone.verdict(*[phone.change() for _ in range(5)])
    plain = phone.call("POST", "/v1/pull", {"limit": 5}, headers={"Accept-Encoding": ""})
    with phone.server.client.stream(
        "POST",
        "/v1/pull",
        content=b'{"limit": 5}',
        headers={
            "DPoP": phone.proof("POST", "/v1/pull", phone.access_token),
            "Authorization": f"DPoP {phone.access_token}",
            "Content-Type": JSON,
            "Accept-Encoding": "zstd",
        },
    ) as answer:
        raw = b"".join(answer.iter_raw())
    assert len(raw) < len(plain.content) / 2
    whole = msgspec.json.decode(decompressed(raw, "zstd", 2**24))
    assert whole["records"] == plain.json()["records"]
