"""Bodies of requests and answers other than push and pull (those stand in sync.messages)."""

import uuid
from typing import Annotated

import msgspec
from msgspec import Meta

from field_schemas.access import Grant
from field_schemas.labels import Label
from field_schemas.media import DigestName
from media.derivatives import Region
from media.thresholds import Thresholds

# Databases do not take NUL characters.
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*\Z")]


class NewDevice(msgspec.Struct, frozen=True):
    """The device that signs in. `public_key`: raw Ed25519 key, 32 bytes as base64url without padding."""

    id: uuid.UUID
    public_key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]
    name: Name
    model: Name | None = None


class SignInRequest(msgspec.Struct, frozen=True):
    """Sign in, and enrol the device if it is new."""

    user: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1_000)]
    device: NewDevice


class RefreshRequest(msgspec.Struct, frozen=True):
    """Exchange a refresh token for new tokens."""

    refresh_token: Annotated[str, Meta(max_length=200)]


class SessionResponse(msgspec.Struct, frozen=True):
    """A session's tokens and what its user may do. `expires_in` in s, `server_ms` UTC ms.

    `server_key` verifies the server's receipts: raw Ed25519 key, 32 bytes as base64url without padding. The
    server names media by `media_digest`, and checks it by `thresholds`.
    """

    user: str
    display_name: str
    device: uuid.UUID
    access_token: str
    expires_in: int
    refresh_token: str
    grants: tuple[Grant, ...]
    server_ms: int
    epoch: uuid.UUID
    server_key: str
    media_digest: DigestName
    thresholds: Thresholds


class Me(msgspec.Struct, frozen=True):
    """Who is signed in, on which device, with all grants ever given. `server_key` as in SessionResponse."""

    user: str
    display_name: str
    device: uuid.UUID
    grants: tuple[Grant, ...]
    server_ms: int
    server_key: str


class RecordTypeSummary(msgspec.Struct, frozen=True):
    """One record type of the server; `schema` is where its JSON Schema stands."""

    name: str
    version: int
    label: Label
    schema: str


class RecordTypes(msgspec.Struct, frozen=True):
    """The record types the server knows, by name."""

    record_types: list[RecordTypeSummary]


class CodeRow(msgspec.Struct, frozen=True):
    """One code of the catalogue; `status` is the HTTP status it comes with, none for verdicts on changes."""

    name: str
    title: Label
    advice: Label
    status: int | None


class Codes(msgspec.Struct, frozen=True):
    """The catalogue of codes."""

    codes: list[CodeRow]


class Health(msgspec.Struct, frozen=True):
    """`ok`, or what is not; every named check says "ok" or what is wrong."""

    status: str
    checks: dict[str, str] = {}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error (RFC 9457). `code` is stable; `advice` says what to do; `expected` is the sequence to go on from,
    `change` the change that it is about."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    advice: str
    server_ms: int
    expected: int | None = None
    change: uuid.UUID | None = None


class UploadStatus(msgspec.Struct, omit_defaults=True):
    """Where an upload stands: `open`, `complete`, `refused`. `offset` bytes of `length` are held.

    `digest` is that of a complete one; `code` and `detail` say why it was refused.
    """

    state: str
    offset: int
    length: int | None
    expires_ms: int
    digest: str | None = None
    code: str | None = None
    detail: str | None = None


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture for the public, at most `side_px` on its longer side, with nothing left of what is `hidden`.

    Who hides nothing says so by an empty list: a misspelled word must not publish faces.
    """

    hidden: Annotated[tuple[Region, ...], Meta(max_length=100)]
    side_px: Annotated[int, Meta(ge=16, le=8192)] = 1600


class MediaLink(msgspec.Struct):
    """A photo or video, or a picture made from one, and a `url` on this server that brings it until `expires_ms`.

    `digest` is that of the original, `size` in bytes; null for a picture, which may not be made yet.
    """

    digest: str
    size: int | None
    media_type: str
    url: str
    expires_ms: int
