"""Media is checked again when whoever keeps the server asks for it, on both databases."""

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from field_schemas.media_findings import Verdict
from field_schemas.record import Record
from field_schemas.types.media_check import MediaCheck
from media.inspection.inspector import Inspector
from server.cli import rechecking
from server.cli.words import CommandFailed
from server.media.arrivals import Arrival, Arrivals
from server.media.pictures import Pictures
from server.media.rechecks import Asked, Rechecks, Wish
from server.media.tables import media_references
from sync.clock import DAY_MS
from tests.contracts.media_desk import Desk
from tests.integration.media import digest_of, photo

pytestmark = pytest.mark.timeout(120)


async def checked(desk: Desk, count: int) -> list[tuple[bytes, uuid.UUID]]:
    """Photos that were checked, each with the note that names it."""
    made = []
    for _ in range(count):
        content = photo()
        await desk.send(content)
        made.append((content, await desk.name(content)))
    assert await desk.arrivals.check_due() == count
    desk.now += 60_000
    return made


def judging(desk: Desk, verdict: Verdict) -> Arrivals:
    """Checks that always come to this verdict."""

    async def check(_: Path, arrival: Arrival) -> Record:
        return MediaCheck(
            media=arrival.blob.digest,
            record_type=arrival.record.type,
            record=arrival.record.id,
            author=arrival.change.user,
            verdict=verdict,
            findings=[],
            concerns=list(arrival.record.scopes),
            checked_at=datetime.fromtimestamp(desk.now / 1000, UTC),
        )

    return Arrivals(
        desk.database,
        desk.media.shelf,
        desk.media.references,
        desk.queue,
        check,
        Pictures(desk.media.shelf, Inspector(), lambda: desk.now),
        lambda: desk.now,
        os.urandom,
    )


async def again(desk: Desk, wish: Wish) -> set[uuid.UUID]:
    """The records whose media is checked again by a wish."""
    desk.checked.clear()
    rechecks = Rechecks(desk.database, lambda: desk.now)
    asked = await rechecks.ask(wish)
    assert await rechecks.left(asked) == asked.count
    assert await desk.arrivals.check_due() == asked.count
    assert await rechecks.left(asked) == 0
    return {arrival.record.id for arrival in desk.checked}


async def test_of_some_media(desk: Desk) -> None:
    """What is named by its digest is checked again, and nothing else."""
    (first, note), _, (third, other) = await checked(desk, 3)
    assert await again(desk, Wish(digests=(digest_of(first), digest_of(third)))) == {note, other}


async def test_of_one_record(desk: Desk) -> None:
    """What one record names is checked again."""
    _, (_, note) = await checked(desk, 2)
    assert await again(desk, Wish(record=note)) == {note}


async def test_of_all(desk: Desk) -> None:
    """Everything that was checked is checked again, once for each wish."""
    made = await checked(desk, 3)
    assert await again(desk, Wish()) == {note for _, note in made}
    assert await desk.arrivals.check_due() == 0


async def test_what_has_not_arrived(desk: Desk) -> None:
    """Media that never arrived is not waited for."""
    await desk.name(photo())
    assert await Rechecks(desk.database, lambda: desk.now).ask(Wish()) == Asked(0, desk.now)


async def test_what_failed(desk: Desk) -> None:
    """A check that failed so often that its next try is far away is tried now."""
    content = photo()
    await desk.send(content)
    note = await desk.name(content)
    desk.fails[digest_of(content)] = 10
    for _ in range(10):
        desk.now += DAY_MS
        assert await desk.arrivals.check_due() == 0
    assert await again(desk, Wish()) == {note}


async def test_of_a_verdict(desk: Desk) -> None:
    """What came to a verdict is checked again, and what came to another is not."""
    verdicts = [Verdict.SUSPECT, Verdict.VERIFIED]
    notes = []
    for verdict in verdicts:
        content = photo()
        await desk.send(content)
        notes.append(await desk.name(content))
        assert await judging(desk, verdict).check_due() == 1
    desk.now += 60_000
    note, other = notes
    rechecks = Rechecks(desk.database, lambda: desk.now)
    wishes = [Wish(verdict=Verdict.UNVERIFIED), Wish(record=other, verdict=Verdict.SUSPECT)]
    assert [(await rechecks.ask(wish)).count for wish in wishes] == [0, 0]
    assert (await rechecks.ask(Wish(verdict=Verdict.SUSPECT))).count == 1
    async with desk.database.engine.connect() as connection:
        due = select(media_references.c.record).where(media_references.c.check_ms.is_not(None))
        assert (await connection.execute(due)).scalars().all() == [note]


async def test_nobody_does_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server runs, the command says so in the end, and what was asked for stays asked for."""
    await checked(desk, 1)
    monkeypatch.setattr(rechecking, "_LOOK_EVERY_S", 0)
    monkeypatch.setattr(rechecking, "_PATIENCE_S", 0)
    monkeypatch.setattr(rechecking, "now_ms", lambda: desk.now)
    with pytest.raises(CommandFailed, match="1 of 1 check left"):
        await rechecking._recheck(desk.database, Wish())
    assert await desk.arrivals.check_due() == 1
