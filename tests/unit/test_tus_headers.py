"""The headers of tus: what they mean, and that whatever else stands in them is told."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.media import safe_name
from media import tus
from media.errors import MediaError

HEX = "ab" * 32


def based(text: str) -> str:
    """As metadata carries it."""
    return base64.b64encode(text.encode()).decode()


def test_metadata() -> None:
    """Keys with values and without; the header is echoed as it came."""
    header = f"filename {based('照片.jpg')},sha256 {based(HEX)}, is_confidential"
    assert tus.read_metadata(header) == tus.Metadata(header, f"sha256:{HEX}")


@pytest.mark.parametrize(
    "header",
    [
        "filename not-base64!",
        "filename YQ",
        "filename YQ==,filename YQ==",
        "file name YQ==",
        "fil\x00e YQ==",
        f"sha256 {based('ab')}",
        f"sha256 {based(HEX)},sm3 {based(HEX)}",
        "a " + "A" * 9_000,
    ],
)
def test_metadata_that_is_none(header: str) -> None:
    """Metadata that is not base64, doubled, malformed or endless is refused."""
    with pytest.raises(MediaError) as caught:
        tus.read_metadata(header)
    assert caught.value.code == "upload_header_invalid"


@given(st.text(max_size=80))
def test_any_metadata(header: str) -> None:
    """Any header is echoed or refused."""
    with suppress(MediaError):
        assert tus.read_metadata(header).raw == header


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("a\x00b\r\nSet-Cookie: x.jpg", "abSet-Cookie: x.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("..", ""),
        (" 井盖.jpg ", "井盖.jpg"),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_with_paths_and_control_characters(name: str, shown: str) -> None:
    """Of a file name only what a person may safely read remains."""
    assert safe_name(name) == shown


def test_checksum() -> None:
    """The algorithm and the raw digest."""
    assert tus.read_checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=") == tus.Checksum(
        "sha1", bytes.fromhex("2aae6c35c94fcfb415dbe95f408b9ce91ee846ed")
    )


@pytest.mark.parametrize(
    ("header", "code"),
    [("md5 YQ==", "checksum_unsupported"), ("", "checksum_unsupported"), ("sha1 %%", "upload_header_invalid")],
)
def test_checksum_that_is_none(header: str, code: str) -> None:
    """Unknown algorithms and broken digests are told apart."""
    with pytest.raises(MediaError) as caught:
        tus.read_checksum(header)
    assert caught.value.code == code


@pytest.mark.parametrize("header", ["", "-1", "+1", "1.0", "0x10", "١", "9" * 19, " 1"])
def test_numbers_that_are_none(header: str) -> None:
    """An offset or length is a plain whole number."""
    with pytest.raises(MediaError):
        tus.read_number("Upload-Offset", header)


def test_concat() -> None:
    """Parts, and uploads made of them."""
    assert tus.read_concat("partial") == tus.Concat("partial")
    assert tus.read_concat("final;/a /b") == tus.Concat("final", ("/a", "/b"))
    for header in ("", "final", "final;", "whole;/a", "final /a"):
        with pytest.raises(MediaError):
            tus.read_concat(header)


@pytest.mark.parametrize("header", [None, "", "0.2.2", "2.0.0", "1.0.0 "])
def test_other_versions(header: str | None) -> None:
    """Only the one version is spoken."""
    with pytest.raises(MediaError) as caught:
        tus.read_version(header)
    assert caught.value.code == "tus_version_unsupported"
