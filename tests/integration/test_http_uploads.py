"""tus 1.0.0 over real HTTP: creation, chunks, checksums, termination, concatenation, and what is turned away."""

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.settings import Settings
from tests.integration.http_server import HttpServer, Phone, problem
from tests.integration.media import CHUNK, TUS, Sent, create, digest_of, metadata, photo, send, sha256_of

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def phone(server: HttpServer) -> Phone:
    """One signed-in device."""
    return server.inspector()


def test_options_tell_what_is_there(server: HttpServer) -> None:
    """OPTIONS needs no version and names versions, extensions, checksums, the size and the digest."""
    answer = server.client.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
    }
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"
    assert answer.headers["tus-max-size"] == str(Settings().media_max_bytes)
    assert answer.headers["gridwalk-digest"] == "sha256"


def test_a_photo_in_chunks(phone: Phone) -> None:
    """Chunks in order make a whole, which is kept under its digest."""
    content = photo(1_000)
    sent = Sent(phone, Upload_Metadata=metadata(filename="a.jpg"))
    assert sent.offset == 0
    first = sent.patch(0, content[:400])
    assert (first.status_code, first.headers["upload-offset"], first.headers["tus-resumable"]) == (
        204,
        "400",
        "1.0.0",
    )
    assert sent.offset == 400
    assert sent.status() | {"expires_ms": 0} == {"state": "open", "offset": 400, "length": 1000, "expires_ms": 0}
    assert sent.patch(400, content[400:]).headers["upload-offset"] == "1000"
    assert sent.status()["digest"] == digest_of(content)
    assert sent.offset == 1_000


def test_head_tells_everything(phone: Phone) -> None:
    """HEAD gives offset, length, expiry and the metadata as it came, and is not cached."""
    header = metadata(filename="../照片.jpg", purpose="x")
    headers = Sent(phone, 77, Upload_Metadata=header).head().headers
    assert (headers["upload-offset"], headers["upload-length"], headers["upload-metadata"]) == ("0", "77", header)
    assert headers["cache-control"] == "no-store"
    assert headers["upload-expires"].endswith("GMT")


def test_creation_needs_the_device_key(server: HttpServer) -> None:
    """Nobody creates an upload without signing in, and the answer still speaks tus."""
    answer = server.client.post("/v1/uploads", headers=TUS | {"Upload-Length": "10"})
    assert problem(answer) == (401, "token_missing")
    assert answer.headers["tus-resumable"] == "1.0.0"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Upload_Length": "-1"}, (400, "upload_header_invalid")),
        ({"Upload_Length": "ten"}, (400, "upload_header_invalid")),
        ({"Upload_Length": "0"}, (400, "media_empty")),
        ({"Upload_Length": str(2**40)}, (413, "upload_too_large")),
        ({"Upload_Length": "10", "Upload_Defer_Length": "1"}, (400, "upload_header_invalid")),
        ({"Upload_Defer_Length": "2"}, (400, "upload_header_invalid")),
        ({}, (400, "upload_header_invalid")),
        ({"Upload_Length": "10", "Upload_Metadata": "filename %%%"}, (400, "upload_header_invalid")),
        ({"Upload_Length": "10", "Upload_Metadata": metadata(sm3="ab" * 32)}, (400, "digest_unsupported")),
        ({"Upload_Length": "10", "Upload_Concat": "whole"}, (400, "upload_header_invalid")),
        ({"Upload_Concat": "final;/v1/uploads/none"}, (404, "upload_unknown")),
        ({"Upload_Length": "10", "Tus_Resumable": "0.2.2"}, (412, "tus_version_unsupported")),
    ],
)
def test_creations_that_are_turned_away(phone: Phone, headers: dict[str, str], expected: tuple[int, str]) -> None:
    """Every malformed creation has its own answer."""
    assert problem(create(phone, None, **headers)) == expected


