"""The grammar of tus 1.0.0: its headers as plain values. Pure. https://tus.io/protocols/resumable-upload"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from field_schemas.media import is_digest
from media.errors import MediaError

VERSION = "1.0.0"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
)
CHECKSUMS = ("sha1", "sha256")
CHUNK_TYPE = "application/offset+octet-stream"
_LONGEST = 8_192
"""Characters of Upload-Metadata and Upload-Concat."""
_NUMBER = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[!-+\--~]+")


class Checksum(msgspec.Struct, frozen=True):
    """What the bytes of one chunk are to hash to."""

    algorithm: str
    digest: bytes


class Concat(msgspec.Struct, frozen=True):
    """An upload that is part of others, or that is made of `parts` (their URLs)."""

    kind: Literal["partial", "final"]
    parts: tuple[str, ...] = ()


class Metadata(msgspec.Struct, frozen=True):
    """What the client says of an upload. `raw` is the header as it came, `digest` as records name media.

    `freed`: the client has the bytes no more and only asks whether the server does.
    """

    raw: str = ""
    digest: str | None = None
    freed: bool = False


def read_version(header: str | None) -> None:
    """Raises MediaError `tus_version_unsupported` for any Tus-Resumable but VERSION."""
    if header != VERSION:
        raise MediaError("tus_version_unsupported", f"Tus-Resumable: {header}; this server speaks {VERSION}")


def read_number(name: str, header: str) -> int:
    """The value of Upload-Length or Upload-Offset. Raises MediaError `upload_header_invalid`."""
    if not _NUMBER.fullmatch(header):
        raise MediaError("upload_header_invalid", f"{name}: {header!r} is not a whole number of bytes")
    return int(header)


def read_checksum(header: str) -> Checksum:
    """The value of Upload-Checksum. Raises MediaError `checksum_unsupported` or `upload_header_invalid`."""
    algorithm, _, encoded = header.strip().partition(" ")
    if algorithm not in CHECKSUMS:
        raise MediaError("checksum_unsupported", f"{algorithm!r}; supported are {', '.join(CHECKSUMS)}")
    return Checksum(algorithm, _unbased("Upload-Checksum", encoded))


def read_concat(header: str) -> Concat:
    """The value of Upload-Concat. Raises MediaError `upload_header_invalid`."""
    if header == "partial":
        return Concat("partial")
    kind, _, parts = header.partition(";")
    urls = tuple(parts.split())
    if kind != "final" or not urls or len(header) > _LONGEST:
        raise MediaError("upload_header_invalid", "Upload-Concat is `partial` or `final;` and the parts' URLs")
    return Concat("final", urls)


def read_metadata(header: str) -> Metadata:
    """The value of Upload-Metadata; keys we do not know are kept as they are.

    Raises MediaError `upload_header_invalid`.
    """
    values = _pairs(header)
    return Metadata(header, _announced(values), "freed" in values)


def _pairs(header: str) -> dict[str, bytes]:
    if len(header) > _LONGEST:
        raise MediaError("upload_header_invalid", f"Upload-Metadata is longer than {_LONGEST} characters")
    values: dict[str, bytes] = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, encoded = pair.partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise MediaError("upload_header_invalid", f"Upload-Metadata: the key {key!r} is malformed or doubled")
        values[key] = _unbased("Upload-Metadata", encoded)
    return values


def _announced(values: Mapping[str, bytes]) -> str | None:
    found = [f"{name}:{values[name].decode('latin-1').lower()}" for name in ("sha256", "sm3") if name in values]
    if len(found) > 1 or not all(map(is_digest, found)):
        raise MediaError("upload_header_invalid", "Upload-Metadata: one of sha256 and sm3, as 64 hex digits")
    return found[0] if found else None


def _unbased(name: str, encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError("upload_header_invalid", f"{name}: {encoded[:40]!r} is not base64") from error
