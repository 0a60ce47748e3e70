"""Blobs: whole media by their digest, in a folder or in S3-compatible storage. What lies there never changes, but
whole bytes that arrive again take the place of what a damaged disk has left of them."""

import asyncio
import errno
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, get_args

import obstore
import structlog
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore, from_url

from field_schemas.media import DigestName, MediaType, is_digest
from media.errors import MediaError, StoreUnusable, Unavailable
from media.spool import sync_folder
from media.turns import full_disk_told

T = TypeVar("T")
_PIECE = 1024 * 1024
"""Read by one request: a slow reader holds no connection to the store, and no more than this in memory."""
_PARTS_AT_ONCE = 4
_THREADS = 16
_PRIVATE = 0o700
_PICTURES = "pictures/"
_CLAIMS = "claims/"
_CLAIM, _DRAFT = ".json", ".part"
_TRIAL = "gridwalk-trial"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""Another disk, or a file system that has but one name for a file."""
_MISSING = (NotFoundError, FileNotFoundError)
_REFUSED = (PermissionDeniedError, UnauthenticatedError, *_MISSING)
_log = structlog.get_logger(__name__)


class Blobs:
    """The blobs of an object store; `folder` is where a LocalStore keeps them, None for any other store.

    Every method raises Unavailable where the store fails. The store is called in threads, whose own business it is to
    wait: obstore's futures are resolved by a thread that a process which ends then may take down with an abort.
    """

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")

    def close(self) -> None:
        """Wait for what the threads still do."""
        self._threads.shutdown()

    async def put(self, digest: str, file: Path, media_type: MediaType) -> None:
        """Store the whole, durable `file` under `digest`, in place of what is there. `file` may go afterwards.

        Raises MediaError `storage_full`.
        """
        with _trouble_told():
            if self._folder is not None:
                with full_disk_told():
                    await self._run(_place, file, self._folder / _key(digest))
            else:
                await self._run(self._send, _key(digest), file, media_type)

    async def size(self, digest: str) -> int | None:
        """How many bytes the blob has; None where it is not there."""
        with _trouble_told():
            try:
                return (await self._run(obstore.head, self._store, _key(digest)))["size"]
            except _MISSING:
                return None

    async def read(self, digest: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, piece by piece.

        The first is here already, so trouble shows before anybody is answered. Raises MediaError `media_unknown`.
        """
        first = await self._piece(digest, start, end)

        async def pieces() -> AsyncIterator[bytes]:
            yield first
            for at in range(start + _PIECE, end, _PIECE):
                yield await self._piece(digest, at, end)

        return pieces()

    async def fetch(self, digest: str, target: Path) -> None:
        """Copy a blob to the file `target`. Raises MediaError `media_unknown`, `storage_full`."""
        size = await self.size(digest)
        if size is None:
            raise _unknown(digest)
        pieces = await self.read(digest, 0, size)
        with full_disk_told(), target.open("wb") as file:
            async for piece in pieces:
                file.write(piece)

    def path(self, digest: str) -> Path | None:
        """The file of a blob; None where blobs are not files here."""
        return None if self._folder is None else self._folder / _key(digest)

    async def digests(self) -> AsyncIterator[list[str]]:
        """The digests of all blobs in the store, in no order, a page at a time."""
        for name in get_args(DigestName):
            with _trouble_told():
                pages = obstore.list(self._store, f"{name}/")
                while page := await self._run(next, pages, ()):
                    found = [f"{name}:{entry['path'].rpartition('/')[2]}" for entry in page]
                    yield [digest for digest in found if is_digest(digest)]

    async def put_claim(self, digest: str, user: str, claim: bytes) -> None:
        """Keep beside a blob that `user` has shown to hold it; durable, in place of what was kept of that before."""
        key = f"{_CLAIMS}{_key(digest)}/{user}{_CLAIM}"
        with _trouble_told():
            if self._folder is not None:
                await self._write(claim, self._folder / key)
            else:
                await self._run(obstore.put, self._store, key, claim)

    async def claims(self, digest: str) -> list[bytes]:
        """What is kept beside a blob of those who have shown to hold it."""
        with _trouble_told():
            keys = await self._run(self._list, _CLAIMS + _key(digest))
            return [await self._run(self._get, key) for key in keys if key.endswith(_CLAIM)]

    async def drop(self, digest: str) -> None:
        """Remove a blob, if it is there, the pictures made from it, and the claims to it."""
        with _trouble_told():
            for folder in (_PICTURES, _CLAIMS):
                for beside in await self._run(self._list, folder + _key(digest)):
                    await self._delete(beside)
            await self._delete(_key(digest))

    async def put_picture(self, digest: str, name: str, picture: bytes) -> None:
        """Keep a JPEG made from a blob; nothing is lost with it."""
        with _trouble_told():
            await self._run(obstore.put, self._store, f"{_PICTURES}{_key(digest)}/{name}", picture)

    async def picture(self, digest: str, name: str) -> bytes | None:
        """A JPEG made from a blob, None where there is none, or one that a power cut broke."""
        with _trouble_told():
            try:
                picture = await self._run(self._get, f"{_PICTURES}{_key(digest)}/{name}")
            except _MISSING:
                return None
        return picture if picture.startswith(_JPEG_START) and picture.endswith(_JPEG_END) else None

    async def try_out(self) -> None:
        """Write, find and remove an object of no meaning. Raises StoreUnusable where the store refuses that."""
        if self._folder is not None:
            return
        with _trouble_told():
            try:
                await self._run(obstore.put, self._store, _TRIAL, b"")
            except _REFUSED as error:
                raise StoreUnusable(_told(error)) from error
            await self._run(self._list, _TRIAL)
            await self._delete(_TRIAL)

    async def _piece(self, digest: str, start: int, end: int) -> bytes:
        if start == end:
            return b""
        with _trouble_told():
            try:
                return await self._run(self._get_range, _key(digest), start, min(start + _PIECE, end))
            except _MISSING as error:
                raise _unknown(digest) from error

    async def _delete(self, key: str) -> None:
        with suppress(*_MISSING):
            await self._run(obstore.delete, self._store, key)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _write(self, content: bytes, target: Path) -> None:
        """A small file, on disk whole or not at all. The disk is waited for twice, not for each folder."""
        draft = await self._run(_draft, content, target)
        await asyncio.gather(self._run(_name, draft, target), self._run(sync_folder, target.parent.parent))

    def _send(self, key: str, file: Path, media_type: MediaType) -> None:
        attributes: obstore.Attributes = {"Content-Type": media_type}
        obstore.put(self._store, key, file, attributes=attributes, max_concurrency=_PARTS_AT_ONCE)

    def _list(self, prefix: str) -> list[str]:
        return [found["path"] for page in obstore.list(self._store, prefix) for found in page]

    def _get(self, key: str) -> bytes:
        return bytes(obstore.get(self._store, key).bytes())

    def _get_range(self, key: str, start: int, end: int) -> bytes:
        return bytes(obstore.get_range(self._store, key, start=start, end=end))