def test_unknown_version_is_told_the_known(phone: Phone) -> None:
    """412 names the version spoken here."""
    assert Sent(phone).patch(0, b"x", Tus_Resumable="2.0.0").headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize(
    ("offset", "content", "headers", "expected"),
    [
        (0, b"x", {"Tus_Resumable": ""}, (412, "tus_version_unsupported")),
        (0, b"x", {"Content_Type": "application/octet-stream"}, (415, "chunk_type_wrong")),
        (1, b"x", {}, (409, "offset_mismatch")),
        (0, b"x", {"Upload_Offset": "-1"}, (400, "upload_header_invalid")),
        (0, b"x", {"Upload_Offset": ""}, (400, "upload_header_invalid")),
        (0, b"x" * 1_001, {}, (413, "upload_overrun")),
        (0, b"x", {"Upload_Length": "999"}, (400, "upload_header_invalid")),
        (0, b"x", {"Upload_Checksum": "crc32 YQ=="}, (400, "checksum_unsupported")),
        (0, b"x", {"Upload_Checksum": "sha1 ???"}, (400, "upload_header_invalid")),
        (0, b"x", {"Upload_Checksum": sha256_of(b"y")}, (460, "checksum_mismatch")),
    ],
)
def test_chunks_that_are_turned_away(
    phone: Phone, offset: int, content: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    """Every wrong chunk has its own answer, and changes nothing."""
    sent = Sent(phone)
    assert problem(sent.patch(offset, content, **headers)) == expected
    assert sent.offset == 0


def test_offsets_backwards(phone: Phone) -> None:
    """A chunk that was taken is not taken again; the answer says where to go on."""
    sent = Sent(phone)
    sent.patch(0, photo(300))
    answer = sent.patch(0, photo(300))
    assert (problem(answer), answer.headers["upload-offset"]) == ((409, "offset_mismatch"), "300")


def test_a_chunk_that_hides_its_size(phone: Phone) -> None:
    """A chunked body that runs past the length is discarded; one that fits is taken."""
    sent = Sent(phone)
    too_long = sent.patch(0, iter([b"x" * 800, b"x" * 800]))
    assert (problem(too_long), too_long.headers["upload-offset"]) == ((413, "upload_overrun"), "0")
    assert sent.patch(0, iter([b"x" * 300, b"x" * 300])).headers["upload-offset"] == "600"


def test_checksums(phone: Phone) -> None:
    """Chunks with sha1 and sha256 are verified; a wrong one costs that chunk alone."""
    content = photo(1_000)
    sent = Sent(phone)
    assert sent.patch(0, content[:500], Upload_Checksum=sha256_of(content[:500])).status_code == 204
    wrong = sent.patch(500, content[500:], Upload_Checksum=sha256_of(content))
    assert (wrong.status_code, wrong.headers["upload-offset"], sent.offset) == (460, "500", 500)
    sha1 = base64.b64encode(hashlib.sha1(content[500:]).digest()).decode()
    assert sent.patch(500, content[500:], Upload_Checksum=f"sha1 {sha1}").status_code == 204
    assert sent.status()["digest"] == digest_of(content)


def test_length_told_later(phone: Phone) -> None:
    """An upload of deferred length takes bytes, and is whole once the length is told."""
    content = photo(900)
    sent = Sent(phone, None, Upload_Defer_Length="1")
    assert sent.head().headers["upload-defer-length"] == "1"
    assert sent.patch(0, content[:500]).status_code == 204
    assert sent.patch(500, content[500:], Upload_Length="900").status_code == 204
    assert sent.status()["digest"] == digest_of(content)


def test_creation_with_upload(phone: Phone) -> None:
    """First bytes may come with the creation."""
    content = photo(1_000)
    headers = TUS | {"Upload-Length": "1000", "Content-Type": CHUNK}
    answer = phone.call("POST", "/v1/uploads", raw=content[:600], headers=headers, wire=CHUNK)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "600")
    done = phone.server.client.patch(
        answer.headers["location"],
        content=content[600:],
        headers=TUS | {"Upload-Offset": "600", "Content-Type": CHUNK},
    )
    assert done.headers["upload-offset"] == "1000"


def test_creation_with_another_body(phone: Phone) -> None:
    """A creation with a body of another type is refused, not half understood."""
    answer = phone.call("POST", "/v1/uploads", raw=b"{}", headers=TUS | {"Upload-Length": "1000"})
    assert problem(answer) == (415, "chunk_type_wrong")


def test_creation_with_a_wrong_chunk_makes_nothing(phone: Phone) -> None:
    """A creation whose first chunk fails its checksum creates nothing."""
    headers = TUS | {"Upload-Length": "1000", "Upload-Checksum": sha256_of(b"other")}
    answer = phone.call("POST", "/v1/uploads", raw=photo(600), headers=headers, wire=CHUNK)
    assert problem(answer) == (460, "checksum_mismatch")
    assert "location" not in answer.headers


