"""Who may read which media, on both databases: by whose word, for how long, and what the nightly collection adds."""

import pytest

from field_schemas.access import Grant, Role
from sync.clock import DAY_MS
from tests.contracts.media_desk import DISTRICT, Desk
from tests.integration.media import digest_of, media_ref, photo
from tests.unit.builders import NOW

pytestmark = pytest.mark.timeout(120)


async def test_the_night_opens_nothing(desk: Desk) -> None:
    """A digest that a colleague wrote into the owner's record keeps the photo, and opens it to nobody, ever."""
    zhao = await desk.person("zhao", DISTRICT)
    secret = photo()
    await desk.send(secret)
    finding = await desk.name(of="finding", kind="0102")
    for noted in (True, False):
        await desk.push(finding, {"media": [media_ref(secret)]}, of="finding", by=zhao, base=1, noted=noted)
        await desk.media.upkeep.collect()
        assert not await desk.reads(secret, zhao)
    desk.now += 40 * DAY_MS
    await desk.media.upkeep.collect()
    assert await desk.stored(secret)


async def test_the_night_knows_the_author(desk: Desk) -> None:
    """What its sender wrote into a record by another way than a push is read with that record after the night."""
    zhao = await desk.person("zhao", DISTRICT)
    content = photo()
    await desk.send(content)
    await desk.name(content, noted=False)
    assert not await desk.reads(content, zhao)
    await desk.media.upkeep.collect()
    assert await desk.reads(content, zhao)


async def test_could_read_ends_with_the_grant(desk: Desk) -> None:
    """Who was told that the bytes need not be sent reads them as long as the record, not longer."""
    zhao = await desk.person("zhao", Grant(DISTRICT.scope, Role.SUPERVISOR, valid_until=NOW + DAY_MS))
    content = photo()
    await desk.send(content)
    await desk.name(content)
    assert await desk.knows(content, zhao)
    assert await desk.reads(content, zhao)
    desk.now += DAY_MS
    assert not await desk.reads(content, zhao)
    assert not await desk.knows(content, zhao)


async def test_could_read_vouches(desk: Desk) -> None:
    """A photo that could be read when it was attached is read in the record that it was attached to."""
    zhao = await desk.person("zhao", Grant(DISTRICT.scope, Role.SUPERVISOR, valid_until=NOW + DAY_MS))
    chen = await desk.person("chen", Grant("grid:440304002", Role.SUPERVISOR))
    content = photo()
    await desk.send(content)
    await desk.name(content)
    assert await desk.knows(content, zhao)
    await desk.name(content, by=zhao, grid="440304002001001")
    assert await desk.reads(content, chen)


async def test_sent_after_it_could_be_read(desk: Desk) -> None:
    """Who sends the bytes in the end reads them whatever becomes of grants."""
    zhao = await desk.person("zhao", Grant(DISTRICT.scope, Role.SUPERVISOR, valid_until=NOW + DAY_MS))
    content = photo()
    await desk.send(content)
    await desk.name(content)
    assert await desk.knows(content, zhao)
    await desk.send(content, by=zhao)
    assert await desk.knows(content, zhao)
    desk.now += DAY_MS
    assert await desk.reads(content, zhao)
    assert await desk.media.shelf.find(digest_of(content)) is not None
