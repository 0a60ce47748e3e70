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
from media.metadata.boxes import boxes
from media.metadata.containers import Container, is_picture, read_container
from media.metadata.facts import PhotoFacts, VideoFacts
from media.metadata.reading import photo_facts, thumbnail
from media.metadata.source import LONGEST_FIND, Source, opened, pieces, search
from media.metadata.video import read_video
from media.perceptual import distance_bits, fingerprint

# What makes a file something else wherever it stands, and is too long to stand in gigabytes of film by chance:
# scripts, the end record of a ZIP (on one disk: both counts of its entries are equal), the heads of RAR and 7z.
_HIDDEN = (
    re.compile(
        rb"<(?i:script[\s>]|\?php\s|!doctype html|html[\s>]|svg\s{1,9}(?:xmlns|viewbox|on[a-z]{3,12}\s{0,9}=))"
    ),
    re.compile(rb"PK\x05\x06\0\0\0\0(..)\1", re.DOTALL),
    re.compile(rb"Rar!\x1a\x07"),
    re.compile(rb"7z\xbc\xaf\x27\x1c"),
)
# Readers of PDF look for its head in the first kilobyte.
_PDF, _PDF_WITHIN = b"%PDF-", 1024
# The heads of archives and programs, where a picture ends and something else begins.
_ARCHIVE = re.compile(rb"PK\x03\x04|%PDF-|\x7fELF")
# What cameras themselves append: Samsung's trailer, the film of a motion photo, and a second picture, which is
# announced in the first one's head (CIPA DC-007).
_SECOND_PICTURE, _ANNOUNCED, _FILM = b"\xff\xd8\xff", b"MPF\0", b"ftyp"
_SAMSUNG_DIRECTORY, _SAMSUNG = b"SEFH", b"SEFT"
_FEW_WORDS = 1024
_HEAD_BYTES = 512 * 1024
_NOT_PADDING = re.compile(rb"[^\0]")
_THUMBNAIL_PIXELS = 1_000_000


def look(path: Path, digest: DigestName, limits: Limits) -> Facts:
    """The facts of the file at `path`. Raises OSError where it cannot be opened, MemoryError."""
    with opened(path) as data:
        media_type = kind_of(data[:HEAD_BYTES])
        name, hidden = _read_through(data, digest)
        facts = Facts(digest=name, size_bytes=len(data), media_type=media_type)
        if media_type is None:
            return msgspec.structs.replace(facts, faults=(CheckFinding("kind_unknown"),))
        if is_picture(media_type):
            container = read_container(data, media_type)
            photo = photo_facts(media_type, len(data), container)
            faults = [*hidden, *_appended(data, photo.end)]
            return _with_picture(facts, path, container, photo, faults, limits)
        video = read_video(data, media_type)
        return msgspec.structs.replace(facts, video=video, faults=(*hidden, *_video_faults(data, video)))


def _with_picture(
    facts: Facts, path: Path, container: Container, photo: PhotoFacts, faults: list[CheckFinding], limits: Limits
) -> Facts:
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


def _read_through(data: Source, name: DigestName) -> tuple[str, list[CheckFinding]]:
    """The digest of a file, and content of another kind anywhere in it: both in one reading."""
    digest = hashlib.sha256() if name == "sha256" else _Sm3()
    found: dict[re.Pattern[bytes], CheckFinding] = {}
    at, before = 0, b""
    for piece in pieces(data):
        digest.update(piece)
        window = before + piece
        for pattern in _HIDDEN:
            match = None if pattern in found else pattern.search(window)
            if match is not None:
                found[pattern] = _inside(match[0], at - len(before) + match.start())
        at, before = at + len(piece), piece[-LONGEST_FIND:]
    page_at = data[:_PDF_WITHIN].find(_PDF)
    return f"{name}:{digest.hexdigest()}", [*found.values(), *([_inside(_PDF, page_at)] if page_at >= 0 else [])]


def _inside(found: bytes, at: int) -> CheckFinding:
    shown = found[:20].decode("latin-1")
    return CheckFinding("foreign_file_inside", f"{shown if shown.isprintable() else repr(found[:20])} at {at}")


class _Sm3:
    """SM3 in the manner of hashlib, whose own needs an OpenSSL with it."""

    def __init__(self) -> None:
        self._hash = hashes.Hash(hashes.SM3())

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.finalize().hex()


def _video_faults(data: Source, video: VideoFacts) -> Iterator[CheckFinding]:
    if video.damaged:
        yield CheckFinding("file_truncated")
    yield from _appended(data, video.end)


def _appended(data: Source, end: int | None) -> Iterator[CheckFinding]:
    """What follows a picture or film and is not its camera's own."""
    first = None if end is None else search(_NOT_PADDING, data, end)
    if end is None or first is None:
        return
    head = data[first.start : first.start + 8]
    archive = _ARCHIVE.match(head)
    if archive is not None:
        yield _inside(archive[0], first.start)
    elif not _by_camera(data, end):
        yield CheckFinding("data_appended", measured=len(data) - end, threshold=0, unit="bytes")


def _by_camera(data: Source, end: int) -> bool:
    head = data[end : end + 8]
    if head.startswith(_SECOND_PICTURE):
        return _ANNOUNCED in data[: min(end, _HEAD_BYTES)]
    return (head[4:] == _FILM and _film_fills(data, end)) or _samsung_fills(data, end)


def _film_fills(data: Source, start: int) -> bool:
    """Whether a whole film reaches from `start` to the end, but for a few words that some makers write behind it."""
    found = [box for box in boxes(data, start, len(data)) if box.complete]
    return {b"moov", b"mdat"} <= {box.kind for box in found} and len(data) - found[-1].end <= _FEW_WORDS


def _samsung_fills(data: Source, start: int) -> bool:
    """Whether Samsung's trailer does: blocks, and a directory that says how far before it each of them begins."""
    end = len(data) - 8
    directory = end - _little(data, end)
    if data[end + 4 :] != _SAMSUNG or data[directory : directory + 4] != _SAMSUNG_DIRECTORY or directory < start:
        return False
    entries = range(directory + 12, min(directory + 12 * (_little(data, directory + 8) + 1), end), 12)
    first = directory - max((_little(data, entry + 4) for entry in entries), default=0)
    return start <= first <= start + _FEW_WORDS


def _little(data: Source, at: int) -> int:
    return int.from_bytes(data[max(at, 0) : max(at, 0) + 4], "little")


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
