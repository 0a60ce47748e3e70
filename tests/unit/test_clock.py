"""Stamps only grow; true times keep their bounds."""

from hypothesis import example, given
from hypothesis import strategies as st

from sync.clock import DRIFT_PPM, Captured, HybridClock, TrustedClock, estimate, stamp_at, stamp_ms
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


class TurnedClocks:
    """A phone's clocks beside the true time; its monotonic clock runs wrong by `ppm`."""

    def __init__(self, true: int, ppm: int) -> None:
        self.true = true
        self._began = true
        self._ppm = ppm

    def wall(self) -> int:
        return self._began - 10**9

    def monotonic(self) -> int:
        passed = self.true - self._began
        return 5_000 + passed + passed * self._ppm // 1_000_000

    def contact(self, clock: TrustedClock, there_ms: int, back_ms: int) -> None:
        """Ask the server, whose time is read after `there_ms` and arrives `back_ms` later."""
        began = self.monotonic()
        self.true += there_ms
        told = self.true
        self.true += back_ms
        clock.trust(told, self.monotonic() - began)


WAYS = st.one_of(st.integers(0, 200), st.integers(0, 300_000))
CONTACTS = st.lists(st.tuples(st.integers(0, 10**7), WAYS, WAYS), min_size=1, max_size=8)


def told_by(phone: TurnedClocks) -> TrustedClock:
    """The trusted clock of a phone that has not met the server yet."""
    return TrustedClock(phone.wall, phone.monotonic, "boot")


def wrong_by(clock: TrustedClock, true: int) -> tuple[int, int]:
    """How far a capture made at `true` is off, and its bound."""
    bounded = estimate(clock.captured(), true)
    assert bounded.error_ms is not None
    return abs(bounded.ms - true), bounded.error_ms


@example(true=1_790_000_000_000, ppm=1 - DRIFT_PPM, contacts=[(0, 0, 300_000)], after=0)
@given(true=TIMES, ppm=st.integers(-DRIFT_PPM + 1, DRIFT_PPM - 1), contacts=CONTACTS, after=st.integers(0, 10**7))
def test_the_true_time_lies_within_the_bound(
    true: int, ppm: int, contacts: list[tuple[int, int, int]], after: int
) -> None:
    """After any contacts, short and long, one-sided and after any rest, the true time lies within the bound."""
    phone = TurnedClocks(true, ppm)
    clock = told_by(phone)
    for rest, there, back in contacts:
        phone.true += rest
        phone.contact(clock, there, back)
        error, bound = wrong_by(clock, phone.true)
        assert error <= bound
    phone.true += after
    error, bound = wrong_by(clock, phone.true)
    assert error <= bound


@given(true=TIMES, contacts=CONTACTS)
def test_a_contact_never_makes_the_bound_worse(true: int, contacts: list[tuple[int, int, int]]) -> None:
    """Each contact leaves a bound that is no wider than it was, nor than what the contact alone would give."""
    phone = TurnedClocks(true, 0)
    clock = told_by(phone)
    for rest, there, back in contacts:
        phone.true += rest
        before = wrong_by(clock, phone.true + there + back)[1] if clock.anchor else None
        phone.contact(clock, there, back)
        alone = told_by(phone)
        alone.trust(phone.true, there + back)
        bound = wrong_by(clock, phone.true)[1]
        assert bound <= wrong_by(alone, phone.true)[1]
        # What passed meanwhile is rounded up once more.
        assert before is None or bound <= before + 1 + (there + back) * DRIFT_PPM // 1_000_000 + 1


def test_a_server_whose_time_was_set_right_is_believed() -> None:
    """An answer that no bound can bring together with what was known counts, however long it took."""
    phone = TurnedClocks(1_790_000_000_000, 0)
    clock = told_by(phone)
    phone.contact(clock, 5, 5)
    clock.trust(phone.true - 3_600_000, 20_000)
    assert abs(clock.now_ms() - (phone.true - 3_600_000)) <= 10_001


def test_a_long_contact_counts_as_the_last_one() -> None:
    """After a reboot a capture is no earlier than the last contact, although the time is an earlier one's."""
    phone = TurnedClocks(1_790_000_000_000, 0)
    clock = told_by(phone)
    phone.contact(clock, 5, 5)
    phone.true += 3_600_000
    phone.contact(clock, 10_000, 10_000)
    rebooted = TrustedClock(phone.wall, lambda: 0, "another boot", clock.anchor)
    bounded = estimate(rebooted.captured(), phone.true + 1_000)
    assert bounded.error_ms is not None
    assert bounded.error_ms <= 2_000
