"""The database is set back to a backup, the store of blobs is not: what lies there is found, on both databases."""

import pytest
from sqlalchemy import delete

from field_schemas.access import Grant, Role
from server.media.inventory import Inventory
from server.media.tables import blobs, media_claims, uploads
from sync.clock import DAY_MS
from tests.contracts.media_desk import DISTRICT, Desk
from tests.integration.media import digest_of, photo

pytestmark = pytest.mark.timeout(120)


async def set_back(desk: Desk) -> None:
    """Lose what the database knew of all media, but not what records name: these were sent again."""
    async with desk.database.engine.begin() as connection:
        for table in (uploads, media_claims, blobs):
            await connection.execute(delete(table))


async def strays(desk: Desk) -> list[str]:
    """What lies in the store and the database does not know."""
    return await Inventory(desk.database, desk.media.shelf).strays()


async def test_read_again(desk: Desk) -> None:
    """Whoever reads the record reads its photo, as it was; nobody else does; and it gets its verdict."""
    zhao = await desk.person("zhao", DISTRICT)
    stranger = await desk.person("wu", Grant("grid:440305", Role.SUPERVISOR))
    content = photo()
    await desk.send(content)
    await desk.name(content)
    await set_back(desk)
    blob = await desk.media.library.find(zhao, digest_of(content))
    assert blob is not None
    assert (blob.size, blob.media_type) == (1_000, "image/jpeg")
    assert not await desk.reads(content, stranger)
    assert await desk.arrivals.check_due() == 1


async def test_sender_asks_by_digest(desk: Desk) -> None:
    """Who has sent a photo, and freed the copy, hears that it is still held; who names the digest alone does not."""
    wu = await desk.person("wu", Grant("grid:440305", Role.SUPERVISOR))
    content = photo()
    await desk.send(content)
    await set_back(desk)
    assert not await desk.knows(content, wu)
    assert await desk.knows(content, desk.li)


async def test_could_read_is_no_more_than_before(desk: Desk) -> None:
    """A claim by having read is not one by having sent after a restore either."""
    zhao = await desk.person("zhao", Grant(DISTRICT.scope, Role.SUPERVISOR, valid_until=desk.now + DAY_MS))
    content = photo()
    await desk.send(content)
    await desk.name(content)
    assert await desk.knows(content, zhao)
    await set_back(desk)
    assert await desk.reads(content, zhao)
    desk.now += DAY_MS
    assert not await desk.reads(content, zhao)
    assert await desk.reads(content, desk.li)


async def test_the_night_takes_up_what_is_named(desk: Desk) -> None:
    """The nightly collection finds what records name, and leaves alone, however old, what none names yet."""
    named, stray = photo(), photo()
    await desk.send(named)
    await desk.send(stray)
    await desk.name(named)
    await set_back(desk)
    assert await strays(desk) == sorted([digest_of(named), digest_of(stray)])
    done = await desk.media.upkeep.collect()
    assert done is not None
    assert (done.found, done.blobs) == (1, 0)
    desk.now += 40 * DAY_MS
    await desk.media.upkeep.collect()
    assert await strays(desk) == [digest_of(stray)]
    assert await desk.knows(stray, desk.li)


async def test_what_is_damaged_is_not_taken_up(desk: Desk) -> None:
    """Bytes that are not what their name says are no photo of anybody's; sent again it is whole."""
    content = photo()
    await desk.send(content)
    await desk.name(content)
    await set_back(desk)
    path = desk.media.shelf.bytes_of.path(digest_of(content))
    assert path is not None
    path.write_bytes(content[:-1])
    assert not await desk.reads(content, desk.li)
    assert not await desk.knows(content, desk.li)


async def test_nothing_is_left_of_what_goes(desk: Desk) -> None:
    """With a photo goes from the store who had sent it."""
    content = photo()
    await desk.send(content)
    desk.now += 31 * DAY_MS
    await desk.media.upkeep.collect()
    assert [path for path in (desk.folder / "blobs").rglob("*") if path.is_file()] == []
