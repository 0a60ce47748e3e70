"""Reading media: who may, by which links, which parts of it; and what naming a digest does not give."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from field_schemas.access import Role
from tests.integration.http_server import GRID, STREET, HttpServer, Phone, problem
from tests.integration.media import CHUNK, TUS, digest_of, media_ref, metadata, photo, send

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def phone(server: HttpServer) -> Phone:
    """One signed-in device."""
    return server.inspector()


def finding(phone: Phone, *contents: bytes, **how: Any) -> str:
    """A pushed finding with these photos; its id."""
    fields = {"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(content) for content in contents]}
    change = phone.change(fields=fields)
    assert phone.verdict(change, **how)["outcome"] == "applied"
    record: str = change["record"]
    return record


def asked(phone: Phone, content: bytes) -> httpx.Response:
    """Ask for a link."""
    return phone.call("GET", f"/v1/media/{digest_of(content)}")


def link(phone: Phone, content: bytes) -> str:
    """A link."""
    answer = asked(phone, content)
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["url"]
    return url


def test_the_sender_reads_it(phone: Phone) -> None:
    """Who uploaded a photo gets a link, which alone brings the bytes."""
    content = photo(5_000)
    send(phone, content)
    answer = asked(phone, content).json()
    assert (answer["digest"], answer["size"], answer["media_type"]) == (digest_of(content), 5_000, "image/jpeg")
    got = phone.server.client.get(answer["url"])
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, content, "image/jpeg")


def test_headers_keep_browsers_from_guessing(phone: Phone) -> None:
    """The bytes are shown as the picture they are, under a name of our own, and cached by this reader alone."""
    content = photo()
    send(phone, content, filename='"><script>.html')
    headers = phone.server.client.get(link(phone, content)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == f'inline; filename="{digest_of(content)[7:23]}.jpg"'
    assert headers["cache-control"].startswith("private")
    assert "sandbox" in headers["content-security-policy"]
    assert headers["etag"] == f'"{digest_of(content)}"'


@pytest.mark.parametrize(
    ("wanted", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=990-", 206, 990, 1000),
        ("bytes=-10", 206, 990, 1000),
        ("bytes=990-5000", 206, 990, 1000),
        ("bytes=-5000", 200, 0, 1000),
        ("bytes=0-1,5-6", 200, 0, 1000),
        ("bytes=-", 200, 0, 1000),
        ("lines=0-1", 200, 0, 1000),
    ],
)
def test_ranges(phone: Phone, wanted: str, status: int, start: int, end: int) -> None:
    """One range of bytes is served; what cannot be understood brings all."""
    content = photo(1_000)
    send(phone, content)
    got = phone.server.client.get(link(phone, content), headers={"Range": wanted})
    assert (got.status_code, got.content) == (status, content[start:end])
    assert got.headers.get("content-range") == (f"bytes {start}-{end - 1}/1000" if status == 206 else None)


@pytest.mark.parametrize("wanted", ["bytes=1000-", "bytes=5-4", "bytes=-0"])
def test_ranges_outside(phone: Phone, wanted: str) -> None:
    """A range that holds no byte is answered with the size."""
    content = photo(1_000)
    send(phone, content)
    got = phone.server.client.get(link(phone, content), headers={"Range": wanted})
    assert (problem(got), got.headers["content-range"]) == ((416, "range_invalid"), "bytes */1000")


def test_unchanged_for_ever(phone: Phone) -> None:
    """A reader who has the bytes is told so; a range of another version is not mixed in."""
    content = photo()
    send(phone, content)
    url, etag = link(phone, content), f'"{digest_of(content)}"'
    client = phone.server.client
    assert client.get(url, headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200
    head = client.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "1000", b"")


def test_links_end(phone: Phone) -> None:
    """A link changed in any part, or too old, brings nothing."""
    content = photo()
    send(phone, content)
    url = link(phone, content)
    other = digest_of(photo())
    for wrong in (url.replace(digest_of(content), other), url.replace("expires=1", "expires=2"), url + "A"):
        assert problem(phone.server.client.get(wrong)) == (403, "link_invalid")
    assert phone.server.client.get(url.partition("?")[0]).status_code == 400
    phone.server.now_ms += 31 * MINUTE_MS
    assert problem(phone.server.client.get(url)) == (403, "link_invalid")
    phone.server.now_ms -= 31 * MINUTE_MS


def test_whoever_reads_the_record_reads_its_photo(phone: Phone, server: HttpServer) -> None:
    """A colleague of the area gets the photo of a finding there, whichever comes first; an outsider does not."""
    first, later = photo(), photo()
    send(phone, first)
    finding(phone, first, later)
    send(phone, later)
    colleague = server.signed_in((f"grid:{STREET}", Role.SUPERVISOR))
    outsider = server.signed_in(("grid:440305", Role.SUPERVISOR))
    for content in (first, later):
        assert server.client.get(link(colleague, content)).content == content
        assert problem(asked(outsider, content)) == (404, "media_unknown")


def test_pushed_as_messagepack(phone: Phone, server: HttpServer) -> None:
    """References are seen in either encoding."""
    content = photo()
    send(phone, content)
    finding(phone, content, wire="application/msgpack", accept="application/json")
    assert asked(server.signed_in((f"grid:{STREET}", Role.SUPERVISOR)), content).status_code == 200


def test_photos_deep_in_a_record(phone: Phone, server: HttpServer) -> None:
    """A photo of a checklist's answer is read by whoever reads the task."""
    boss = server.signed_in((f"grid:{STREET}", Role.SUPERVISOR))
    task = boss.change("patrol_task", fields={"subject": "x", "grid": GRID, "assignee": phone.user})
    boss.push(task)
    content = photo()
    send(phone, content)
    entry = {"item": "a", "result": "ok", "answered_at": "2026-09-21T00:00:00Z", "media": [media_ref(content)]}
    phone.pull()
    answers = phone.change("patrol_task", record=task["record"], fields={"answers": [entry]}, base=1)
    assert phone.verdict(answers)["outcome"] in ("applied", "merged")
    assert asked(boss, content).status_code == 200


