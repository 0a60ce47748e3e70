"""The clocks of one simulated phone: wrong, drifting, jumping, restarted."""

import asyncio
import random
from collections.abc import Callable

from client_sdk.clocks import Clocks

_DRIFT_PPM = 50
_SKEWS_MS = (0, 0, 40, -700, 90_000, -200_000, 3_600_000, -86_400_000, 400 * 86_400_000)


class PhoneClock:
    """`true_ms` is what nobody in the field knows."""

    def __init__(self, true_ms: Callable[[], float], rng: random.Random) -> None:
        self._true_ms = true_ms
        self._rng = rng
        self._rate = 1 + rng.uniform(-_DRIFT_PPM, _DRIFT_PPM) / 1e6
        self._skew_ms = rng.choice(_SKEWS_MS)
        self._boots = 0
        self.reboot()

    def reboot(self) -> None:
        """Start the monotonic clock anew, under another boot id."""
        self._boots += 1
        self._booted_ms = self._true_ms()
        self._offset_ms = self._rng.randrange(60_000)

    def jump(self) -> int:
        """Set the wall clock, rightly or wrongly; by how much it is wrong now, in ms."""
        self._skew_ms = self._rng.choice(_SKEWS_MS)
        return self._skew_ms

    def clocks(self) -> Clocks:
        """What the device sees until the next reboot."""
        return Clocks(self._wall_ms, self._monotonic_ms, f"boot-{self._boots}", asyncio.sleep)

    def _wall_ms(self) -> int:
        return int(self._true_ms() + self._skew_ms)

    def _monotonic_ms(self) -> int:
        return int((self._true_ms() - self._booted_ms) * self._rate) + self._offset_ms
