"""Pictures made from photos: sizes for readers, and what supervisors give to the public."""

import asyncio
import io
import threading
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from field_schemas.access import Role
from media.inspection.inspector import Inspector
from tests.integration.http_server import GRID, STREET, HttpServer, Phone, problem
from tests.integration.media import digest_of, media_ref, send
from tests.photos import Shot
from tests.photos import photo as real_photo

REGION = {"left": 0.25, "top": 0.25, "width": 0.5, "height": 0.5}
_seeds = iter(range(1_000, 10_000))


@pytest.fixture(scope="module")
def phone(server: HttpServer) -> Phone:
    """One signed-in device."""
    return server.inspector()


@pytest.fixture(scope="module")
def chief(server: HttpServer) -> Phone:
    """A supervisor of the same street."""
    return server.signed_in((f"grid:{STREET}", Role.SUPERVISOR))


def photo() -> bytes:
    """A photo like no other, taken with the phone upright."""
    return real_photo(Shot(seed=next(_seeds), size=(800, 600), orientation=6))


def reported(phone: Phone, content: bytes) -> None:
    """Send a photo, and a finding that names it."""
    send(phone, content)
    fields = {"kind": "0102", "grid": GRID, "text": "x", "media": [media_ref(content)]}
    assert phone.verdict(phone.change(fields=fields))["outcome"] == "applied"


def link(phone: Phone, content: bytes, size: str) -> str:
    """A link to a size."""
    path = f"/v1/media/{digest_of(content)}"
    headers = {"DPoP": phone.proof("GET", path, phone.access_token), "Authorization": f"DPoP {phone.access_token}"}
    answer = phone.server.client.get(f"{path}?size={size}", headers=headers)
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["url"]
    return url


def publish(phone: Phone, content: bytes, *hidden: dict[str, float]) -> httpx.Response:
    """Ask for a public picture."""
    return phone.call("POST", f"/v1/media/{digest_of(content)}/publications", {"hidden": hidden})


def opened(answer: httpx.Response) -> Image.Image:
    """The picture of an answer."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize(("size", "pixels"), [("thumbnail", (240, 320)), ("screen", (600, 800))])
def test_sizes_upright_and_bare(phone: Phone, size: str, pixels: tuple[int, int]) -> None:
    """Each size comes upright, by its link alone, without a word of the photo's metadata."""
    content = photo()
    send(phone, content)
    picture = opened(phone.server.client.get(link(phone, content, size)))
    assert picture.size == pixels
    assert dict(picture.getexif()) == {}


