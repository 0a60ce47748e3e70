"""Pictures made from photos: thumbnails and screen sizes, and what goes out to the public. Kept beside the blobs."""

import asyncio
from collections import OrderedDict, deque
from contextlib import suppress
from typing import TypeAlias
from weakref import WeakValueDictionary

import structlog

from media.content import EXTENSIONS
from media.derivatives import SIZES, Derivative, DerivativeError
from media.errors import MediaError, Unavailable
from media.inspection.inspector import Inspector
from server.media.shelf import Blob, Shelf
from sync.clock import Milliseconds
from sync.errors import SyncError

_AT_ONCE = 8
"""More readers than this do not wait for pictures to be made: they would hold up everybody else's requests."""
_OF_ONE = 6
"""So many of them wait for what one person has sent: whoever sends slow ones holds up no other's."""
_FAILED_MS = 3_600_000
"""What could not be made is not tried again before: it may have been for want of time on a busy machine."""
_FAILURES = 10_000
_EXPECTED = 1_000
"""Of more than this the oldest are left until somebody asks."""
_PICTURES = frozenset(kind for kind in EXTENSIONS if kind.startswith("image/"))
_Wished: TypeAlias = tuple[str, str]
"""The digest of a blob, and the name of the picture."""
_log = structlog.get_logger(__name__)


class Pictures:
    """Makes pictures by `inspector`, one after the other, once each."""

    def __init__(self, shelf: Shelf, inspector: Inspector, now_ms: Milliseconds) -> None:
        self._shelf = shelf
        self._inspector = inspector
        self._now_ms = now_ms
        self._waiting: list[str] = []
        self._being_made: WeakValueDictionary[_Wished, asyncio.Lock] = WeakValueDictionary()
        self._failed: OrderedDict[_Wished, tuple[int, str]] = OrderedDict()
        self._expected: deque[Blob] = deque(maxlen=_EXPECTED)

    async def get(self, blob: Blob, wish: Derivative) -> bytes:
        """The JPEG that `wish` asks for, made now if it is not there yet.

        Raises MediaError `picture_unavailable`, `media_unknown` or `storage_unavailable`, SyncError `overloaded`.
        """
        made = await self._shelf.bytes_of.picture(blob.digest, wish.name)
        if made is not None:
            return made
        await self._check_makeable(blob, wish)
        sender = await self._shelf.sender(blob.digest)
        if len(self._waiting) >= _AT_ONCE or self._waiting.count(sender) >= _OF_ONE:
            raise SyncError("overloaded", "other pictures are being made")
        self._waiting.append(sender)
        try:
            return await self._made(blob, wish)
        finally:
            self._waiting.remove(sender)

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
                    await self._made(blob, wish)

    async def _made(self, blob: Blob, wish: Derivative) -> bytes:
        """The picture: who wants one that is being made waits for it."""
        wished = (blob.digest, wish.name)
        async with self._being_made.setdefault(wished, asyncio.Lock()):
            made = await self._shelf.bytes_of.picture(*wished)
            if made is None:
                await self._check_makeable(blob, wish)
                made = await self._make(blob, wish)
            return made

    async def _check_makeable(self, blob: Blob, wish: Derivative) -> None:
        """Raises MediaError `picture_unavailable` where that is known without trying, and `media_unknown`."""
        if blob.media_type not in _PICTURES:
            raise MediaError("picture_unavailable", f"{blob.media_type} is no picture")
        failed_ms, detail = self._failed.get((blob.digest, wish.name), (-_FAILED_MS, ""))
        if self._now_ms() < failed_ms + _FAILED_MS:
            if await self._shelf.bytes_of.size(blob.digest) is None:
                raise MediaError("media_unknown", f"{blob.digest} is not in the store")
            raise MediaError("picture_unavailable", detail)

    async def _make(self, blob: Blob, wish: Derivative) -> bytes:
        try:
            async with self._shelf.file(blob) as file:
                made = await self._inspector.derive(file, wish)
        except DerivativeError as error:
            detail = f"{error.code}: {error.detail}"
            self._note_failed((blob.digest, wish.name), detail)
            raise MediaError("picture_unavailable", detail) from error
        try:
            await self._shelf.bytes_of.put_picture(blob.digest, wish.name, made)
        except Unavailable:
            # Without room for a copy it is made again for the next reader.
            _log.warning("picture_not_kept", digest=blob.digest)
        return made

    def _note_failed(self, wished: _Wished, detail: str) -> None:
        self._failed.pop(wished, None)
        self._failed[wished] = (self._now_ms(), detail)
        while len(self._failed) > _FAILURES:
            self._failed.popitem(last=False)
