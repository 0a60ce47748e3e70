"""The folder beside the store in which photos and videos lie until the server holds them, named by their digest."""

import hashlib
import os
import uuid
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path

import msgspec

from client_sdk.errors import Invalid
from client_sdk.store.media import QueuedMedia, Urgency, file_name
from client_sdk.store.unusable import machine_errors
from field_schemas.media import DigestName, MediaType, is_digest
from media.content import HEAD_BYTES, kind_of

_PIECE = 1024 * 1024
_UNFINISHED = ".part"
_PRIVATE = 0o700


class TakenFile(msgspec.Struct, frozen=True):
    """A file copied into the folder, on disk, under a name that does not count yet. No `media_type`: not allowed."""

    path: Path
    digest: str
    size: int
    media_type: MediaType | None


def folder_of(store: Path) -> Path:
    """Where the media of the store at this path lie."""
    return store.with_name(store.name + ".media")


def take(file: Path, folder: Path, algorithm: DigestName) -> TakenFile:
    """Copy `file` into the folder and compute its digest on the way.

    Raises OSError where `file` cannot be read, StorageFull, StoreUnusable, Invalid `digest_unsupported`.
    """
    try:
        running, size, head = hashlib.new(algorithm), 0, b""
    except ValueError as error:
        raise Invalid("digest_unsupported", f"{algorithm} is not in this device's OpenSSL") from error
    copy = folder / (uuid.uuid4().hex + _UNFINISHED)
    try:
        with file.open("rb") as source, machine_errors(folder), _made(folder, copy) as target:
            while piece := source.read(_PIECE):
                head = head or piece[:HEAD_BYTES]
                running.update(piece)
                target.write(piece)
                size += len(piece)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return TakenFile(copy, f"{algorithm}:{running.hexdigest()}", size, kind_of(head))


def _made(folder: Path, copy: Path) -> BufferedWriter:
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    return copy.open("xb")


def settle(taken: Path, name: str) -> Path:
    """Give a file that is whole and on disk the name that counts."""
    target = taken.with_name(name)
    taken.replace(target)
    _sync_folder(taken.parent)
    return target


def is_whole(path: Path, digest: str) -> bool:
    """Whether the file holds what its digest says."""
    if not is_digest(digest):
        return False
    algorithm, _, hexadecimal = digest.partition(":")
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == hexadecimal
    return False


def size_of(file: Path) -> int:
    """The bytes of a file, 0 where there is none."""
    return file.stat().st_size if file.exists() else 0


def sweep(folder: Path, wanted: set[str]) -> None:
    """Remove every file that is not `wanted`, but for those that are just being made."""
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        if file.name not in wanted and file.suffix != _UNFINISHED:
            file.unlink(missing_ok=True)


def drop_unfinished(folder: Path) -> None:
    """Remove what was being made when the device was killed."""
    if folder.is_dir():
        for file in folder.glob("*" + _UNFINISHED):
            file.unlink(missing_ok=True)


def found_in(folder: Path, known: set[str]) -> list[QueuedMedia]:
    """The whole files that a damaged store does not know any more, to be sent like those it knows."""
    if not folder.is_dir():
        return []
    strays = (file for file in sorted(folder.iterdir()) if file.name not in known)
    return [item for file in strays if (item := _found(file)) is not None]


def urgency_of(media_type: MediaType) -> Urgency:
    """When a file of this type is sent, unless it is evidence."""
    return Urgency.VIDEO if media_type.startswith("video/") else Urgency.PHOTO


def _found(file: Path) -> QueuedMedia | None:
    digest = file.name.replace("-", ":", 1)
    with file.open("rb") as opened:
        media_type = kind_of(opened.read(HEAD_BYTES))
    if media_type is None or file_name(digest) != file.name or not is_whole(file, digest):
        return None
    return QueuedMedia(digest, media_type, file.stat().st_size, "", urgency_of(media_type))


def _sync_folder(folder: Path) -> None:
    # A rename is on disk when its folder is. Some systems cannot open a folder; they order renames by themselves.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