def test_termination(phone: Phone) -> None:
    """A terminated upload is gone, for every method."""
    sent = Sent(phone)
    sent.patch(0, photo(300))
    assert sent.client.delete(sent.url, headers=TUS).status_code == 204
    assert sent.head().status_code == 410
    assert problem(sent.patch(300, b"x")) == (410, "upload_gone")
    assert problem(sent.client.delete(sent.url, headers=TUS)) == (410, "upload_gone")


def test_no_upload_is_found_by_guessing(phone: Phone) -> None:
    """An address that was not given out is unknown."""
    url = Sent(phone).url
    for wrong in ("/v1/uploads/x", url[:-1], url[:-2] + ("AA" if url[-2:] != "AA" else "BB")):
        assert problem(
            phone.server.client.patch(wrong, content=b"", headers=TUS | {"Content-Type": CHUNK, "Upload-Offset": "0"})
        ) == (404, "upload_unknown")


def test_method_override(phone: Phone) -> None:
    """Where only GET and POST pass, the method travels in a header."""
    sent = Sent(phone)
    headers = TUS | {"Upload-Offset": "0", "Content-Type": CHUNK, "X-HTTP-Method-Override": "PATCH"}
    assert sent.client.post(sent.url, content=b"abc", headers=headers).headers["upload-offset"] == "3"
    assert problem(sent.client.post(sent.url, headers=TUS)) == (405, "method_not_allowed")


def test_concatenation(phone: Phone) -> None:
    """Parts uploaded apart become one photo, in the order named; the whole takes no bytes of its own."""
    content = photo(1_000)
    parts = [Sent(phone, 500, Upload_Concat="partial") for _ in range(2)]
    for part, bytes_ in zip(parts, (content[:500], content[500:]), strict=True):
        assert part.patch(0, bytes_).status_code == 204
        assert part.head().headers["upload-concat"] == "partial"
    header = f"final;{parts[0].url} http://elsewhere.example{parts[1].url}"
    final = Sent(phone, None, Upload_Concat=header)
    headers = final.head().headers
    assert (headers["upload-length"], headers["upload-concat"]) == ("1000", header)
    assert final.status()["digest"] == digest_of(content)
    assert final.patch(1_000, b"").status_code == 403


def test_concatenation_waits_for_its_parts(phone: Phone) -> None:
    """Parts that are not whole are not put together, nor is what is no part."""
    part, other = Sent(phone, 500, Upload_Concat="partial"), Sent(phone, 500)
    assert problem(create(phone, None, Upload_Concat=f"final;{part.url}")) == (400, "upload_unfinished")
    assert problem(create(phone, None, Upload_Concat=f"final;{other.url}")) == (404, "upload_unknown")


@pytest.mark.parametrize("left", [None, 100])
def test_parts_whose_bytes_went_meanwhile(own_server: HttpServer, left: int | None) -> None:
    """Where the bytes of a part are not there any more it is told as gone, and nothing of the whole is left."""
    phone = own_server.inspector()
    part = Sent(phone, 500, Upload_Concat="partial")
    part.patch(0, photo(500))
    folder = Path(own_server.settings.data_dir) / "uploads"
    (data,) = folder.glob("*.data")
    if left is None:
        data.unlink()
    else:
        os.truncate(data, left)
    before = sorted(folder.iterdir())
    assert problem(create(phone, None, Upload_Concat=f"final;{part.url}")) == (410, "upload_gone")
    assert sorted(folder.iterdir()) == before


def test_parts_of_another_device(phone: Phone, server: HttpServer) -> None:
    """Nobody puts together what another device has uploaded."""
    part = Sent(phone, 500, Upload_Concat="partial")
    part.patch(0, photo(500))
    assert problem(create(server.inspector(), None, Upload_Concat=f"final;{part.url}")) == (404, "upload_unknown")


def test_digest_as_announced(phone: Phone) -> None:
    """A file that is not what its digest says is refused, now and when asked again; the right one is taken."""
    content = photo(1_000)
    sha256 = hashlib.sha256(content).hexdigest()
    wrong = Sent(phone, Upload_Metadata=metadata(sha256=sha256))
    assert problem(wrong.patch(0, photo(1_000))) == (422, "digest_mismatch")
    assert wrong.head().status_code == 422
    assert wrong.status()["code"] == "digest_mismatch"
    assert send(phone, content, sha256=sha256).status()["state"] == "complete"


