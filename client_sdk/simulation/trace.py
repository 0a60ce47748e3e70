"""What happened in a run: one line an event."""

import hashlib
import uuid
from collections.abc import Callable
from typing import NamedTuple

from field_schemas.record import Record, type_of


class Line(NamedTuple):
    """One event: virtual ms since the start, who, what."""

    ms: int
    actor: str
    event: str

    def __str__(self) -> str:
        seconds, ms = divmod(self.ms, 1000)
        minutes, second = divmod(seconds, 60)
        hours, minute = divmod(minutes, 60)
        return f"{hours:4}:{minute:02}:{second:02}.{ms:03}  {self.actor:<10} {self.event}"


class Trace:
    """All events of a run."""

    def __init__(self, elapsed_ms: Callable[[], int]) -> None:
        self._elapsed_ms = elapsed_ms
        self.lines: list[Line] = []

    def say(self, actor: str, event: str) -> None:
        """Note an event."""
        self.lines.append(Line(self._elapsed_ms(), actor, event))

    def digest(self) -> str:
        """A text that differs when any event does."""
        whole = "\n".join(str(line) for line in self.lines)
        return hashlib.sha256(whole.encode()).hexdigest()


def named(record: Record) -> str:
    """A record's type and short id."""
    return f"{type_of(type(record)).name} {short(record.id)}"


def short(key: uuid.UUID) -> str:
    """The part of an id that tells it apart in a trace."""
    return key.hex[-6:]
