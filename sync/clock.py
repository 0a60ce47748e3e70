"""Clocks: hybrid logical stamps that order writes, and the bounded true time at which something was captured.

A stamp is one integer below 2^53: milliseconds since 2020-01-01 UTC times 4096, plus a counter. Stamps of one
device only grow, and grow past every stamp the device has seen (hybrid logical clock, Kulkarni et al. 2014), so a
write made in the knowledge of another always carries the larger stamp.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec

STAMP_EPOCH_MS = 1_577_836_800_000
_COUNTER_BITS = 12
DRIFT_PPM = 100
"""How far a phone's monotonic clock may drift, parts per million; crystals stay within 20 to 50."""

DAY_MS = 86_400_000
Milliseconds = Callable[[], int]
Moment = Annotated[int, msgspec.Meta(ge=-(2**53 - 1), le=2**53 - 1)]


def stamp_at(time_ms: int) -> int:
    """The first stamp of the millisecond `time_ms` (UTC since 1970)."""
    return max(0, time_ms - STAMP_EPOCH_MS) << _COUNTER_BITS


def stamp_ms(stamp: int) -> int:
    """The millisecond (UTC since 1970) that `stamp` lies in."""
    return (stamp >> _COUNTER_BITS) + STAMP_EPOCH_MS


class HybridClock:
    """Gives growing stamps. `now_ms` is the best known UTC time; `last` the largest stamp given or seen before."""

    def __init__(self, now_ms: Milliseconds, last: int = 0) -> None:
        self._now_ms = now_ms
        self.last = last

    def tick(self) -> int:
        """A new stamp, larger than all before."""
        self.last = max(stamp_at(self._now_ms()), self.last + 1)
        return self.last

    def observe(self, stamp: int) -> None:
        """Take note of a stamp that came from elsewhere."""
        self.last = max(self.last, stamp)


class Captured(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a device knows about the moment it captured something, all in ms.

    `wall_ms` is its own clock (UTC since 1970). `trusted_ms` is the server's time at the last contact, wrong by
    `error_ms` at most; `elapsed_ms` the monotonic time since then, None after a reboot in between.
    """

    wall_ms: Moment
    trusted_ms: Moment | None = None
    elapsed_ms: Moment | None = None
    error_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


class Bounded(msgspec.Struct, frozen=True, gc=False):
    """A true time, UTC ms, wrong by at most `error_ms` (None: no bound is known)."""

    ms: int
    error_ms: int | None


def _drift_ms(elapsed_ms: int) -> int:
    """By how much a monotonic clock may be off after `elapsed_ms`, rounded up."""
    return -(-elapsed_ms * DRIFT_PPM // 1_000_000)


def estimate(captured: Captured, received_ms: int) -> Bounded:
    """The true time of a capture that the server received at `received_ms`.

    With an unbroken monotonic clock: the trusted time plus what elapsed. After a reboot the wall clock, held
    between the last trusted time and the receipt. With neither, the wall clock held before the receipt, no bound.
    """
    trusted, elapsed = captured.trusted_ms, captured.elapsed_ms
    if trusted is None:
        return Bounded(min(captured.wall_ms, received_ms), None)
    if elapsed is not None and elapsed >= 0:
        error = captured.error_ms + elapsed * DRIFT_PPM // 1_000_000 + 1
        return Bounded(min(trusted + elapsed, received_ms), error)
    earliest = min(trusted - captured.error_ms, received_ms)
    guess = min(max(captured.wall_ms, earliest), received_ms)
    return Bounded(guess, max(guess - earliest, received_ms - guess))


class Anchor(msgspec.Struct, frozen=True):
    """One contact with the server: its time as known then, wrong by `error_ms` at most, and the device's clocks at
    that moment; `boot` names the boot."""

    server_ms: int
    error_ms: int
    wall_ms: int
    monotonic_ms: int
    boot: str


class TrustedClock:
    """A device's idea of true time: the server's time at the last contact, as the surest contact told it, plus
    monotonic time since."""

    def __init__(self, wall: Milliseconds, monotonic: Milliseconds, boot: str, anchor: Anchor | None = None) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._boot = boot
        self.anchor = anchor

    def trust(self, server_ms: int, round_trip_ms: int) -> Anchor:
        """Set the clock by a server time that arrived within a round trip of `round_trip_ms`, or keep what is known
        where that is surer and does not contradict it: a long answer does not spoil what a short one told."""
        half = round_trip_ms // 2
        error = half + 1 + _drift_ms(round_trip_ms)
        told = Anchor(server_ms + half, error, self._wall(), self._monotonic(), self._boot)
        known = self._carried_on()
        agree = known is not None and abs(known.server_ms - told.server_ms) <= known.error_ms + told.error_ms
        self.anchor = known if known is not None and agree and known.error_ms < told.error_ms else told
        return self.anchor

    def _carried_on(self) -> Anchor | None:
        """What is known, as of now: so that after a reboot the present contact counts as the last one."""
        anchor = self.anchor
        if anchor is None or anchor.boot != self._boot:
            return None
        now = self._monotonic()
        elapsed = now - anchor.monotonic_ms
        return Anchor(anchor.server_ms + elapsed, anchor.error_ms + _drift_ms(elapsed), self._wall(), now, self._boot)

    def now_ms(self) -> int:
        """The best estimate of true UTC time."""
        anchor = self.anchor
        if anchor is None:
            return self._wall()
        if anchor.boot == self._boot:
            return anchor.server_ms + self._monotonic() - anchor.monotonic_ms
        return max(anchor.server_ms, self._wall() + anchor.server_ms - anchor.wall_ms)

    def perhaps_ms(self) -> tuple[int, ...]:
        """What true UTC time may be, the likeliest first: after a reboot a wall clock that was set wrong tells
        nothing, and the last contact is all that is certain."""
        now, anchor = self.now_ms(), self.anchor
        return (now,) if anchor is None or anchor.boot == self._boot else (now, anchor.server_ms)

    def captured(self) -> Captured:
        """What to write into a change made now."""
        anchor = self.anchor
        if anchor is None:
            return Captured(self._wall())
        elapsed = self._monotonic() - anchor.monotonic_ms if anchor.boot == self._boot else None
        return Captured(self._wall(), anchor.server_ms, elapsed, anchor.error_ms)
