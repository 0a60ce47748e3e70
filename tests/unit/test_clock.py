"""Stamps only grow; true times keep their bounds."""

from hypothesis import given
from hypothesis import strategies as st

from sync.clock import Captured, HybridClock, TrustedClock, estimate, stamp_at, stamp_ms
from sync.messages import MAX_INTEGER

TIMES = st.integers(1_600_000_000_000, 2_500_000_000_000)


@given(st.lists(st.one_of(TIMES.map(lambda t: ("now", t)), TIMES.map(lambda t: ("seen", stamp_at(t)))), max_size=30))
def test_stamps_grow(events: list[tuple[str, int]]) -> None:
    """A stamp is larger than every stamp given or seen before, however the clock jumps."""
    now = 0
    clock = HybridClock(lambda: now)
    largest = -1
    for kind, value in events:
        if kind == "now":
            now = value
        else:
            clock.observe(value)
            largest = max(largest, value)
        stamp = clock.tick()
        assert stamp > largest
        largest = stamp


@given(TIMES)
def test_stamp_holds_its_time(time_ms: int) -> None:
    """The millisecond can be read back, and a stamp stays an integer that JSON readers keep exact."""
    assert stamp_ms(stamp_at(time_ms)) == time_ms
    assert stamp_at(time_ms) <= MAX_INTEGER


@given(true=TIMES, skew=st.integers(-(10**10), 10**10), elapsed=st.integers(0, 10**8), late=st.integers(0, 10**9))
def test_unbroken_clock(true: int, skew: int, elapsed: int, late: int) -> None:
    """With an unbroken monotonic clock the wall clock's error does not matter."""
    captured = Captured(true + elapsed + skew, true, elapsed, 40)
    bounded = estimate(captured, true + elapsed + late)
    assert bounded.error_ms is not None
    assert abs(bounded.ms - (true + elapsed)) <= bounded.error_ms


@given(true=TIMES, wall=TIMES, elapsed=st.integers(0, 10**8), late=st.integers(0, 10**9))
def test_after_reboot(true: int, wall: int, elapsed: int, late: int) -> None:
    """After a reboot the true time lies within the bound, whatever the wall clock says."""
    captured_at = true + elapsed
    bounded = estimate(Captured(wall, true, None, 0), captured_at + late)
    assert bounded.error_ms is not None
    assert abs(bounded.ms - captured_at) <= bounded.error_ms


@given(wall=TIMES, received=TIMES)
def test_never_after_receipt(wall: int, received: int) -> None:
    """Nothing was captured after it was received."""
    assert estimate(Captured(wall), received).ms <= received
    assert estimate(Captured(wall, wall, 10**12), received).ms <= received


@given(server=TIMES, wall=TIMES, passed=st.integers(0, 10**8), jump=st.integers(-(10**9), 10**9))
def test_trusted_clock_ignores_wall_jumps(server: int, wall: int, passed: int, jump: int) -> None:
    """Between contacts a device's time follows its monotonic clock."""
    clocks = {"wall": wall, "mono": 5_000}
    clock = TrustedClock(lambda: clocks["wall"], lambda: clocks["mono"], "boot")
    clock.trust(server, 0)
    clocks["wall"] += jump
    clocks["mono"] += passed
    assert clock.now_ms() == server + passed
    assert clock.captured().elapsed_ms == passed


@given(server=TIMES, wall=TIMES, passed=st.integers(0, 10**8))
def test_trusted_clock_after_reboot(server: int, wall: int, passed: int) -> None:
    """After a reboot the known offset of the wall clock is used, and time does not go back before the contact."""
    first = TrustedClock(lambda: wall, lambda: 5_000, "boot 1")
    anchor = first.trust(server, 0)
    second = TrustedClock(lambda: wall + passed, lambda: 0, "boot 2", anchor)
    assert second.now_ms() == server + passed
    assert second.captured().elapsed_ms is None
    backwards = TrustedClock(lambda: wall - 10**9, lambda: 0, "boot 2", anchor)
    assert backwards.now_ms() == server
