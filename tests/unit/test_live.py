"""Live pokes: who is told of a commit, when, and how often."""

import asyncio
import uuid
from collections.abc import Iterable

import pytest

from field_schemas.access import Grant, Role
from server.live import AT_ONCE, Announcement, Hub, Listener, Word, reader_of
from server.live_postgres import PAYLOAD_BYTES, announced
from sync.errors import SyncError

NOW = 1_790_000_000_000
SOON, NEVER = 0.0, 60.0
STREET, NEXT_STREET, DISTRICT = "grid:440304001", "grid:440304002", "grid:440304"


class Pace:
    """Sleeps that end when the test says so."""

    def __init__(self) -> None:
        self.next = asyncio.Event()

    async def sleep(self, _seconds: float) -> None:
        await self.next.wait()
        self.next.clear()


def listen(hub: Hub, *scopes: str, user: str = "li", device: uuid.UUID | None = None) -> Listener:
    """A listener of a user with these grants who has had the first poke."""
    grants = [Grant(scope, Role.INSPECTOR) for scope in scopes]
    listener = hub.join(reader_of(user, device or uuid.uuid4(), uuid.uuid4(), grants, NOW))
    listener._poked = False
    return listener


async def words(listeners: Iterable[Listener]) -> list[Word]:
    """What each listener is told now."""
    return [await listener.next(SOON) for listener in listeners]


@pytest.mark.parametrize(
    ("scope", "feed", "expected"),
    [
        (STREET, STREET, Word.POKE),
        (STREET, NEXT_STREET, Word.BEAT),
        (DISTRICT, STREET, Word.POKE),
        (STREET + "001", STREET, Word.POKE),
        (STREET, DISTRICT, Word.BEAT),
        (DISTRICT, "grid:440305001", Word.BEAT),
        ("dept:garden", "dept:garden", Word.POKE),
        (STREET, "person:li", Word.POKE),
        (STREET, "person:wang", Word.BEAT),
    ],
)
async def test_who_is_concerned(scope: str, feed: str, expected: Word) -> None:
    """A listener is poked for feeds that its grants open, wider and narrower ones, and for its own person."""
    hub = Hub()
    listener = listen(hub, scope)
    hub.poke([feed])
    assert await words([listener]) == [expected]


async def test_everyone_is_concerned_when_nobody_knows() -> None:
    """A commit of unknown feeds pokes all."""
    hub = Hub()
    listeners = [listen(hub, STREET), listen(hub, "dept:garden")]
    hub.poke(None)
    assert await words(listeners) == [Word.POKE, Word.POKE]


async def test_the_author_is_not_told() -> None:
    """The device that alone made a commit is not poked for it."""
    hub = Hub()
    author, other = listen(hub, STREET), listen(hub, STREET)
    hub.poke([STREET], author.reader.device)
    assert await words([author, other]) == [Word.BEAT, Word.POKE]


async def test_a_new_line_starts_with_a_poke() -> None:
    """What was committed before a device listened is made up for by a pull."""
    line = Hub().join(reader_of("li", uuid.uuid4(), uuid.uuid4(), [], NOW))
    assert await line.next(NEVER) is Word.POKE


async def test_pokes_do_not_pile_up() -> None:
    """A listener that could not be told meanwhile is told once, however often it was poked."""
    hub = Hub()
    listener = listen(hub, STREET)
    for _ in range(100):
        hub.poke([STREET])
    assert await words([listener, listener]) == [Word.POKE, Word.BEAT]


async def test_a_waiting_listener_is_woken() -> None:
    """A poke reaches a listener that waits, at once."""
    hub = Hub()
    listener = listen(hub, STREET)
    waiting = asyncio.create_task(listener.next(NEVER))
    await asyncio.sleep(0)
    hub.poke([STREET])
    assert await waiting is Word.POKE


async def test_a_crowd_is_told_in_turns() -> None:
    """More listeners than AT_ONCE are told one lot after the other, so that they do not pull all at once."""
    pace = Pace()
    hub = Hub(sleep=pace.sleep)
    crowd = [listen(hub, STREET) for _ in range(2 * AT_ONCE + 1)]
    hub.poke([STREET])
    told = [sum(listener._poked for listener in crowd)]
    for _ in range(2):
        pace.next.set()
        for _ in range(5):
            await asyncio.sleep(0)
        told.append(sum(listener._poked for listener in crowd))
    assert told == [AT_ONCE, 2 * AT_ONCE, 2 * AT_ONCE + 1]


async def test_one_line_a_device() -> None:
    """The newest line of a device ends the one before it."""
    hub, device = Hub(), uuid.uuid4()
    older, newer = listen(hub, STREET, device=device), listen(hub, STREET, device=device)
    hub.poke([STREET])
    assert await words([older, newer]) == [Word.BYE, Word.POKE]
    hub.part(older)
    assert list(hub.listeners) == [newer]


async def test_listeners_are_bounded() -> None:
    """Beyond its bound a process takes no more listeners, but the newest line of one it has."""
    hub = Hub(most=1)
    device = listen(hub, STREET).reader.device
    with pytest.raises(SyncError) as caught:
        listen(hub, STREET)
    assert caught.value.code == "overloaded"
    assert listen(hub, STREET, device=device) in hub.listeners


async def test_nothing_is_left_of_who_went() -> None:
    """A line that ended leaves no entry behind."""
    hub = Hub()
    hub.part(listen(hub, STREET, "dept:garden"))
    assert (len(hub.listeners), len(hub.feeds)) == (0, 0)


async def test_the_end_spreads_the_comebacks() -> None:
    """A process that ends tells its listeners to come back one after the other, and takes no new ones."""
    hub = Hub()
    listeners = [listen(hub, STREET) for _ in range(200)]
    hub.close()
    assert await words(listeners) == [Word.BYE] * 200
    assert sorted({listener.comeback_ms // 1_000 for listener in listeners}) == [1, 2]
    with pytest.raises(SyncError):
        listen(hub, STREET)


def test_announcements_fit_into_payloads() -> None:
    """However many feeds a commit wrote to, every payload is small enough, and together they name them all."""
    feeds = frozenset(f"person:{'x' * 50}{number}" for number in range(1_000))
    texts = list(announced([Announcement(7, feeds), Announcement(9, frozenset({STREET}))]))
    assert max(len(payload.encode()) for payload, _ in texts) <= PAYLOAD_BYTES
    assert frozenset().union(*(one.feeds or () for _, one in texts)) == feeds | {STREET}
    assert {one.tx for _, one in texts} == {9}


def test_a_feed_too_long_for_a_payload_is_everything() -> None:
    """A feed whose name alone does not fit becomes a poke for all."""
    ((_, one),) = announced([Announcement(7, frozenset({"person:" + "x" * PAYLOAD_BYTES}))])
    assert one == Announcement(7, None)


def test_authors_are_kept_apart() -> None:
    """Commits of different devices stay different announcements: each is told of the other's."""
    one, other = uuid.uuid4(), uuid.uuid4()
    feeds = frozenset({STREET})
    made = [Announcement(1, feeds, one), Announcement(2, feeds, other), Announcement(3, feeds)]
    assert [told.device for _, told in announced(made)] == [one, other, None]
