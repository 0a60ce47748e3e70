"""The life of an upload as rules: what a chunk may write, and how much of what arrived is held. Pure.

open ──chunks──> open ──last byte──> complete | refused
  └──terminated, expired──> ended
"""

import enum

import msgspec

from media.errors import AtOffset, MediaError
from media.tus import Checksum


class State(enum.StrEnum):
    """Where an upload stands. A part of a later upload stays open when it has all its bytes."""

    OPEN = "open"
    COMPLETE = "complete"
    REFUSED = "refused"
    ENDED = "ended"


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload of which `offset` of `length` bytes are held; `length` None: not told yet.

    `final`: made from others, it takes no chunks; `part`: others are made from it. `expires_ms` is UTC ms.
    """

    state: State = State.OPEN
    offset: int = 0
    length: int | None = None
    expires_ms: int
    final: bool = False
    part: bool = False

    @property
    def whole(self) -> bool:
        """Whether all bytes are held, and what they are can be told."""
        return self.offset == self.length and not self.part


class Chunk(msgspec.Struct, frozen=True):
    """What a request says of the bytes it brings: they start at `offset` and are `size` (None: not told).

    `length` tells the length of an upload that was created without.
    """

    offset: int
    size: int | None = None
    length: int | None = None
    checksum: Checksum | None = None


class Admission(msgspec.Struct, frozen=True):
    """Bytes may be written from `start`, `room` at most, into an upload of `length`.

    `in_parts`: whatever arrives is of use; otherwise all of the chunk or nothing.
    """

    start: int
    room: int
    length: int | None
    in_parts: bool


class Arrival(msgspec.Struct, frozen=True):
    """What came of a chunk's body: `size` bytes; `ended`: to its end; `matches`: its checksum (None: had none)."""

    size: int
    ended: bool
    matches: bool | None = None


def check_alive(upload: Upload, now_ms: int) -> None:
    """Raises MediaError `upload_gone` for an upload that has ended or is too old.

    One that is whole has been acknowledged to its last byte: it lasts until the store takes it.
    """
    lasts = upload.state is State.COMPLETE or (upload.state is State.OPEN and upload.whole)
    if upload.state is State.ENDED or (not lasts and now_ms >= upload.expires_ms):
        raise MediaError("upload_gone", "the upload was ended or has expired")


def check_length(length: int, largest: int) -> None:
    """Raises MediaError `upload_too_large` or `media_empty`."""
    if length > largest:
        raise MediaError("upload_too_large", f"{length} bytes; at most {largest} are taken")
    if length == 0:
        raise MediaError("media_empty", "a file of no bytes is neither picture nor video")


def admit(upload: Upload, chunk: Chunk, largest: int, now_ms: int) -> Admission:
    """What `chunk` may write.

    Raises MediaError `upload_gone`, `upload_final`, `upload_header_invalid`, `upload_too_large`, `media_empty`, and
    AtOffset `offset_mismatch`, `upload_overrun`.
    """
    check_alive(upload, now_ms)
    if upload.final:
        raise MediaError("upload_final", "an upload made from others takes no bytes of its own")
    if chunk.offset != upload.offset:
        raise AtOffset("offset_mismatch", f"{upload.offset} bytes are held, not {chunk.offset}", upload.offset)
    length = _length_after(upload, chunk, largest)
    room = (largest if length is None else length) - upload.offset
    if chunk.size is not None and chunk.size > room:
        raise AtOffset("upload_overrun", f"{chunk.size} bytes where {room} are missing", upload.offset)
    return Admission(upload.offset, room, length, chunk.checksum is None)


def held_after(admission: Admission, arrival: Arrival) -> int:
    """How many bytes of the upload are held after a chunk.

    What a broken connection brought is kept, unless a checksum vouches for all of the chunk or nothing. A body
    longer than it may be is a lie, of which nothing is kept.
    """
    if arrival.size > admission.room:
        return admission.start
    vouched = admission.in_parts or (arrival.ended and arrival.matches is True)
    return admission.start + (arrival.size if vouched else 0)


def _length_after(upload: Upload, chunk: Chunk, largest: int) -> int | None:
    if chunk.length is None:
        return upload.length
    if upload.length not in (None, chunk.length):
        raise MediaError("upload_header_invalid", f"Upload-Length: {chunk.length} after {upload.length}")
    check_length(chunk.length, largest)
    if chunk.length < upload.offset:
        raise MediaError("upload_header_invalid", f"Upload-Length: {chunk.length}; {upload.offset} bytes are held")
    return chunk.length
