"""Media in S3-compatible storage: a real S3 server, which checks every signature and permission."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import pytest

from client_sdk import Device, MediaState
from field_schemas.access import Role
from field_schemas.types.finding import Finding
from server.cli.session import now_ms
from sync.clock import DAY_MS
from tests.fake_server import REGISTRY
from tests.integration.cli import Gridwalk
from tests.integration.http_server import GRID, PASSWORD, STREET, HttpServer, Phone, problem
from tests.integration.media import CHUNK, TUS, create, digest_of, media_ref, metadata, photo, send
from tests.photos import Shot
from tests.photos import photo as real_photo
from tests.proxy import Proxy
from tests.s3 import BUCKET, MISSING_BUCKET, REGION, S3, running_s3

STORE = f"s3://{BUCKET}/blobs"
SEVERAL_PARTS = 11 * 2**20


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """An S3 server of the module's own."""
    with running_s3() as running:
        yield running


@pytest.fixture
def environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The variables by which a server finds the bucket, to be changed."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def city(environment: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path) -> Iterator[HttpServer]:
    """A Gridwalk server whose media lies there."""
    with HttpServer(tmp_path / "data", sqlite_url, media_store=STORE, key_file=str(tmp_path / "key")) as running:
        yield running


@pytest.fixture
def gridwalk(environment: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path) -> Gridwalk:
    """The command line beside it."""
    return Gridwalk(tmp_path, sqlite_url, GRIDWALK_KEY_FILE=str(tmp_path / "key"), GRIDWALK_MEDIA_STORE=STORE)


def objects(s3: S3) -> set[str]:
    """The names of all objects of the bucket."""
    found = _client(s3).list_objects_v2(Bucket=BUCKET)
    return {str(one["Key"]) for one in found.get("Contents", [])}


def key_of(content: bytes) -> str:
    """Where a blob lies."""
    hexadecimal = digest_of(content)[7:]
    return f"blobs/sha256/{hexadecimal[:2]}/{hexadecimal}"


def lose(s3: S3, content: bytes) -> None:
    """Remove a blob behind the server's back."""
    _client(s3).delete_object(Bucket=BUCKET, Key=key_of(content))


def _client(s3: S3) -> boto3.client:
    return boto3.client(
        "s3",
        endpoint_url=s3.url,
        region_name=REGION,
        aws_access_key_id=s3.key_id,
        aws_secret_access_key=s3.secret,
    )


def link(phone: Phone, content: bytes) -> str:
    """A link to a photo."""
    answer = phone.call("GET", f"/v1/media/{digest_of(content)}")
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["url"]
    return url


@pytest.mark.parametrize("size", [1_000, SEVERAL_PARTS])
def test_there_and_back(city: HttpServer, s3: S3, size: int) -> None:
    """What is uploaded, small or in several parts, is an object under its digest; a link brings the same bytes."""
    phone, content = city.inspector(), photo(size)
    assert send(phone, content).status()["state"] == "complete"
    assert key_of(content) in objects(s3)
    got = city.client.get(link(phone, content))
    assert (got.status_code, got.content, got.headers["etag"]) == (200, content, f'"{digest_of(content)}"')


def test_ranges(city: HttpServer) -> None:
    """Any one range is served, also over the edges of what is read at once; who has the bytes is told so."""
    phone, content = city.inspector(), photo(SEVERAL_PARTS)
    send(phone, content)
    url, etag = link(phone, content), f'"{digest_of(content)}"'
    for start, end in ((0, 9), (2**20 - 5, 2**20 + 5), (SEVERAL_PARTS - 10, SEVERAL_PARTS - 1)):
        got = city.client.get(url, headers={"Range": f"bytes={start}-{end}", "If-Range": etag})
        assert (got.status_code, got.content) == (206, content[start : end + 1])
    assert city.client.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert city.client.head(url).headers["content-length"] == str(SEVERAL_PARTS)


def test_stored_once(city: HttpServer, s3: S3) -> None:
    """The same bytes of two people are one object, beside which it says that both have sent them."""
    content, before = photo(), objects(s3)
    people = [city.signed_in((f"grid:{district}", Role.INSPECTOR)) for district in ("440304", "440305")]
    for one in people:
        send(one, content)
    claims = {key_of(content).replace("blobs/", "blobs/claims/") + f"/{one.user}.json" for one in people}
    assert objects(s3) - before == {key_of(content), *claims}


