"""Pictures made from photos cost no more than they must, whoever asks for them, on both databases."""

import asyncio
from pathlib import Path

import pytest

from media.derivatives import SCREEN, THUMBNAIL, Derivative, DerivativeError
from media.errors import MediaError
from media.inspection.inspector import Inspector
from server.accounts.identities import Identity
from server.media.pictures import Pictures
from server.media.shelf import Blob
from sync.errors import SyncError
from tests.contracts.media_desk import DISTRICT, Desk
from tests.integration.media import digest_of, photo

pytestmark = pytest.mark.timeout(60)
HOUR_MS = 3_600_000


class Pencil(Inspector):
    """Draws when it may, and counts; what it is not `able` to draw fails."""

    def __init__(self, *, able: bool = True) -> None:
        super().__init__()
        self.drawn = 0
        self.begun, self.may = asyncio.Semaphore(0), asyncio.Event()
        self._able = able

    async def derive(self, path: Path, wish: Derivative) -> bytes:
        """A picture of no meaning."""
        self.drawn += 1
        self.begun.release()
        await self.may.wait()
        if not self._able:
            raise DerivativeError("inspection_stopped", "more than 20 s")
        return b"\xff\xd8\xff\xd9"


async def arrived(desk: Desk, by: Identity | None = None) -> Blob:
    """A photo of somebody's."""
    content = photo()
    await desk.send(content, by)
    return Blob(digest_of(content), len(content), "image/jpeg")


async def test_who_asks_for_the_same_waits_for_the_same(desk: Desk) -> None:
    """A picture that several readers ask for at once is made once."""
    pencil = Pencil()
    pictures = Pictures(desk.media.shelf, pencil, lambda: desk.now)
    blob = await arrived(desk)
    readers = [asyncio.create_task(pictures.get(blob, THUMBNAIL)) for _ in range(4)]
    pencil.may.set()
    assert len(set(await asyncio.gather(*readers))) == 1
    assert pencil.drawn == 1


async def test_what_could_not_be_made_is_not_tried_at_once(desk: Desk) -> None:
    """Who asks for a picture that could not be made costs nothing for an hour; each size is tried by itself."""
    pencil = Pencil(able=False)
    pencil.may.set()
    pictures = Pictures(desk.media.shelf, pencil, lambda: desk.now)
    blob = await arrived(desk)

    async def tries(wish: Derivative) -> int:
        with pytest.raises(MediaError, match="more than 20 s") as caught:
            await pictures.get(blob, wish)
        assert caught.value.code == "picture_unavailable"
        return pencil.drawn

    assert [await tries(wish) for wish in (THUMBNAIL, THUMBNAIL, SCREEN)] == [1, 1, 2]
    desk.now += HOUR_MS
    assert await tries(THUMBNAIL) == 3


async def test_ones_pictures_leave_room_for_others(desk: Desk) -> None:
    """However many pictures are waited for of what one person sent, those of others are made too."""
    pencil = Pencil()
    pictures = Pictures(desk.media.shelf, pencil, lambda: desk.now)
    an = await desk.person("an", DISTRICT)
    ones = [asyncio.create_task(pictures.get(await arrived(desk), THUMBNAIL)) for _ in range(8)]
    await asyncio.wait(ones, return_when=asyncio.FIRST_COMPLETED)
    other = asyncio.create_task(pictures.get(await arrived(desk, an), THUMBNAIL))
    for _ in range(7):
        await pencil.begun.acquire()
    pencil.may.set()
    done = await asyncio.gather(*ones, other, return_exceptions=True)
    refused = [one.code for one in done if isinstance(one, SyncError)]
    assert refused == ["overloaded"] * 2
    assert isinstance(done[-1], bytes)
