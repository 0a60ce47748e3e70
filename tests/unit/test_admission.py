"""Admission: who is served now, who waits in which order, who is asked to come back when."""

import asyncio
import random

import pytest

from server.admission import Admission, Bounds, Kind, Pace, Turn, TurnedAway, Visit

WORK, NEWS = Kind.WORK, Kind.NEWS


class Hall:
    """An admission with a clock that the test turns, and the order in which requests got their turns."""

    def __init__(self, **bounds: float) -> None:
        self.now = 1_000.0
        self.admission = Admission(Bounds(**bounds), lambda: self.now, random.Random(7).random)  # type: ignore[arg-type]
        self.called: list[str] = []
        self.turns: list[Turn] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, name: str, kind: Kind = WORK) -> None:
        """A request of a device called `name` comes in and waits for its turn."""
        await self.stand_in_line(self.admission.arrive(name, kind))

    async def stand_in_line(self, visit: Visit) -> None:
        """All of a request's body has come."""
        self.tasks.append(asyncio.create_task(self._wait(visit)))
        await settle()

    async def _wait(self, visit: Visit) -> None:
        self.turns.append(await self.admission.turn(visit))
        self.called.append(visit.device)

    async def finish(self, *, after_s: float = 0.0) -> None:
        """The request that has worked longest is done."""
        self.now += after_s
        self.turns.pop(0).end()
        await settle()

    def refused(self, name: str, kind: Kind = WORK) -> int:
        """A request that is turned away; the seconds after which it is to come back."""
        with pytest.raises(TurnedAway) as caught:
            self.admission.arrive(name, kind)
        return caught.value.retry_after_s


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(3):
        await asyncio.sleep(0)


async def full_hall(waiting: int = 4) -> Hall:
    """One request being worked on, as many as may waiting, at one a second."""
    hall = Hall(at_once=1, waiting=waiting, wait_s=2.0)
    for number in range(waiting + 1):
        await hall.come(f"first {number}")
    return hall


async def test_who_finds_a_place_does_not_wait() -> None:
    """As many as are worked on at once get their turn at once."""
    hall = Hall(at_once=2)
    for name in "abc":
        await hall.come(name)
    assert hall.called == ["a", "b"]


async def test_in_the_order_they_came() -> None:
    """The line moves in order."""
    hall = Hall(at_once=1)
    for name in "abcd":
        await hall.come(name)
    for _ in range(3):
        await hall.finish()
    assert hall.called == list("abcd")


async def test_unsent_work_goes_first_and_others_still_move() -> None:
    """Three requests with unsent work go before one of the others, so that neither starves."""
    hall = Hall(at_once=1)
    await hall.come("w0")
    for number in range(2):
        await hall.come(f"n{number}", NEWS)
    for number in range(1, 8):
        await hall.come(f"w{number}")
    for _ in range(9):
        await hall.finish()
    assert hall.called == ["w0", "w1", "w2", "w3", "n0", "w4", "w5", "w6", "n1", "w7"]


async def test_the_line_is_bounded() -> None:
    """When as many wait as may, the next is turned away."""
    hall = await full_hall()
    assert hall.refused("late") > 0


async def test_bodies_that_come_late_find_the_line_bounded() -> None:
    """Those let in while there was room are turned away, each with a time of its own, where others have filled it."""
    hall = Hall(at_once=1, waiting=4, wait_s=2.0)
    visits = [hall.admission.arrive(f"device {number}", WORK) for number in range(1_000)]
    waits = []
    for visit in visits[:5]:
        await hall.stand_in_line(visit)
    for visit in visits[5:]:
        with pytest.raises(TurnedAway) as caught:
            await hall.admission.turn(visit)
        waits.append(caught.value.retry_after_s)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (3, 7)


async def test_who_kept_its_time_keeps_its_room_while_its_body_comes() -> None:
    """A device that was let in because it came back in time is not turned away like a newcomer."""
    hall = await full_hall()
    hall.now += hall.refused("patient")
    visit = hall.admission.arrive("patient", WORK)
    hall.refused("new")
    await hall.stand_in_line(visit)
    assert not hall.tasks[-1].done()


async def test_a_wait_that_would_be_too_long_is_turned_away() -> None:
    """The line is no longer than what moves in `wait_s`: at one request a second, two."""
    hall = Hall(at_once=1, wait_s=2.0)
    for number in range(400):
        await hall.come(str(number))
        if number:
            await hall.finish(after_s=1.0)
    lengths = 0
    while True:
        try:
            await hall.come(f"late {lengths}")
        except TurnedAway:
            break
        lengths += 1
    assert lengths == 3


async def test_news_wait_for_work_too() -> None:
    """Where a push still finds room, a pull that would wait for all that goes before it may not."""
    hall = Hall(at_once=1, wait_s=0.015)
    for name in "abc":
        await hall.come(name, NEWS)
    for name in "de":
        await hall.come(name)
    hall.refused("late", NEWS)
    await hall.come("urgent")


