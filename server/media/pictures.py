"""Pictures made from photos: thumbnails and screen sizes, and what goes out to the public. Kept beside the blobs."""

from collections import deque
from contextlib import suppress

import structlog

from media.content import EXTENSIONS
from media.derivatives import SIZES, Derivative, DerivativeError
from media.errors import MediaError, Unavailable
from media.inspection.inspector import Inspector
from server.media.shelf import Blob, Shelf
from sync.errors import SyncError

_AT_ONCE = 8
"""More readers than this do not wait for pictures to be made: they would hold up everybody else's requests."""
_EXPECTED = 1_000
"""Of more than this the oldest are left until somebody asks."""
_PICTURES = frozenset(kind for kind in EXTENSIONS if kind.startswith("image/"))
_log = structlog.get_logger(__name__)


class Pictures:
    """Makes pictures by `inspector`, one after the other, once each."""

    def __init__(self, shelf: Shelf, inspector: Inspector) -> None:
        self._shelf = shelf
        self._inspector = inspector
        self._waiting = 0
        self._expected: deque[Blob] = deque(maxlen=_EXPECTED)

    async def get(self, blob: Blob, wish: Derivative) -> bytes:
        """The JPEG that `wish` asks for, made now if it is not there yet.

        Raises MediaError `picture_unavailable`, `media_unknown` or `storage_unavailable`, SyncError `overloaded`.
        """
        made = await self._shelf.bytes_of.picture(blob.digest, wish.name)
        if made is not None:
            return made
        if self._waiting >= _AT_ONCE:
            raise SyncError("overloaded", "other pictures are being made")
        self._waiting += 1
        try:
            return await self._make(blob, wish)
        finally:
            self._waiting -= 1

    async def find(self, blob: Blob, name: str) -> bytes:
        """A picture that was made before, by its name. Raises MediaError `media_unknown`, Unavailable."""
        made = await self._shelf.bytes_of.picture(blob.digest, name)
        if made is None:
            raise MediaError("media_unknown", "this picture has not been made")
        return made

    def expect(self, blob: Blob) -> None:
        """Have `prepare` make what readers are likely to ask for."""
        if blob.media_type in _PICTURES:
            self._expected.append(blob)

    async def prepare(self) -> None:
        """Make what is expected, where it can be made."""
        while self._expected:
            blob = self._expected.popleft()
            for wish in SIZES.values():
                with suppress(MediaError, OSError):
                    if await self._shelf.bytes_of.picture(blob.digest, wish.name) is None:
                        await self._make(blob, wish)

    async def _make(self, blob: Blob, wish: Derivative) -> bytes:
        if blob.media_type not in _PICTURES:
            raise MediaError("picture_unavailable", f"{blob.media_type} is no picture")
        try:
            async with self._shelf.file(blob) as file:
                made = await self._inspector.derive(file, wish)
        except DerivativeError as error:
            raise MediaError("picture_unavailable", f"{error.code}: {error.detail}") from error
        try:
            await self._shelf.bytes_of.put_picture(blob.digest, wish.name, made)
        except Unavailable:
            # Without room for a copy it is made again for the next reader.
            _log.warning("picture_not_kept", digest=blob.digest)
        return made
