"""Time-ordered ids (RFC 9562)."""

import operator
import uuid
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]
_VERSION = 7
_VARIANT = 0b10

by_number = operator.attrgetter("int")
"""Sort key of ids; comparing UUIDs themselves runs Python code for each pair."""


def uuid7(time_ms: int, random_bytes: RandomBytes) -> uuid.UUID:
    """A UUIDv7 for `time_ms` (UTC ms since 1970), its other 74 bits from `random_bytes`."""
    tail = int.from_bytes(random_bytes(10), "big")
    value = (time_ms & (1 << 48) - 1) << 80 | tail
    value = value & ~(0xF << 76) | _VERSION << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | _VARIANT << 62)


def made_on_device(made: uuid.UUID) -> bool:
    """Whether this is a UUIDv7, as devices make them; the server derives its own, of other kinds, from theirs."""
    # Asking for `version` and `variant` runs Python code, each several times the work of this.
    return made.int >> 76 & 0xF == _VERSION and made.int >> 62 & 0x3 == _VARIANT


def derived_id(parent: uuid.UUID, purpose: str) -> uuid.UUID:
    """The one id that follows from `parent` for `purpose`, so that repeated work makes nothing twice."""
    return uuid.uuid5(parent, purpose)
