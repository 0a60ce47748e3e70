"""An event loop in virtual time: no sockets, no threads, no waiting; time jumps to the next timer."""

import asyncio
from collections.abc import Callable
from typing import Any

_RESOLUTION_S = 1e-6


class Stalled(Exception):
    """Everybody waits and no timer is set: nothing can ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order they were scheduled; `time` starts at 0 s."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = _RESOLUTION_S
        self._selector = _Jump(self._advance)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There are no other threads to be woken by."""


class _Jump:
    """Stands where a selector would wait for sockets."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stalled
        self._advance(timeout)
        return []
