"""Who used a picture first goes by whose record named it first, whatever arrives or is checked first."""

import os
from collections.abc import AsyncIterator

import pytest

from field_schemas.media_findings import Verdict
from field_schemas.record import type_of
from field_schemas.types.media_check import MediaCheck
from media.inspection.inspector import Inspector
from media.thresholds import Thresholds
from server.media.arrivals import Arrivals
from server.media.pictures import Pictures
from server.media_checks.checker import MediaChecker
from server.media_checks.seen import SeenInDatabase
from tests.contracts.media_desk import DISTRICT, Desk
from tests.photos import Shot, photo

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def arrivals(desk: Desk) -> AsyncIterator[Arrivals]:
    """The real checks of what arrives at the desk."""

    def now_ms() -> int:
        return desk.now

    async with Inspector() as looking:
        seen = SeenInDatabase(desk.database)
        checker = MediaChecker(desk.database, desk.registry, looking, seen, Thresholds(), now_ms)
        shelf, references = desk.media.shelf, desk.media.references
        pictures = Pictures(shelf, looking, now_ms)
        yield Arrivals(
            desk.database, shelf, references, desk.queue, checker.check, pictures, now_ms, os.urandom
        )  # fmt: skip


async def reused(desk: Desk) -> dict[str, bool]:
    """Whether each author is told that a picture like theirs was used before."""
    spec, told = type_of(MediaCheck), {}
    async with desk.database.store.reading() as tx:
        async for page in tx.scan(spec.name):
            for check in [spec.typed(one.fields, one.id, one.version) for one in page]:
                codes = {finding.code for finding in check.findings}
                assert ("seen_same" in codes) <= (check.verdict is Verdict.SUSPECT)
                told[check.author] = bool(codes & {"seen_same", "seen_nearly_same"})
    return told


COPIES = [photo(Shot()), photo(Shot(size=(320, 240)))]


@pytest.mark.parametrize("copy", COPIES, ids=["the same file", "saved anew"])
async def test_the_turn_in_the_checks_blames_nobody(desk: Desk, arrivals: Arrivals, copy: bytes) -> None:
    """Who is looked at first, by the order of names, is no earlier for that."""
    early, late = await desk.person("zhang", DISTRICT), await desk.person("an", DISTRICT)
    for person, content in ((early, COPIES[0]), (late, copy)):
        await desk.send(content, person)
        await desk.name(content, by=person)
        desk.now += 1_000
    await arrivals.check_due()
    assert await reused(desk) == {"zhang": False, "an": True}


@pytest.mark.parametrize("copy", COPIES, ids=["the same file", "saved anew"])
async def test_bytes_that_come_late_blame_nobody(desk: Desk, arrivals: Arrivals, copy: bytes) -> None:
    """Whoever named a photo first is first, though the bytes came last: the copy's verdict is made anew, once."""
    early, late = await desk.person("an", DISTRICT), await desk.person("zhang", DISTRICT)
    await desk.name(COPIES[0], by=early)
    desk.now += 1_000
    await desk.name(copy, by=late)
    await desk.send(copy, late)
    assert await arrivals.check_due() == 1
    assert await reused(desk) == {"zhang": False}
    await desk.send(COPIES[0], early)
    assert await arrivals.check_due() == 2
    assert await reused(desk) == {"an": False, "zhang": True}
    assert await arrivals.check_due() == 0
