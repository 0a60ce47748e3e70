"""Who is served now, who waits, and who is asked to come back when: the server's answer to more than it can do. Pure.

So many requests are worked on at once; the next wait in two lines, unsent work before everything else. When the wait
would grow too long, a request is turned away with the time at which there will be room, as the rate at which the
lines really move says. Each of those turned away gets a time of its own, in the order they came, so that they come
back spread out; and whoever comes back at its time finds room that newcomers do not.
"""

import asyncio
import enum
import math
from collections import Counter, deque
from collections.abc import Callable

import msgspec

Monotonic = Callable[[], float]
"""Seconds that only grow."""
Chance = Callable[[], float]
"""A number by chance, 0 <= n < 1."""

_MOST_APPOINTMENTS = 100_000
_LATEST_S = 600
_SPREAD_S = 300
"""Who would be asked for later than that gets some time of so many seconds before it."""
_CROWDED_S = 1
_FIRST_RATE = 200.0
"""Requests a second that are believed in before any were measured."""
_LONGEST_INTERVAL = 16
"""No interval counts more than so many average ones: a stall of the whole process says nothing of its pace."""
_WORK_SHARE = 4
"""One place in so many of the line is kept for unsent work."""
_MEMORY = 128
"""Over how many requests, about, the rate is averaged."""
_WORK_IN_A_ROW = 3
"""So many requests with unsent work go before one of the others, if both wait."""


class Kind(enum.Enum):
    """What a request is for."""

    WORK = "unsent work, and what it needs: tokens, receipts"
    NEWS = "everything else"


class Bounds(msgspec.Struct, frozen=True):
    """Requests worked on at `at_once`, `waiting` in line, and of one device and kind in both; `wait_s`: the
    longest wait that is not turned away."""

    at_once: int = 64
    waiting: int = 1_000
    of_device: int = 4
    wait_s: float = 5.0


class TurnedAway(Exception):
    """The request is not served now; come back after `retry_after_s`. `crowded`: its device has too many already."""

    def __init__(self, retry_after_s: int, *, crowded: bool = False) -> None:
        super().__init__(f"come back in {retry_after_s} s")
        self.retry_after_s = retry_after_s
        self.crowded = crowded


class Visit(msgspec.Struct, frozen=True):
    """A request of `device` ("" where that is not known) that was let in; `in_time`: at the time it was given."""

    device: str
    kind: Kind
    in_time: bool

    @property
    def share(self) -> int:
        """How much of the line it may find before it."""
        return 2 if self.in_time else 1


class Turn:
    """The right to be worked on. Given back while its holder waits for the network, and at the end."""

    __slots__ = ("_admission", "_ended")

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self._ended = False

    def pause(self) -> None:
        """Let another have the place while this one waits for its client."""
        if not self._ended:
            self._admission.give_place()

    def resume(self) -> None:
        """Go on at once: who has begun is not put into the line again."""
        if not self._ended:
            self._admission.take_place()

    def end(self) -> None:
        """Be done; doing it again changes nothing."""
        if not self._ended:
            self._ended = True
            self._admission.give_place(done=True)


class Admission:
    """The lines of one server process."""

    def __init__(self, bounds: Bounds, monotonic: Monotonic, chance: Chance) -> None:
        self._bounds = bounds
        self._chance = chance
        self._monotonic = monotonic
        self._pace = Pace()
        self._working = 0
        self._in_a_row = 0
        self._lines: dict[Kind, deque[asyncio.Future[None]]] = {kind: deque() for kind in Kind}
        self._of_device: Counter[tuple[str, Kind]] = Counter()
        self._appointments: dict[str, float] = {}
        self._last_given = {True: 0.0, False: 0.0}

    def arrive(self, device: str, kind: Kind) -> Visit:
        """Count a request of `device` in, until it departs. Raises TurnedAway."""
        if device and self._of_device[device, kind] >= self._bounds.of_device:
            raise TurnedAway(_CROWDED_S, crowded=True)
        now = self._monotonic()
        appointment = self._appointments.get(device)
        if appointment is not None and now < appointment and not self._room(kind, 1):
            raise TurnedAway(math.ceil(appointment - now))
        visit = Visit(device, kind, in_time=appointment is not None)
        if not self._room(kind, visit.share):
            raise TurnedAway(self._appoint(device, now, again=visit.in_time))
        self._appointments.pop(device, None)
        self._of_device[device, kind] += 1
        return visit

    def depart(self, visit: Visit) -> None:
        """The request is over."""
        counted = visit.device, visit.kind
        self._of_device[counted] -= 1
        if not self._of_device[counted]:
            del self._of_device[counted]

    async def turn(self, visit: Visit) -> Turn:
        """Wait in line for a turn. Raises TurnedAway: since it arrived, others may have taken the room."""
        if self._working < self._bounds.at_once and not self._waiting():
            self.take_place()
            return Turn(self)
        if not self._room(visit.kind, visit.share):
            raise TurnedAway(self._appoint(visit.device, self._monotonic(), again=visit.in_time))
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines[visit.kind].append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self.give_place()
            raise
        return Turn(self)

    def take_place(self) -> None:
        """One more is being worked on."""
        self._working += 1

    def give_place(self, *, done: bool = False) -> None:
        """One less is being worked on: call the next."""
        self._working -= 1
        if done:
            self._pace.served(self._monotonic(), busy=self._waiting() > 0)
        while self._working < self._bounds.at_once and (called := self._next()):
            self.take_place()
            called.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        work, news = self._lines[Kind.WORK], self._lines[Kind.NEWS]
        while work or news:
            of_work = bool(work) and (self._in_a_row < _WORK_IN_A_ROW or not news)
            self._in_a_row = self._in_a_row + 1 if of_work else 0
            called = (work if of_work else news).popleft()
            if not called.done():
                return called
        return None

    def _waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    def _room(self, kind: Kind, share: int) -> bool:
        """Whether a request may wait; those with `share` 2 may wait twice as long."""
        ahead = len(self._lines[Kind.WORK]) if kind is Kind.WORK else self._waiting()
        in_time = ahead <= share * self._bounds.wait_s * self._pace.rate
        kept = self._bounds.waiting // _WORK_SHARE if kind is Kind.NEWS else 0
        return in_time and self._waiting() < share * (self._bounds.waiting - kept)

    def _appoint(self, device: str, now: float, *, again: bool) -> int:
        """Give the next free time, in whole seconds from now; those who kept one before have times of their own."""
        latest = now + _LATEST_S
        given = max(self._last_given[again], now + self._bounds.wait_s) + 1 / self._pace.rate
        if given > latest:
            given = latest - self._chance() * _SPREAD_S
        elif device:
            self._last_given[again] = given
        self._appointments.pop(device, None)
        if device:
            self._appointments[device] = given
        if len(self._appointments) > _MOST_APPOINTMENTS:
            del self._appointments[next(iter(self._appointments))]
        return math.ceil(given - now)


class Pace:
    """How fast the lines move: requests served a second while others waited, by a moving average."""

    def __init__(self) -> None:
        self._interval_s = 1 / _FIRST_RATE
        self._last: float | None = None

    @property
    def rate(self) -> float:
        """Requests a second."""
        return 1 / max(self._interval_s, 1e-6)

    def served(self, now: float, *, busy: bool) -> None:
        """One more was served at `now`; `busy`: others wait."""
        if self._last is not None:
            interval_s = min(now - self._last, _LONGEST_INTERVAL * self._interval_s)
            self._interval_s += (interval_s - self._interval_s) / _MEMORY
        self._last = now if busy else None