def test_pictures_lie_beside_it(city: HttpServer, s3: S3) -> None:
    """A thumbnail is made from the object, kept as one, and brought from there when it is asked for again."""
    phone, content = city.inspector(), real_photo(Shot(seed=4))
    send(phone, content)
    url = phone.call("GET", f"/v1/media/{digest_of(content)}?size=thumbnail").json()["url"]
    first = city.client.get(url)
    assert first.content.startswith(b"\xff\xd8")
    assert any(one.startswith(key_of(content).replace("blobs/", "blobs/pictures/")) for one in objects(s3))
    assert city.client.get(url).content == first.content


def test_collected_after_grace(city: HttpServer, gridwalk: Gridwalk, s3: S3) -> None:
    """What a record names stays, what nothing names goes after its time of grace, and not before."""
    named, idle, fresh = photo(), photo(), photo()
    city.now_ms = now_ms() - 40 * DAY_MS
    phone = city.inspector()
    send(phone, named)
    send(phone, idle)
    fields = {"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(named)]}
    assert phone.verdict(phone.change(fields=fields))["outcome"] == "applied"
    city.now_ms = now_ms()
    send(city.inspector(), fresh)
    assert "1 file gone, 1,000 bytes" in gridwalk.well("media", "collect")
    assert {key_of(one) for one in (named, idle, fresh)} & objects(s3) == {key_of(named), key_of(fresh)}
    assert "nothing damaged: 2 files." in gridwalk.well("media", "verify")


def test_lost_bytes_are_asked_for_again(city: HttpServer, gridwalk: Gridwalk, s3: S3) -> None:
    """Where the bucket has lost a photo, its reader is told, `verify` names it, nobody is told that it is here
    already, and sent again it is there again."""
    phone, content = city.inspector(), photo()
    send(phone, content)
    lose(s3, content)
    assert problem(city.client.get(link(phone, content))) == (404, "media_unknown")
    assert f"{digest_of(content)} missing" in gridwalk("media", "verify").out.splitlines()
    headers = TUS | {"Upload-Length": "1000", "Upload-Metadata": metadata(sha256=digest_of(content)[7:])}
    known = phone.call("POST", "/v1/uploads", raw=b"", headers=headers, wire=CHUNK)
    assert known.headers["upload-offset"] == "0"
    send(phone, content)
    assert city.client.get(link(phone, content)).content == content


@pytest.fixture
async def far(s3: S3, environment: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path) -> AsyncIterator["Far"]:
    """A Gridwalk server whose storage is behind a proxy, and can go away."""
    async with Proxy(s3.port, []) as proxy:
        environment.setenv("AWS_ENDPOINT_URL", proxy.url)
        running = HttpServer(tmp_path / "data", sqlite_url, media_store=STORE)
        await asyncio.to_thread(running.__enter__)
        yield Far(running, proxy)
        await asyncio.to_thread(running.__exit__)


class Far:
    """A server, and the way to its storage."""

    def __init__(self, server: HttpServer, proxy: Proxy) -> None:
        self.server = server
        self.proxy = proxy


async def test_storage_away(far: Far, s3: S3) -> None:
    """While the storage is away, uploads are taken and kept, readers are told to come later; then all is made up."""
    phone = await asyncio.to_thread(far.server.inspector)
    before, during = photo(), photo()
    await asyncio.to_thread(send, phone, before)
    url = await asyncio.to_thread(link, phone, before)
    far.proxy.go_away()
    sent = await asyncio.to_thread(send, phone, during)
    status = await asyncio.to_thread(sent.status)
    assert (status["state"], status["offset"]) == ("open", 1_000)
    answer = await asyncio.to_thread(far.server.client.get, url)
    assert (problem(answer), "retry-after" in answer.headers) == ((503, "storage_unavailable"), True)
    assert "127.0.0.1" not in answer.text
    assert (await asyncio.to_thread(far.server.client.head, url)).status_code == 503
    far.proxy.come_back()
    head = await asyncio.to_thread(sent.head)
    assert head.headers["upload-offset"] == "1000"
    assert (await asyncio.to_thread(sent.status))["state"] == "complete"
    assert key_of(during) in objects(s3)
    assert (await asyncio.to_thread(far.server.client.get, url)).content == before


async def test_known_photo_while_the_storage_is_away(far: Far) -> None:
    """What cannot be looked for is not said to be here: the bytes are taken once more."""
    phone, content = await asyncio.to_thread(far.server.inspector), photo()
    await asyncio.to_thread(send, phone, content)
    far.proxy.go_away()
    headers = {"Upload_Metadata": metadata(sha256=digest_of(content)[7:]), "Content_Type": CHUNK}
    known = await asyncio.to_thread(create, phone, 1_000, **headers)
    assert (known.status_code, known.headers["upload-offset"]) == (201, "0")


async def test_a_freed_photo_while_the_storage_is_away(far: Far) -> None:
    """Whoever has the bytes no more, and asks for them, is not answered before the storage can be asked."""
    phone, content = await asyncio.to_thread(far.server.inspector), photo()
    await asyncio.to_thread(send, phone, content)
    headers = {"Upload_Metadata": metadata(sha256=digest_of(content)[7:], freed="yes"), "Content_Type": CHUNK}
    far.proxy.go_away()
    assert problem(await asyncio.to_thread(create, phone, 1_000, **headers)) == (503, "storage_unavailable")
    far.proxy.come_back()
    known = await asyncio.to_thread(create, phone, 1_000, **headers)
    assert (known.status_code, known.headers["upload-offset"]) == (201, "1000")


async def test_a_phone_keeps_its_photo_until_the_storage_has_it(far: Far, tmp_path: Path) -> None:
    """The receipt for which the device gives up its copy comes when the bytes are in the bucket, not before."""
    user = await asyncio.to_thread(far.server.new_user, (f"grid:{STREET}", Role.INSPECTOR))
    file = tmp_path / "a.jpg"
    file.write_bytes(real_photo(Shot(seed=3)))
    async with Device.open(tmp_path / "li.db", server=far.server.url, registry=REGISTRY) as li:
        await li.sign_in(user, PASSWORD)
        await li.attach(await li.create(Finding(kind="0102", grid=GRID, text="x")), file)
        far.proxy.go_away()
        await li.sync()
        assert (await li.media())[0].state is MediaState.UPLOADING
        far.proxy.come_back()
        await li.resume_media()
        await li.sync()
        assert (await li.media())[0].state is MediaState.HELD


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("AWS_SECRET_ACCESS_KEY", "another", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "AKIANOBODY", "InvalidAccessKeyId"),
        ("GRIDWALK_MEDIA_STORE", "s3://nobodys-bucket", "AccessDenied"),
        ("GRIDWALK_MEDIA_STORE", f"s3://{MISSING_BUCKET}", "NoSuchBucket"),
        ("GRIDWALK_MEDIA_STORE", "s4://city-media", "s4"),
    ],
)
def test_wrong_settings_are_told_at_start(gridwalk: Gridwalk, name: str, value: str, why: str) -> None:
    """A server whose storage refuses it says so in one sentence, and does not start."""
    gridwalk.environment[name] = value
    sentence = gridwalk.fails("serve", "--port", "0")
    assert "the media store cannot be used" in sentence
    assert why in sentence
    assert gridwalk.environment["AWS_SECRET_ACCESS_KEY"] not in sentence


def test_key_that_is_taken_back(city: HttpServer, s3: S3, environment: pytest.MonkeyPatch, sqlite_url: str) -> None:
    """A server whose key no longer works takes uploads and keeps them; with a good key, they are made up for."""
    environment.setenv("AWS_SECRET_ACCESS_KEY", "another")
    folder = Path(city.settings.data_dir)
    phone, content = city.inspector(), photo()
    with HttpServer(folder, sqlite_url, media_store=STORE, key_file=city.settings.key_file) as refused:
        phone.server = refused
        sent = send(phone, content)
        assert sent.status()["state"] == "open"
    phone.server = city
    assert city.client.head(sent.url, headers=TUS).headers["upload-offset"] == "1000"
    assert key_of(content) in objects(s3)
    assert city.client.get(link(phone, content)).content == content