async def test_those_turned_away_come_back_one_after_the_other() -> None:
    """Each gets a time of its own, later ones later, as far apart as the line moves."""
    hall = await full_hall()
    waits = [hall.refused(f"device {number}") for number in range(1_000)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (3, 7)
    assert max(waits.count(second) for second in set(waits)) <= 200


async def test_after_a_stall_not_all_come_back_at_once() -> None:
    """However slow the line was, those for whom there is no time left are spread over the last minutes."""
    hall = await full_hall()
    await hall.finish(after_s=30)
    await hall.come("next", WORK)
    waits = [hall.refused(f"device {number}") for number in range(200_000)]
    assert max(waits) <= 600
    assert max(waits.count(second) for second in set(waits[-10_000:])) < 2_000


async def test_who_shows_no_key_pushes_nobody_back() -> None:
    """Requests of nobody take no times from the devices that come after them."""
    hall = await full_hall()
    first = hall.refused("a")
    for _ in range(10_000):
        hall.refused("")
    assert hall.refused("b") == first


async def test_a_line_full_of_news_has_places_for_work() -> None:
    """However many pulls wait, a push finds room."""
    hall = Hall(at_once=1, waiting=4)
    for number in range(4):
        await hall.come(str(number), NEWS)
    hall.refused("late", NEWS)
    await hall.come("urgent", WORK)


async def test_who_comes_back_in_time_finds_room_that_newcomers_do_not() -> None:
    """A device that kept its time is let in beside a full line; one that comes for the first time is not."""
    hall = await full_hall()
    hall.now += hall.refused("patient")
    hall.refused("new")
    await hall.come("patient")


async def test_who_comes_back_too_early_gains_nothing() -> None:
    """A device that does not wait is told the rest of its time again, and not put behind others either."""
    hall = await full_hall()
    first = hall.refused("impatient")
    hall.refused("another")
    hall.now += 1
    assert hall.refused("impatient") == first - 1


async def test_a_place_that_is_free_is_never_refused() -> None:
    """When the line has moved on, a device that comes back early is served at once."""
    hall = await full_hall()
    hall.refused("impatient")
    for _ in range(5):
        await hall.finish()
    await hall.come("impatient")
    assert hall.called[-1] == "impatient"


async def test_one_device_cannot_fill_the_line() -> None:
    """A device with so many requests in is turned away, others are not; when one is answered it may ask again."""
    hall = Hall(at_once=1, of_device=2)
    visit = hall.admission.arrive("greedy", WORK)
    await hall.stand_in_line(visit)
    await hall.come("greedy")
    with pytest.raises(TurnedAway) as caught:
        hall.admission.arrive("greedy", WORK)
    assert caught.value.crowded
    await hall.come("modest")
    hall.admission.depart(visit)
    await hall.come("greedy")


async def test_news_of_a_device_do_not_hold_up_its_work() -> None:
    """However many streams of a device nobody reads any more, it may send its work."""
    hall = Hall(of_device=1)
    await hall.come("phone", NEWS)
    await hall.come("phone", WORK)
    assert hall.called == ["phone", "phone"]


async def test_who_leaves_the_line_holds_nobody_up() -> None:
    """A request that is cancelled while it waits, or just as it is called, gives its place on."""
    hall = Hall(at_once=1)
    for name in "abcd":
        await hall.come(name)
    hall.tasks[1].cancel()
    await settle()
    hall.turns.pop(0).end()
    hall.tasks[2].cancel()
    await settle()
    assert hall.called == ["a", "d"]


async def test_who_waits_for_its_client_lets_others_work() -> None:
    """While a request waits for its body its place is another's; it goes on without standing in line again."""
    hall = Hall(at_once=1)
    await hall.come("slow")
    await hall.come("next")
    hall.turns[0].pause()
    await settle()
    assert hall.called == ["slow", "next"]
    hall.turns[0].resume()
    await hall.come("third")
    await hall.finish()
    assert hall.called == ["slow", "next"]
    await hall.finish()
    assert hall.called == ["slow", "next", "third"]


def test_the_pace_is_measured_while_others_wait() -> None:
    """The rate follows what is served while the line is not empty; idle time does not count."""
    pace = Pace()
    now = 0.0
    for _ in range(1_000):
        now += 0.05
        pace.served(now, busy=True)
    pace.served(now + 0.05, busy=False)
    pace.served(now + 1_000, busy=True)
    assert pace.rate == pytest.approx(20, rel=0.05)


def test_a_stall_is_not_a_pace() -> None:
    """A time in which the whole process stood still hardly changes the rate."""
    pace = Pace()
    now = 0.0
    for _ in range(1_000):
        now += 0.005
        pace.served(now, busy=True)
    pace.served(now + 30, busy=True)
    assert pace.rate > 100
