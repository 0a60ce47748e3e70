"""Uploads as the database has them."""

import uuid
from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from media.errors import MediaError
from media.tus import Metadata
from media.uploads import State, Upload
from server.accounts.identities import Identity
from server.accounts.tables import devices, users
from server.media.tables import uploads
from sync.errors import SyncError

PARTIAL = "partial"

_UPLOAD = (
    select(uploads, users.c.disabled_ms)
    .select_from(uploads.join(devices).join(users))
    .where(uploads.c.id == bindparam("upload"))
)
"""Made once: building it anew for each chunk cost as much as the query."""


class Wanted(msgspec.Struct, frozen=True):
    """An upload as a client asks for it. `concat` is its Upload-Concat, `parts` the uploads that names."""

    metadata: Metadata
    length: int | None = None
    concat: str | None = None
    parts: tuple[uuid.UUID, ...] = ()


class StoredUpload(msgspec.Struct, frozen=True):
    """An upload's row (server.media.tables)."""

    id: uuid.UUID
    device: uuid.UUID
    user: str
    state: State
    length: int | None
    reserved: int
    metadata: str
    announced: str | None
    concat: str | None
    digest: str | None
    code: str | None
    detail: str | None
    created_ms: int
    expires_ms: int

    @property
    def final(self) -> bool:
        """Whether it is made of others."""
        return self.concat not in (None, PARTIAL)

    def at(self, offset: int) -> Upload:
        """As the rules see it, with `offset` bytes held."""
        return Upload(
            state=self.state,
            offset=offset,
            length=self.length,
            expires_ms=self.expires_ms,
            final=self.final,
            part=self.concat == PARTIAL,
        )


class Standing(msgspec.Struct, frozen=True):
    """An upload, and how many of its bytes are held."""

    row: StoredUpload
    offset: int


def new_upload(
    upload: uuid.UUID, who: Identity, wanted: Wanted, length: int | None, now_ms: int, expires_ms: int
) -> StoredUpload:
    """The row of an upload that begins, with nothing reserved."""
    return StoredUpload(
        id=upload,
        device=who.device,
        user=who.user,
        state=State.OPEN,
        length=length,
        reserved=0,
        metadata=wanted.metadata.raw,
        announced=wanted.metadata.digest,
        concat=wanted.concat,
        digest=None,
        code=None,
        detail=None,
        created_ms=now_ms,
        expires_ms=expires_ms,
    )


async def stored_upload(connection: AsyncConnection, upload: uuid.UUID) -> StoredUpload:
    """The upload. Raises MediaError `upload_unknown`, SyncError `account_disabled`."""
    found = (await connection.execute(_UPLOAD, {"upload": upload})).first()
    if found is None:
        raise MediaError("upload_unknown", "there is no upload at this address")
    *values, disabled_ms = found
    if disabled_ms is not None:
        raise SyncError("account_disabled", "the account of the upload's device is disabled")
    return upload_of(values)


def upload_of(row: Sequence[object]) -> StoredUpload:
    """The upload of a row."""
    return msgspec.convert(dict(zip(StoredUpload.__struct_fields__, row, strict=True)), StoredUpload)
