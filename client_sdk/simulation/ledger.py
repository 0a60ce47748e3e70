"""What every phone ever made durable, and what it was told: the other half of each comparison."""

import uuid
from collections.abc import Iterable, Iterator

import msgspec

from client_sdk.simulation.trace import short
from client_sdk.store.thread import Tables
from sync.cursor import Cursor
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


class CursorWatch:
    """Follows the cursor one phone keeps; `look` says what moved back."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._cursor: Cursor | None = None

    def forget(self) -> None:
        """The store was replaced by an older one."""
        self._text = self._cursor = None

    def look(self, tables: Tables) -> str | None:
        """The views whose position is smaller than before, None if there are none."""
        text = tables.meta.progressed.cursor
        if text is None:
            # The device begins from the start, of its own will.
            self.forget()
        if text is None or text == self._text:
            return None
        before, self._text = self._cursor, text
        self._cursor = after = Cursor.decode(text)
        if before is None or before.epoch != after.epoch:
            return None
        for view, old in before.views.items():
            new = after.views.get(view)
            if new is not None and new.roles == old.roles and new.position < old.position:
                return f"{view}: {old.position} -> {new.position}"
        return None


class CopyWatch:
    """Follows the server's copies on one phone; `look` says which went back to an older version of their record.

    Only versions of the same contents can be compared: of those that a restore did not replace.
    """

    def __init__(self) -> None:
        self._writes: int | None = None
        self._contents: int | None = None
        self._versions: dict[uuid.UUID, int] = {}

    def forget(self) -> None:
        """The store was replaced by an older one, or what the server tells is older than what it told before."""
        self._writes = self._contents = None

    def look(self, tables: Tables) -> Iterator[str]:
        """What is older than before."""
        writes = tables.db.total_changes
        if writes == self._writes:
            return
        contents = tables.meta.progressed.replaced
        select = "SELECT id, version FROM records WHERE version > 0 AND round >= ?"
        rows = tables.db.execute(select, (contents,))
        versions = {uuid.UUID(bytes=record): version for record, version in rows}
        before = self._versions if contents == self._contents else {}
        self._writes, self._contents, self._versions = writes, contents, versions
        for record, version in versions.items():
            if version < before.get(record, 0):
                yield f"{short(record)} was here at version {before[record]} and is at {version}"
