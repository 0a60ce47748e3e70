"""The device's clocks, given from outside so that tests can turn them."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from sync.clock import Milliseconds

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clocks(msgspec.Struct, frozen=True):
    """`wall_ms` may be wrong and may jump; `monotonic_ms` only grows within one `boot`; `sleep` takes seconds."""

    wall_ms: Milliseconds
    monotonic_ms: Milliseconds
    boot: str
    sleep: Callable[[float], Awaitable[None]]


def system_clocks() -> Clocks:
    """The clocks of this machine."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        # A boot that cannot be told from the next one must count as a new one.
        boot = uuid.uuid4().hex
    return Clocks(_wall_ms, _monotonic_ms, boot, asyncio.sleep)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _monotonic_ms() -> int:
    # CLOCK_MONOTONIC stands still while a phone sleeps, CLOCK_BOOTTIME does not.
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    ns = time.monotonic_ns() if boottime is None else time.clock_gettime_ns(boottime)
    return ns // 1_000_000