def test_naming_a_digest_gives_nothing(phone: Phone, server: HttpServer) -> None:
    """Who writes the digest of a photo they cannot read into a record of their own still cannot read it."""
    content = photo()
    send(phone, content)
    finding(phone, content)
    thief = server.signed_in(("grid:440305", Role.INSPECTOR))
    fields = {"kind": "1", "grid": "440305001001001", "text": "x", "media": [media_ref(content)]}
    assert thief.verdict(thief.change(fields=fields))["outcome"] == "applied"
    assert problem(asked(thief, content)) == (404, "media_unknown")


def test_a_refused_change_opens_its_photo_to_those_who_decide(phone: Phone, server: HttpServer) -> None:
    """A photo that a refused change names is no reader's of the record, but is seen by who settles the refusal."""
    away = "440304001"
    other = server.signed_in((f"grid:{away}", Role.INSPECTOR))
    chief = server.signed_in(("grid:440304", Role.SUPERVISOR))
    made = other.change(fields={"kind": "0102", "grid": f"{away}001001", "text": "x"})
    assert other.verdict(made)["outcome"] == "applied"
    content = photo()
    send(phone, content)
    named = phone.change(record=made["record"], base=1, fields={"media": [media_ref(content)]})
    assert phone.verdict(named)["outcome"] == "refused"
    assert asked(other, content).status_code == 404
    assert asked(chief, content).status_code == 200


@pytest.mark.parametrize("name", ["sha256:%00", "%00", "sha256:" + "g" * 64])
def test_what_is_no_digest_is_unknown(phone: Phone, name: str) -> None:
    """A name that is no digest at all is answered like one that is not here."""
    path = f"/v1/media/{name}"
    token = phone.access_token
    # The proof names the path as the server reads it.
    headers = {"DPoP": phone.proof("GET", unquote(path), token), "Authorization": f"DPoP {token}"}
    assert problem(phone.server.client.get(path, headers=headers)) == (404, "media_unknown")