def open_blobs(url: str, folder: Path) -> Blobs:
    """The blobs at `url` (s3://bucket/prefix, as obstore reads it, with its AWS_* variables); "" is `folder`.

    Nothing is connected yet. Raises StoreUnusable for a URL that cannot be used.
    """
    if url:
        try:
            return Blobs(_far_store(url))
        except BaseError as error:
            raise StoreUnusable(_told(error)) from error
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    return Blobs(LocalStore(folder), folder)


def _far_store(url: str) -> ObjectStore:
    # Somebody waits for the answer; what is not done now is done later.
    return from_url(
        url,
        retry_config={
            "max_retries": 3,
            "retry_timeout": timedelta(seconds=10),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
        },
    )


@contextmanager
def _trouble_told() -> Iterator[None]:
    """Whatever the store raises is logged, and becomes Unavailable."""
    try:
        yield
    except (BaseError, OSError) as error:
        _log.warning("media_store_failed", error=_told(error))
        raise Unavailable from error


def _told(error: Exception) -> str:
    """What a store says, without the inside of its library that follows."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())


def _unknown(digest: str) -> MediaError:
    return MediaError("media_unknown", f"{digest} is not in the store")


def _key(digest: str) -> str:
    """In one of 256 folders, so that none holds too many files."""
    name, _, hexadecimal = digest.partition(":")
    return f"{name}/{hexadecimal[:2]}/{hexadecimal}"


def _place(file: Path, target: Path) -> None:
    """Put durable bytes where a blob belongs, whole or not at all: as one more name for them, where there can be one.

    Only one process at a time works on `file`, so its name makes the draft's.
    """
    _make(target.parent)
    draft = target.with_name(f"{file.name}{_DRAFT}")
    draft.unlink(missing_ok=True)
    try:
        _link_or_copy(file, draft)
        draft.replace(target)
    finally:
        # Replacing a name by another one of the same file leaves both.
        draft.unlink(missing_ok=True)
    sync_folder(target.parent)


def _link_or_copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with file.open("rb") as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy, _PIECE)
            copy.flush()
            os.fsync(copy.fileno())


def _draft(content: bytes, target: Path) -> Path:
    """A small file on disk, which is not yet called `target`."""
    _make(target.parent.parent)
    target.parent.mkdir(mode=_PRIVATE, exist_ok=True)
    draft = target.with_name(f"{uuid.uuid4().hex}{_DRAFT}")
    with draft.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _name(draft: Path, target: Path) -> None:
    """Call it so, in place of what was called so before."""
    draft.replace(target)
    sync_folder(target.parent)


def _make(folder: Path) -> None:
    """One of the 256 folders, with those above it."""
    if not folder.is_dir():
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        sync_folder(folder.parent)
        sync_folder(folder.parent.parent)
