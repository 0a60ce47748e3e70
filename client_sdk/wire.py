"""The messages of the HTTP contract about sessions and media, as the device knows them (docs/protocol.md)."""

import uuid

import msgspec

from field_schemas.access import Grant
from field_schemas.media import DigestName
from media.derivatives import Region
from media.thresholds import Thresholds


class EnrolledDevice(msgspec.Struct, frozen=True):
    """The device that signs in. `public_key` is the raw Ed25519 key, base64url without padding."""

    id: uuid.UUID
    public_key: str
    name: str
    model: str | None = None


class Credentials(msgspec.Struct, frozen=True):
    """Sign in."""

    user: str
    password: str
    device: EnrolledDevice


class Refresh(msgspec.Struct, frozen=True):
    """Ask for new tokens."""

    refresh_token: str


class SessionResponse(msgspec.Struct, frozen=True):
    """A session's tokens and the user's grants. `expires_in` in s, `server_ms` UTC ms.

    `server_key` is the raw Ed25519 key by which the server signs receipts, base64url without padding. Media is named
    by its `media_digest`, and checked by its `thresholds`.
    """

    user: str
    display_name: str
    access_token: str
    expires_in: int
    refresh_token: str
    grants: tuple[Grant, ...]
    server_ms: int
    server_key: str = ""
    media_digest: DigestName = "sha256"
    thresholds: Thresholds = Thresholds()


class Me(msgspec.Struct, frozen=True):
    """Who is signed in, with all grants."""

    user: str
    display_name: str
    grants: tuple[Grant, ...]
    server_ms: int


class Problem(msgspec.Struct, frozen=True):
    """A problem detail (RFC 9457). `expected` is the sequence number to go on from, `change` what it is about."""

    code: str
    title: str = ""
    detail: str = ""
    server_ms: int | None = None
    expected: int | None = None
    change: uuid.UUID | None = None


class UploadStatus(msgspec.Struct, frozen=True):
    """Where an upload stands: `open`, `complete`, `refused`; `code` and `detail` say why it was refused."""

    state: str
    offset: int
    digest: str | None = None
    code: str | None = None
    detail: str | None = None


class PublishRequest(msgspec.Struct, frozen=True):
    """A picture for the public, at most `side_px` on its longer side, with nothing left of what is `hidden`."""

    hidden: tuple[Region, ...]
    side_px: int = 1600


class MediaLink(msgspec.Struct, frozen=True):
    """A photo or video: `size` in bytes (None: of a picture that is still to be made), and a `url` that brings it."""

    digest: str
    size: int | None
    media_type: str
    url: str
    expires_ms: int
