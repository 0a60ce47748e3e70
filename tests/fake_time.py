"""The time of a test, and clocks by it."""

import asyncio

from client_sdk.clocks import Clocks

START_MS = 1_790_000_000_000


class Time:
    """True time of a test, in ms; devices may have their own, wrong, idea of it."""

    def __init__(self) -> None:
        self.ms = START_MS

    def clocks(self, *, wrong_by_ms: int = 0, boot: str = "boot") -> Clocks:
        """The clocks of a device; sleeping lets the time pass at once."""

        async def sleep(seconds: float) -> None:
            self.ms += int(seconds * 1000)
            await asyncio.sleep(0)

        return Clocks(lambda: self.ms + wrong_by_ms, lambda: self.ms - START_MS, boot, sleep)