def test_made_once(phone: Phone) -> None:
    """A picture is made once and kept; a reader who has it is told so."""
    content = photo()
    send(phone, content)
    url, client = link(phone, content, "thumbnail"), phone.server.client
    first = client.get(url)
    kept = list((Path(phone.server.settings.data_dir) / "blobs" / "pictures").rglob(f"{digest_of(content)[7:]}/*"))
    assert [file.read_bytes() for file in kept] == [first.content]
    assert client.get(url, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    head = client.head(url)
    assert (head.headers["content-length"], head.content) == (str(len(first.content)), b"")


def test_a_link_is_for_one_size(phone: Phone) -> None:
    """A link to the thumbnail opens neither the original nor another size; unknown sizes are told."""
    content = photo()
    send(phone, content)
    url = link(phone, content, "thumbnail")
    for other in (url.replace("picture=thumbnail&", ""), url.replace("thumbnail", "screen")):
        assert problem(phone.server.client.get(other)) == (403, "link_invalid")
    path = f"/v1/media/{digest_of(content)}"
    headers = {"DPoP": phone.proof("GET", path, phone.access_token), "Authorization": f"DPoP {phone.access_token}"}
    assert problem(phone.server.client.get(f"{path}?size=huge", headers=headers)) == (400, "parameter_invalid")


def test_no_picture_of_it(phone: Phone) -> None:
    """Of what cannot be decoded there is no picture, and the original stays to be had."""
    content = b"\xff\xd8\xff\xe0" + bytes(str(next(_seeds)), "ascii") * 50
    send(phone, content)
    got = phone.server.client.get(link(phone, content, "screen"))
    assert problem(got) == (422, "picture_unavailable")


def test_for_the_public(phone: Phone, chief: Phone) -> None:
    """A supervisor gets a picture without metadata in which a region is painted over; the original is untouched."""
    content = photo()
    reported(phone, content)
    answer = publish(chief, content, REGION)
    assert answer.status_code == 200, answer.text
    hidden = opened(chief.server.client.get(answer.json()["url"]))
    whole = opened(chief.server.client.get(publish(chief, content).json()["url"]))
    assert dict(hidden.getexif()) == {}
    outside = (30, 30)
    assert _distance(hidden, whole, outside) < 30 < _spread(whole) - _spread(hidden)
    assert chief.server.client.get(original(chief, content)).content == content


def test_only_supervisors_publish(phone: Phone, server: HttpServer) -> None:
    """Who took a photo does not publish it, nor does who supervises elsewhere; that one does not even learn of it."""
    content = photo()
    reported(phone, content)
    assert problem(publish(phone, content)) == (403, "role_denied")
    outsider = server.signed_in(("grid:440305", Role.SUPERVISOR))
    assert problem(publish(outsider, content)) == (404, "media_unknown")
    assert publish(phone, content, {**REGION, "left": 2.0}).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"hiden": [REGION]}, {"hidden": [], "side": 5}, {"hidden": [REGION | {"r": 1}]}]
)
def test_a_misspelled_word_publishes_nothing(phone: Phone, chief: Phone, body: dict[str, object]) -> None:
    """What is hidden must be said, be it nothing, and what is not understood is refused."""
    content = photo()
    reported(phone, content)
    answer = chief.call("POST", f"/v1/media/{digest_of(content)}/publications", body)
    assert problem(answer) == (400, "body_malformed")


def test_prepared_before_anybody_asks(phone: Phone) -> None:
    """Once a photo was checked its sizes are there."""
    content = photo()
    reported(phone, content)
    folder = Path(phone.server.settings.data_dir) / "blobs" / "pictures"
    ends = time.monotonic() + 30
    while len(list(folder.rglob(f"{digest_of(content)[7:]}/*"))) < 2:
        assert time.monotonic() < ends
        threading.Event().wait(0.1)


def test_a_child_for_each_file(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the settings want it, no two files are opened by one process."""
    started: list[Inspector] = []
    start = Inspector._start

    async def counted(self: Inspector) -> asyncio.subprocess.Process:
        started.append(self)
        return await start(self)

    monkeypatch.setattr(Inspector, "_start", counted)
    with HttpServer(tmp_path, sqlite_url, media_files_per_child=1) as server:
        phone = server.inspector()
        for _ in range(2):
            content = photo()
            send(phone, content)
            opened(server.client.get(link(phone, content, "thumbnail")))
    assert len(started) == 2


def original(phone: Phone, content: bytes) -> str:
    """A link to the photo itself."""
    url: str = phone.call("GET", f"/v1/media/{digest_of(content)}").json()["url"]
    return url


def _distance(one: Image.Image, other: Image.Image, at: tuple[int, int]) -> float:
    pixels = [picture.convert("RGB").getpixel(at) for picture in (one, other)]
    first, second = (pixel if isinstance(pixel, tuple) else (0, 0, 0) for pixel in pixels)
    return sum(abs(a - b) for a, b in zip(first, second, strict=True))


def _spread(picture: Image.Image) -> float:
    """How much the middle of a picture holds."""
    width, height = picture.size
    middle = picture.convert("L").crop((width * 3 // 10, height * 3 // 10, width * 7 // 10, height * 7 // 10))
    low, high = middle.getextrema()
    return float(high) - float(low)  # type: ignore[arg-type]
