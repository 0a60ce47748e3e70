"""What media is: its type by content, and how records name it."""

import uuid

import pytest

from field_schemas.media import digests_in, media_fields
from field_schemas.record import FieldError
from field_schemas.registry import load_types
from field_schemas.types.finding import Finding
from media.content import EXTENSIONS, kind_of
from media.errors import MediaError
from media.links import Links

PHOTO = "sha256:" + "ab" * 32
REGISTRY = load_types()


def boxed(*brands: bytes) -> bytes:
    """The first box of an ISO media file: major brand, version, compatible brands."""
    body = brands[0] + b"\0\0\2\0" + b"".join(brands[1:])
    return (len(body) + 8).to_bytes(4, "big") + b"ftyp" + body + b"\0\0\0\x08mdat"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe1\x00\x10Exif", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (boxed(b"heic", b"mif1", b"heic"), "image/heic"),
        (boxed(b"mif1", b"mif1", b"heic"), "image/heic"),
        (boxed(b"isom", b"isom", b"avc1"), "video/mp4"),
        (boxed(b"qt  ", b"qt  "), "video/quicktime"),
        (boxed(b"M4A ", b"M4A ", b"mp42"), "audio/mp4"),
        (boxed(b"zzzz", b"mp42"), "video/mp4"),
        (boxed(b"avif", b"mif1"), None),
        (boxed(b"zzzz"), None),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"GIF89a", None),
        (b"<svg xmlns=", None),
        (b"MZ\x90", None),
        (b"%PDF-1.7", None),
        (b"", None),
        (b"\0\0\0\x08ftyp", None),
        (b"\xff\xff\xff\xffftyp", None),
    ],
)
def test_type_by_content(head: bytes, kind: str | None) -> None:
    """The first bytes tell the type, whatever the name says; everything else is not taken."""
    assert kind_of(head) == kind


def test_every_type_has_an_extension() -> None:
    """Nothing is handed out without a name that fits it."""
    kinds = {kind_of(head) for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", boxed(b"heic"), boxed(b"qt  "))}
    assert kinds <= EXTENSIONS.keys()


def test_fields_that_can_name_media() -> None:
    """Found in the declaration, whatever the depth."""
    assert media_fields(REGISTRY.get("finding")) == ("media",)
    assert media_fields(REGISTRY.get("patrol_task")) == ("answers",)
    assert media_fields(REGISTRY.get("component")) == ()


def test_media_named_in_a_value() -> None:
    """All digests, however deep they lie."""
    other = "sm3:" + "00" * 32
    value = {"answers": [{"media": [{"digest": PHOTO}, {"digest": "no digest"}]}], "x": {"digest": other}}
    assert set(digests_in(value)) == {PHOTO, other}


def test_media_named_very_deep() -> None:
    """Depth alone brings nothing down."""
    value: object = {"digest": PHOTO}
    for _ in range(50_000):
        value = [value]
    assert list(digests_in(value)) == [PHOTO]


@pytest.mark.parametrize("digest", ["sha256:abc", "md5:" + "ab" * 32, PHOTO.upper(), PHOTO + "\n", "ab" * 32])
def test_malformed_digest(digest: str) -> None:
    """A record names media by a digest or not at all."""
    spec = REGISTRY.get("finding")
    with pytest.raises(FieldError):
        spec.patch({"media": [{"digest": digest, "size": 1, "media_type": "image/jpeg"}]})


def test_media_in_a_record() -> None:
    """A finding names its photos."""
    patch = {"media": [{"digest": PHOTO, "size": 10, "media_type": "image/jpeg"}]}
    spec = REGISTRY.get("finding")
    made = spec.typed(spec.patch({"kind": "1", "grid": "440304", "text": "x"} | patch), uuid.uuid4(), 1)
    assert isinstance(made, Finding)
    assert [one.digest for one in made.media] == [PHOTO]


def test_addresses_are_not_found_by_guessing() -> None:
    """An upload's address is read back by its maker alone, and not when any of it was changed."""
    links, others = Links(b"k" * 32), Links(b"o" * 32)
    upload = uuid.uuid4()
    token = links.upload_token(upload)
    assert links.upload_of(token) == upload
    changed = ("B" if token[3] == "A" else "A").join((token[:3], token[4:]))
    for wrong in (others.upload_token(upload), changed, token[:-2], "", "é", "%", upload.hex):
        with pytest.raises(MediaError) as caught:
            links.upload_of(wrong)
        assert caught.value.code == "upload_unknown"


def test_links_end() -> None:
    """A link is good for its blob, or one picture of it, up to its end."""
    links = Links(b"k" * 32)
    signature = links.signature(PHOTO, "", 1_000)
    links.check(PHOTO, "", 1_000, signature, 999)
    for digest, picture, until, given, now in (
        (PHOTO, "", 1_000, signature, 1_000),
        (PHOTO, "", 2_000, signature, 999),
        (PHOTO, "thumbnail", 1_000, signature, 999),
        ("sha256:" + "cd" * 32, "", 1_000, signature, 999),
        (PHOTO, "", 1_000, "", 999),
    ):
        with pytest.raises(MediaError) as caught:
            links.check(digest, picture, until, given, now)
        assert caught.value.code == "link_invalid"
