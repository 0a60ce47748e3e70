"""Looking into one file, in the child: digest, container, EXIF, fingerprint, what does not belong there."""

import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes
from PIL import Image

from field_schemas.media import DigestName
from field_schemas.media_findings import CheckFinding
from media.content import HEAD_BYTES, kind_of
from media.inspection.facts import Facts, Limits
from media.inspection.pictures import Undecodable, carefully, fingerprint_source, grey_levels, upright
from media.metadata.boxes import Source
from media.metadata.containers import Container, is_picture, read_container
from media.metadata.facts import PhotoFacts, VideoFacts
from media.metadata.reading import opened, photo_facts, thumbnail
from media.metadata.video import read_video
from media.perceptual import distance_bits, fingerprint

_CHUNK = 1024 * 1024
# Whole words that no picture holds by chance, and the opening of archives and programs in what follows a picture.
_MARKUP = re.compile(rb"<script[\s>]|<\?php\s|<!doctype html|<html[\s>]", re.IGNORECASE)
_ARCHIVE = re.compile(rb"PK\x03\x04|PK\x05\x06|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|%PDF-|\x7fELF")
# What cameras themselves append: Samsung's trailer, a second picture (MPF), the film of a motion photo.
_SECOND_PICTURE, _FILM, _SAMSUNG = b"\xff\xd8\xff", b"ftyp", b"SEFT"
_NOT_PADDING = re.compile(rb"[^\0]")
_THUMBNAIL_PIXELS = 1_000_000


def look(path: Path, digest: DigestName, limits: Limits) -> Facts:
    """The facts of the file at `path`. Raises OSError where it cannot be opened, MemoryError."""
    with opened(path) as data:
        media_type = kind_of(data[:HEAD_BYTES])
        facts = Facts(digest=_digest(data, digest), size_bytes=len(data), media_type=media_type)
        if media_type is None:
            return msgspec.structs.replace(facts, faults=(CheckFinding("kind_unknown"),))
        if is_picture(media_type):
            container = read_container(data, media_type)
            photo = photo_facts(media_type, len(data), container)
            return _with_picture(facts, path, data, container, photo, limits)
        video = read_video(data, media_type)
        return msgspec.structs.replace(facts, video=video, faults=tuple(_video_faults(data, video)))


def _with_picture(
    facts: Facts, path: Path, data: Source, container: Container, photo: PhotoFacts, limits: Limits
) -> Facts:
    faults = list(_foreign(data, photo.end))
    mark = bits = None
    try:
        picture = fingerprint_source(path, photo, limits)
        mark = fingerprint(grey_levels(upright(picture, photo)))
        bits = _thumbnail_bits(container, picture, photo)
    except Undecodable as error:
        faults.append(error.finding)
    else:
        if photo.damaged:
            faults.append(CheckFinding("file_truncated"))
    return msgspec.structs.replace(facts, photo=photo, fingerprint=mark, thumbnail_bits=bits, faults=tuple(faults))


def _video_faults(data: Source, video: VideoFacts) -> Iterator[CheckFinding]:
    if video.damaged:
        yield CheckFinding("file_truncated")
    yield from _appended(data, video.end)


def _foreign(data: Source, end: int | None) -> Iterator[CheckFinding]:
    """Content of another kind inside a picture or behind it."""
    markup = _MARKUP.search(data)
    if markup is not None:
        yield CheckFinding("foreign_file_inside", f"{markup[0].decode('latin-1')} at {markup.start()}")
    yield from _appended(data, end)


def _appended(data: Source, end: int | None) -> Iterator[CheckFinding]:
    if end is None or end >= len(data):
        return
    archive = _ARCHIVE.search(data, end)
    if archive is not None:
        yield CheckFinding("foreign_file_inside", f"{archive[0]!r} at {archive.start()}")
    elif not _by_camera(data, end):
        yield CheckFinding("data_appended", measured=len(data) - end, threshold=0, unit="bytes")


def _by_camera(data: Source, end: int) -> bool:
    head = data[end : end + 8]
    known = head.startswith(_SECOND_PICTURE) or head[4:] == _FILM or data[-4:] == _SAMSUNG
    return known or _NOT_PADDING.search(data, end) is None


def _thumbnail_bits(container: Container, picture: Image.Image, photo: PhotoFacts) -> int | None:
    """How far the embedded thumbnail is from the picture; None where there is none that can be compared.

    Most cameras store it lying as the picture lies, some turn it upright.
    """
    raw = thumbnail(container)
    if raw is None:
        return None
    try:
        small = carefully(lambda: _decode_thumbnail(raw))
    except Undecodable:
        return None
    apart = [_apart(small, whole) for whole in (picture, upright(picture, photo))]
    return min((bits for bits in apart if bits is not None), default=None)


def _apart(small: Image.Image, picture: Image.Image) -> int | None:
    shown = fingerprint(grey_levels(_same_shape(small, picture.width / picture.height)))
    whole = fingerprint(grey_levels(picture))
    return None if shown is None or whole is None else distance_bits(shown, whole)


def _decode_thumbnail(raw: bytes) -> Image.Image:
    with Image.open(io.BytesIO(raw), formats=["JPEG"]) as small:
        if small.width * small.height > _THUMBNAIL_PIXELS:
            raise ValueError("larger than a thumbnail")
        return small.convert("L")


def _same_shape(small: Image.Image, ratio: float) -> Image.Image:
    """The thumbnail without the black bars that fill it up to 4:3."""
    width, height = small.size
    if width / height < ratio:
        height = max(1, round(width / ratio))
    else:
        width = max(1, round(height * ratio))
    left, top = (small.width - width) // 2, (small.height - height) // 2
    return small.crop((left, top, left + width, top + height))


def _digest(data: Source, name: DigestName) -> str:
    if name == "sha256":
        quick = hashlib.sha256()
        for at in range(0, len(data), _CHUNK):
            quick.update(data[at : at + _CHUNK])
        return f"sha256:{quick.hexdigest()}"
    slow = hashes.Hash(hashes.SM3())
    for at in range(0, len(data), _CHUNK):
        slow.update(data[at : at + _CHUNK])
    return f"sm3:{slow.finalize().hex()}"
