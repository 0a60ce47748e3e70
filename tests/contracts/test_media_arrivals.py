"""Media that has arrived is checked once a record names it, on both databases."""

import asyncio
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from media.derivatives import Derivative
from media.inspection.inspector import Inspector
from server.accounts.identities import Identity
from server.media.arrivals import Arrivals
from server.media.pictures import Pictures
from server.media.tables import media_claims, media_references
from tests.contracts.media_desk import DISTRICT, Desk, Verdict
from tests.integration.media import digest_of, media_ref, photo
from tests.unit.builders import new_id

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


async def named_again(desk: Desk, finding: uuid.UUID, content: bytes, by: Identity) -> None:
    """Somebody names a photo in a finding that names it already."""
    named = {"media": [media_ref(content)]}
    await desk.push(finding, named, of="finding", by=by, base=1)


async def test_the_first_who_named_it_decides(desk: Desk) -> None:
    """Somebody who names a photo in a record that names it already changes nothing about its verdict."""
    content = photo()
    zhao = await desk.person("zhao", DISTRICT)
    await desk.send(content)
    finding = await desk.name(content, of="finding", kind="0102")
    assert await desk.arrivals.check_due() == 1
    assert await desk.knows(content, zhao)
    desk.now += 3 * 3_600_000
    await named_again(desk, finding, content, zhao)
    assert await desk.arrivals.check_due() == 0
    assert [one.author for one in await desk.verdicts()] == ["li"]
    assert [arrival.change.user for arrival in desk.checked] == ["li"]


async def test_who_does_not_hold_it_does_not_decide(desk: Desk) -> None:
    """A photo is judged by the first change of somebody who has shown to hold it."""
    content = photo()
    zhao = await desk.person("zhao", DISTRICT)
    finding = await desk.name(content, of="finding", kind="0102")
    await named_again(desk, finding, content, zhao)
    await desk.send(content, by=zhao)
    assert await desk.arrivals.check_due() == 1
    assert [one.author for one in await desk.verdicts()] == ["zhao"]
    await desk.send(content)
    assert await desk.arrivals.check_due() == 1
    assert [one.author for one in await desk.verdicts()] == ["li"]


async def moved(desk: Desk, noted: bool = True, **fields: Any) -> int:
    """Checks of the photo of a finding, made once it was checked and then changed: how many."""
    content = photo()
    await desk.send(content)
    finding = await desk.name(content, of="finding", kind="0102", place={"lon": 114.0, "lat": 22.5})
    assert await desk.arrivals.check_due() == 1
    await desk.push(finding, fields, of="finding", base=1, noted=noted)
    if not noted:
        assert await desk.arrivals.check_due() == 0
        await desk.media.upkeep.collect()
    found = await desk.arrivals.check_due()
    assert await desk.arrivals.check_due() == 0
    return found


@pytest.mark.parametrize(
    "fields",
    [{"place": {"lon": 114.2, "lat": 22.5}}, {"grid": "440304002001001"}, {"task": str(new_id())}],
)
async def test_checked_again_when_its_record_moves(desk: Desk, fields: dict[str, Any]) -> None:
    """A record with another place, task or scopes has its photo checked again, as it is now."""
    assert await moved(desk, **fields) == 1
    before, after = (arrival.record for arrival in desk.checked)
    assert before.version < after.version
    assert len(await desk.verdicts()) == 1


async def test_a_move_that_was_not_a_push_is_found(desk: Desk) -> None:
    """A record that was moved by another way than a push has its photo checked again after the night."""
    assert await moved(desk, noted=False, grid="440304002001001") == 1


async def test_not_checked_again_for_words(desk: Desk) -> None:
    """Another text is no reason to look at the photo again, neither at once nor by night."""
    assert await moved(desk, text="other words") == 0
    await desk.media.upkeep.collect()
    assert await desk.arrivals.check_due() == 0


async def test_moved_while_it_was_checked(desk: Desk) -> None:
    """A record that moves while its photo is being looked at has it checked once more."""
    content = photo()
    await desk.send(content)
    finding = await desk.name(content, of="finding", kind="0102")
    desk.meanwhile = lambda: desk.push(finding, {"grid": "440304002001001"}, of="finding", base=1)
    assert await desk.arrivals.check_due() == 2
    assert await desk.arrivals.check_due() == 0


async def test_people_take_turns(desk: Desk) -> None:
    """Who has many files to be checked holds nobody up longer than by one of them."""
    busy = await desk.person("an", DISTRICT)
    for _ in range(3):
        content = photo()
        await desk.send(content, busy)
        await desk.name(content, by=busy)
    desk.now += 1_000
    content = photo()
    await desk.send(content)
    await desk.name(content)
    assert await desk.arrivals.check_due() == 4
    assert [arrival.change.user for arrival in desk.checked] == ["an", "li", "an", "an"]


class Stuck(Inspector):
    """One that never ends drawing."""

    async def derive(self, path: Path, wish: Derivative) -> bytes:
        """Wait for ever."""
        await asyncio.Event().wait()
        return await super().derive(path, wish)


async def test_verdicts_do_not_wait_for_pictures(desk: Desk) -> None:
    """However long it takes to draw a photo smaller, verdicts come."""
    pictures = Pictures(desk.media.shelf, Stuck(), lambda: desk.now)
    arrivals = Arrivals(
        desk.database,
        desk.media.shelf,
        desk.media.references,
        desk.queue,
        desk.check,
        pictures,
        lambda: desk.now,
        os.urandom,
    )

    async def arrive() -> None:
        content = photo()
        await desk.send(content)
        await desk.name(content)
        async with asyncio.timeout(20):
            assert await arrivals.check_due() == 1

    await arrive()
    drawing = asyncio.create_task(pictures.prepare())
    await arrive()
    assert not drawing.done()
    drawing.cancel()
