"""Media that has arrived is checked once a record names it, on both databases."""

import pytest
from sqlalchemy import select

from server.media.tables import media_claims, media_references
from tests.contracts.media_desk import Desk, Verdict
from tests.integration.media import digest_of, photo

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("record_first", [True, False])
async def test_checked_when_both_are_there(desk: Desk, record_first: bool) -> None:
    """A photo is checked once bytes and record are there, whichever comes first; the verdict is a record."""
    content = photo()
    if record_first:
        await desk.name(content)
        assert await desk.arrivals.check_due() == 0
        await desk.send(content)
    else:
        await desk.send(content)
        assert await desk.arrivals.check_due() == 0
        await desk.name(content)
    assert await desk.arrivals.check_due() == 1
    (verdict,) = await desk.verdicts()
    assert isinstance(verdict, Verdict)
    assert (verdict.author, verdict.said) == ("li", "phone: fine")
    (arrival,) = desk.checked
    assert (arrival.change.device, arrival.record.type) == (desk.li.device, "note")


async def test_checked_once_for_each_record(desk: Desk) -> None:
    """Each record that names a photo gets its own verdict, once."""
    content = photo()
    await desk.send(content)
    for _ in range(2):
        await desk.name(content)
    assert await desk.arrivals.check_due() == 2
    await desk.media.upkeep.collect()
    assert await desk.arrivals.check_due() == 0
    assert len(await desk.verdicts()) == 2


async def test_a_check_that_fails_is_tried_again(desk: Desk) -> None:
    """A check that fails waits longer each time, and holds nobody else up."""
    first, other = photo(), photo()
    await desk.send(first)
    await desk.name(first)
    desk.fails[digest_of(first)] = 2
    assert await desk.arrivals.check_due() == 0
    await desk.send(other)
    await desk.name(other)
    desk.now += 60_000
    assert await desk.arrivals.check_due() == 1
    desk.now += 60_000
    assert await desk.arrivals.check_due() == 0
    desk.now += 60_000
    assert await desk.arrivals.check_due() == 1


async def test_a_store_that_is_away_does_not_count(desk: Desk) -> None:
    """However often the store was away when a photo was due, it is checked within a minute of its return."""
    content = photo()
    await desk.send(content)
    await desk.name(content)
    desk.away = True
    for _ in range(8):
        assert await desk.arrivals.check_due() == 0
        desk.now += 60_000
    desk.away = False
    assert await desk.arrivals.check_due() == 1


async def test_nobody_vouches_for_it(desk: Desk) -> None:
    """A photo that the record's author did not send is not checked for that record."""
    content = photo()
    await desk.send(content)
    await desk.name(content)
    async with desk.database.engine.begin() as connection:
        await connection.execute(media_claims.delete())
    assert await desk.arrivals.check_due() == 0
    async with desk.database.engine.begin() as connection:
        assert (await connection.execute(select(media_references.c.check_ms))).scalar_one() is not None