@pytest.mark.parametrize("content", [b"<svg onload=alert(1)>", b"MZ\x90\0", b"GIF89a", b"\xff\xd8"])
def test_type_by_content(phone: Phone, content: bytes) -> None:
    """What is no picture, video or recording by its content is refused, whatever it is called."""
    sent = Sent(phone, len(content), Upload_Metadata=metadata(filename="a.jpg", filetype="image/jpeg"))
    assert problem(sent.patch(0, content)) == (415, "media_refused")


def test_last_answer_lost(phone: Phone) -> None:
    """Whoever did not hear that the last chunk was taken learns it by asking, and may send nothing more."""
    content = photo(1_000)
    sent = send(phone, content)
    assert sent.offset == 1_000
    assert sent.patch(1_000, b"").headers["upload-offset"] == "1000"
    assert sent.patch(0, content).headers["upload-offset"] == "1000"


@pytest.fixture
def own_server(
    database_url: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HttpServer]:
    """A server of the test's own, with small quotas."""
    settings = {"media_daily_bytes": 300_000, "media_upload_hours": 48}
    with HttpServer(tmp_path_factory.mktemp("own"), database_url, **settings) as running:
        yield running


def test_expiry(own_server: HttpServer) -> None:
    """An upload that is not finished in time is gone; one that is finished still answers."""
    phone = own_server.inspector()
    sent, done = Sent(phone), send(phone, photo())
    sent.patch(0, photo(10))
    own_server.now_ms += 48 * HOUR_MS
    assert sent.head().status_code == 410
    assert problem(sent.patch(10, b"x")) == (410, "upload_gone")
    assert done.head().headers["upload-offset"] == "1000"


def test_quota_of_a_day(own_server: HttpServer) -> None:
    """A device uploads its share of a day and then waits; another device has its own."""
    phone = own_server.inspector()
    Sent(phone, 200_000)
    answer = create(phone, 200_000)
    assert problem(answer) == (429, "quota_exceeded")
    assert answer.headers["retry-after"]
    Sent(own_server.inspector(), 200_000)
    own_server.now_ms += 25 * HOUR_MS
    phone.refresh()
    Sent(phone, 200_000)


def test_quota_of_deferred_lengths(own_server: HttpServer) -> None:
    """What is sent before its length is told counts too."""
    phone = own_server.inspector()
    Sent(phone, 200_000)
    sent = Sent(phone, None, Upload_Defer_Length="1")
    assert problem(sent.patch(0, photo(150_000))) == (429, "quota_exceeded")
    assert sent.offset == 0


def test_a_length_that_is_not_told(own_server: HttpServer) -> None:
    """An upload without a length lives for the day in which its bytes count; told its length, as long as others."""
    phone = own_server.inspector()
    endless, told = (Sent(phone, None, Upload_Defer_Length="1") for _ in range(2))
    assert told.patch(0, photo(300), Upload_Length="1000").status_code == 204
    own_server.now_ms += 24 * HOUR_MS
    assert problem(endless.patch(0, photo(300))) == (410, "upload_gone")
    assert told.offset == 300


def test_quota_of_what_is_made_of_parts(own_server: HttpServer) -> None:
    """A whole made of parts counts with all its bytes, however often a part is in it: that is what it takes here."""
    phone = own_server.inspector()
    part = Sent(phone, 100_000, Upload_Concat="partial")
    assert part.patch(0, photo(100_000)).status_code == 204
    assert problem(create(phone, None, Upload_Concat=f"final;{part.url} {part.url} {part.url}")) == (
        429,
        "quota_exceeded",
    )
    assert Sent(phone, None, Upload_Concat=f"final;{part.url} {part.url}").offset == 200_000
    assert problem(create(phone, None, Upload_Concat=f"final;{part.url}")) == (429, "quota_exceeded")


def test_a_revoked_device_hands_in_its_media(own_server: HttpServer) -> None:
    """The media of a revoked device is taken as its changes are; that of a disabled account is not."""
    phone = own_server.inspector()
    sent = Sent(phone)
    own_server.administer(lambda accounts: accounts.devices.revoke(phone.device))
    content = photo()
    assert sent.patch(0, content[:500]).status_code == 204
    own_server.administer(lambda accounts: accounts.users.disable(phone.user))
    assert problem(sent.patch(500, content[500:])) == (403, "account_disabled")
