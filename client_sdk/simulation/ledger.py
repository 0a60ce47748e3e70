"""What every phone ever made durable: the other half of each comparison."""

import uuid
from collections.abc import Iterable

import msgspec

from sync.messages import Change


class Made(msgspec.Struct):
    """A change on a phone's disk. `true_ms` is when it was captured; `lost` when the phone and its disk are gone."""

    change: Change
    phone: str
    user: str
    device: uuid.UUID
    true_ms: float
    lost: bool = False


class Ledger:
    """All durable changes of all phones."""

    def __init__(self) -> None:
        self.made: dict[uuid.UUID, Made] = {}

    def note(self, phone: str, user: str, device: uuid.UUID, changes: Iterable[Change], now_ms: float) -> None:
        """Note those of the changes that are new."""
        for change in changes:
            if change.id not in self.made:
                self.made[change.id] = Made(change, phone, user, device, now_ms)

    def lose(self, phone: str) -> None:
        """The phone's disk is gone: what was not sent need not arrive."""
        for one in self.made.values():
            if one.phone == phone:
                one.lost = True

    def of(self, phone: str) -> list[uuid.UUID]:
        """The changes that ought to be on the phone's disk."""
        return [key for key, one in self.made.items() if one.phone == phone and not one.lost]

    def find_again(self, kept: Iterable[uuid.UUID]) -> None:
        """These changes turned out to be on disk still."""
        for key in kept:
            self.made[key].lost = False