def test_unknown_and_forbidden_look_alike(phone: Phone, server: HttpServer) -> None:
    """Nobody learns whether the server has a photo that is not for them."""
    content = photo()
    send(phone, content)
    stranger = server.signed_in(("grid:440305", Role.INSPECTOR))
    answers = [asked(stranger, one).json() for one in (content, photo())]
    assert answers[0] == answers[1] | {"server_ms": answers[0]["server_ms"]}


def known(phone: Phone, content: bytes) -> httpx.Response:
    """A creation with upload that brings no bytes, but the digest."""
    headers = TUS | {"Upload-Length": str(len(content)), "Upload-Metadata": metadata(sha256=digest_of(content)[7:])}
    return phone.call("POST", "/v1/uploads", raw=b"", headers=headers, wire=CHUNK)


def test_sent_before_is_not_sent_again(phone: Phone, server: HttpServer) -> None:
    """Who may read the bytes here already need not send them; everybody else does, and learns nothing."""
    content = photo()
    send(phone, content)
    finding(phone, content)
    colleague = server.signed_in((f"grid:{STREET}", Role.SUPERVISOR))
    stranger = server.signed_in(("grid:440305", Role.INSPECTOR))
    offsets = [known(one, content).headers["upload-offset"] for one in (phone, colleague, stranger)]
    assert offsets == ["1000", "1000", "0"]
    assert known(stranger, photo()).headers["upload-offset"] == "0"


def lose(phone: Phone, content: bytes) -> None:
    """Have the store lose a photo."""
    hexadecimal = digest_of(content)[7:]
    (Path(phone.server.settings.data_dir) / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal).unlink()


def test_bytes_that_are_gone(phone: Phone, server: HttpServer) -> None:
    """Whoever asks for a photo that the store has lost is told before an answer begins, in whatever form they ask."""
    content = photo()
    send(phone, content)
    finding(phone, content)
    url = link(phone, content)
    chief = server.signed_in((f"grid:{STREET}", Role.SUPERVISOR))
    public = chief.call("POST", f"/v1/media/{digest_of(content)}/publications", {"hidden": []})
    assert problem(public) == (422, "picture_unavailable")
    lose(phone, content)
    answers = [server.client.get(url), server.client.get(url, headers={"Range": "bytes=5-"})]
    answers.append(chief.call("POST", f"/v1/media/{digest_of(content)}/publications", {"hidden": []}))
    assert {problem(one) for one in answers} == {(404, "media_unknown")}
    assert server.client.head(url).status_code == 404


def test_bytes_that_are_gone_are_asked_for(phone: Phone) -> None:
    """Where the store has lost a photo, nobody is told that it is here already; sent again, it is there again."""
    content = photo()
    send(phone, content)
    lose(phone, content)
    assert known(phone, content).headers["upload-offset"] == "0"
    send(phone, content)
    assert phone.server.client.get(link(phone, content)).content == content


def test_two_senders_of_one_photo(server: HttpServer) -> None:
    """The same bytes sent by two people are stored once, and both may read them."""
    content = photo()
    people = [server.signed_in((f"grid:{district}", Role.INSPECTOR)) for district in ("440304", "440305")]
    for one in people:
        send(one, content)
    assert [server.client.get(link(one, content)).content for one in people] == [content, content]
    files = [path for path in (Path(server.settings.data_dir) / "blobs").rglob("*") if path.is_file()]
    assert [path.name for path in files].count(digest_of(content)[7:]) == 1


@pytest.fixture
def own_server(database_url: str, tmp_path: Path) -> Iterator[HttpServer]:
    """A server of the test's own that names media by SM3."""
    with HttpServer(tmp_path, database_url, media_digest="sm3") as running:
        yield running


def test_by_sm3(own_server: HttpServer) -> None:
    """Where the server is set to SM3, media is announced, kept and named by it."""
    phone = own_server.inspector()
    content = photo()
    sm3 = hashlib.new("sm3", content).hexdigest()
    sent = send(phone, content, sm3=sm3)
    assert sent.status()["digest"] == f"sm3:{sm3}"
    url = phone.call("GET", f"/v1/media/sm3:{sm3}").json()["url"]
    assert own_server.client.get(url).content == content
