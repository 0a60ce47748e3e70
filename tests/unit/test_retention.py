"""Which device deletions are remembered for."""

import uuid

import pytest

from server.accounts.devices import NOTED_EVERY_MS, Device, noting_due
from server.retention import read_until, slowest_device
from sync.storage import FeedPosition

IDLE_BEFORE = 1_000


def device(number: int, read: tuple[int, int] | None = None, **changed: int | None) -> Device:
    """An enrolled device that was seen lately, unless `changed` says otherwise."""
    times: dict[str, int | None] = {"enrolled_ms": 0, "revoked_ms": None, "seen_ms": 2_000}
    known = times | changed
    return Device(
        uuid.UUID(int=number),
        "li",
        b"",
        "phone",
        None,
        known["enrolled_ms"] or 0,
        known["revoked_ms"],
        known["seen_ms"],
        *(read or (None, None)),
    )


def test_the_one_that_has_read_least() -> None:
    """Positions are compared by transaction, then by version."""
    devices = [device(1, (5, 1)), device(2, (4, 9)), device(3, (4, 8))]
    assert slowest_device(devices, IDLE_BEFORE) == devices[2]


def test_nobody_to_wait_for() -> None:
    """Where no device is enrolled nothing is held back."""
    assert slowest_device([], IDLE_BEFORE) is None


@pytest.mark.parametrize("changed", [{"revoked_ms": 1_500}, {"seen_ms": IDLE_BEFORE}, {"seen_ms": None}])
def test_devices_that_are_not_waited_for(changed: dict[str, int | None]) -> None:
    """Not waited for: revoked devices, those not seen for long, those enrolled long ago that never pulled."""
    other = device(2, (9, 9))
    assert slowest_device([device(1, (1, 1), **changed), other], IDLE_BEFORE) == other


def test_a_new_device_is_waited_for() -> None:
    """A device enrolled lately that has not pulled yet has read nothing."""
    new = device(1, seen_ms=None, enrolled_ms=1_500)
    assert slowest_device([device(2, (1, 1)), new], IDLE_BEFORE) == new
    assert read_until(new) == FeedPosition()


@pytest.mark.parametrize(("seen_ms", "due"), [(None, True), (0, True), (1, False)])
def test_when_reading_is_noted(seen_ms: int | None, due: bool) -> None:
    """What a device has read is noted at its first pull and an hour after the last time."""
    assert noting_due(seen_ms, NOTED_EVERY_MS) is due
