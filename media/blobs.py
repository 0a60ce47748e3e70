"""Blobs: whole media by their digest, in a folder or in S3-compatible storage. Written once, never changed."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from field_schemas.media import MediaType
from media.errors import MediaError
from media.spool import full_disk_told, sync_folder

_PIECE = 256 * 1024
_PRIVATE = 0o700
_PICTURES = "pictures/"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


class Blobs:
    """The blobs of an object store; `folder` is where a LocalStore keeps them, None for any other store."""

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, digest: str, file: Path, media_type: MediaType) -> None:
        """Store the whole, durable `file` under `digest`; a blob that is there stays. `file` may go afterwards.

        Raises MediaError `storage_full`, and what the store raises.
        """
        if self._folder is not None:
            with full_disk_told():
                _link(file, self._folder / _key(digest))
            return
        attributes: obstore.Attributes = {"Content-Type": media_type}
        await obstore.put_async(self._store, _key(digest), file, attributes=attributes)

    async def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        try:
            await obstore.head_async(self._store, _key(digest))
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    async def read(self, digest: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, piece by piece. Raises MediaError `media_unknown`."""
        if start == end:
            return
        try:
            got = await obstore.get_async(self._store, _key(digest), options={"range": (start, end)})
        except (NotFoundError, FileNotFoundError) as error:
            raise MediaError("media_unknown", f"{digest} is not in the store") from error
        async for piece in got.stream(min_chunk_size=_PIECE):
            yield bytes(piece)

    async def fetch(self, digest: str, target: Path) -> None:
        """Copy a blob to the file `target`. Raises MediaError `media_unknown`, `storage_full`."""
        size = (await obstore.head_async(self._store, _key(digest)))["size"]
        with full_disk_told(), target.open("wb") as file:
            async for piece in self.read(digest, 0, size):
                file.write(piece)

    def path(self, digest: str) -> Path | None:
        """The file of a blob; None where blobs are not files here."""
        return None if self._folder is None else self._folder / _key(digest)

    async def drop(self, digest: str) -> None:
        """Remove a blob, if it is there, and the pictures made from it."""
        async for page in obstore.list(self._store, _PICTURES + _key(digest)):
            for found in page:
                await self._delete(found["path"])
        await self._delete(_key(digest))

    async def put_picture(self, digest: str, name: str, picture: bytes) -> None:
        """Keep a JPEG made from a blob; nothing is lost with it. Raises what the store raises."""
        await obstore.put_async(self._store, f"{_PICTURES}{_key(digest)}/{name}", picture)

    async def picture(self, digest: str, name: str) -> bytes | None:
        """A JPEG made from a blob, None where there is none, or one that a power cut broke."""
        try:
            got = await obstore.get_async(self._store, f"{_PICTURES}{_key(digest)}/{name}")
        except (NotFoundError, FileNotFoundError):
            return None
        picture = bytes(await got.bytes_async())
        return picture if picture.startswith(_JPEG_START) and picture.endswith(_JPEG_END) else None

    async def _delete(self, key: str) -> None:
        with suppress(NotFoundError, FileNotFoundError):
            await obstore.delete_async(self._store, key)


def open_blobs(url: str, folder: Path) -> Blobs:
    """The blobs at `url` (s3://bucket/prefix, as obstore reads it, with its AWS_* variables); "" is `folder`.

    Raises ValueError for a URL that cannot be used.
    """
    if url:
        try:
            return Blobs(from_url(url))
        except obstore.exceptions.BaseError as error:
            raise ValueError(f"media_store: {error}") from error
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    return Blobs(LocalStore(folder), folder)


def _key(digest: str) -> str:
    """In one of 256 folders, so that none holds too many files."""
    name, _, hexadecimal = digest.partition(":")
    return f"{name}/{hexadecimal[:2]}/{hexadecimal}"


def _link(file: Path, target: Path) -> None:
    """One more name for bytes that are on disk already: nothing is copied, and another blob is never touched."""
    if not target.parent.is_dir():
        target.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        sync_folder(target.parent.parent)
        sync_folder(target.parent.parent.parent)
    with suppress(FileExistsError):
        os.link(file, target)
    sync_folder(target.parent)
