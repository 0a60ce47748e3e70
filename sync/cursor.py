"""Cursors: how far a device has read each of its views. Opaque to the device.

A *view* is a scope the reader receives, no wider than one feed. The cursor holds for each view the position read
and a tag of the roles it was read with: other roles see other fields, so the view starts again.
"""

import base64
import binascii
import hashlib
import uuid
import zlib
from collections.abc import Iterable

import msgspec

from sync.errors import ContentsSetBack, SyncError
from sync.storage import FeedPosition

_LARGEST = 2**63 - 1


class ViewCursor(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """How far one view is read, by which roles, and how far it had been read when roles last changed.

    `complete` is the largest version the view showed when it was last read to its end by these roles (0: never):
    what the device may be taken to hold. `strayed` is how far the feeds were settled when another view first brought
    a record of this one, of which nothing was read yet: what becomes of such records stands behind it.
    """

    position: FeedPosition
    roles: str
    before: FeedPosition = FeedPosition()
    complete: int = 0
    strayed: FeedPosition = FeedPosition()

    @property
    def unread(self) -> bool:
        """Whether nothing of the view was ever read for its own sake."""
        return max(self.position, self.before) == FeedPosition()

    @property
    def reached(self) -> FeedPosition:
        """Up to where the device may hold records of the view; the very start when it has none of it."""
        return max(self.position, self.before, self.strayed)

    def resumed(self, roles: str) -> "ViewCursor":
        """Where to go on as a reader with `roles`: from the start when they are others."""
        if roles == self.roles:
            return self
        return ViewCursor(FeedPosition(), roles, self.reached)


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """What a device has read of the store whose contents are `epoch`.

    `purged` is how far traces of deleted records had been dropped when the cursor was given: what the device holds
    is no older than that, or was checked against those traces.
    """

    epoch: uuid.UUID
    views: dict[str, ViewCursor]
    purged: FeedPosition = FeedPosition()

    @property
    def furthest(self) -> FeedPosition:
        """Up to where any view was read."""
        return max((view.position for view in self.views.values()), default=FeedPosition())

    def check(self, horizon: FeedPosition) -> None:
        """Raise ContentsSetBack where it reaches further than `horizon`, up to which there is anything."""
        if self.furthest > horizon:
            raise ContentsSetBack(f"the cursor reaches beyond {horizon}, up to which there is anything")

    def encode(self) -> str:
        """The text a device keeps, with a checksum: a cursor that is damaged into another would lose records."""
        packed = msgspec.msgpack.encode(self)
        return base64.urlsafe_b64encode(packed + _checksum(packed)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """The cursor of a text. Raises SyncError `cursor_invalid`."""
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            packed, checksum = data[:-4], data[-4:]
            cursor = msgspec.msgpack.decode(packed, type=cls)
        except (binascii.Error, ValueError, msgspec.DecodeError) as error:
            raise SyncError("cursor_invalid", "the cursor was not made by this server") from error
        numbers = [
            number
            for view in cursor.views.values()
            for number in (*view.position, *view.before, *view.strayed, view.complete)
        ]
        in_range = all(0 <= number <= _LARGEST for number in (*numbers, *cursor.purged))
        if checksum != _checksum(packed) or not in_range:
            raise SyncError("cursor_invalid", "the cursor was not made by this server, or is damaged")
        return cursor


def _checksum(packed: bytes) -> bytes:
    return zlib.crc32(packed).to_bytes(4, "big")


def tag_of(names: Iterable[str]) -> str:
    """A short text that differs when the names do."""
    return hashlib.blake2s(",".join(sorted(names)).encode(), digest_size=4).hexdigest()
