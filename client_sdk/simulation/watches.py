"""What must hold of a phone's store from one transaction to the next."""

import uuid
from collections.abc import Iterable, Iterator, Set
from typing import Protocol

from client_sdk.identity import Identity
from client_sdk.simulation.database_watch import DatabaseWatch
from client_sdk.simulation.ledger import Ledger
from client_sdk.simulation.past import Past
from client_sdk.simulation.programs import NEWEST
from client_sdk.simulation.told import ToldWatch
from client_sdk.simulation.trace import short
from client_sdk.store.thread import Tables
from sync.cursor import Cursor


class Surroundings(Protocol):
    """What the watch over a phone's store needs of the world."""

    ledger: Ledger
    past: Past
    watch: DatabaseWatch
    restored_ms: float

    def true_ms(self) -> float:
        """What no clock of a phone shows exactly."""

    def violated(self, invariant: str, what: str) -> None:
        """Note that an invariant does not hold."""

    def on_wiped(self, phone: str, since_ms: float) -> None:
        """Note that a phone has emptied itself in a sync that began at `since_ms`."""

    def on_passed_on(self, phone: str) -> None:
        """Note that a phone's store has passed to another user."""


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


class UnsentWatch:
    """Follows the work that waits on one phone; `look` says what went away unsent."""

    def __init__(self) -> None:
        self._waiting: set[uuid.UUID] = set()

    def forget(self) -> None:
        """The store was replaced by an older one."""
        self._waiting = set()

    def look(self, tables: Tables, waiting: Iterable[uuid.UUID]) -> Iterator[str]:
        """What waited before, and neither waits nor has a verdict; `waiting` is what does."""
        before, self._waiting = self._waiting, set(waiting)
        for change in before - self._waiting:
            if tables.outbox.find(change) is None:
                yield f"change {short(change)} is gone, and was not sent"


class PassWatch:
    """Follows whose store it is; `look` says what of one user's was left to the next."""

    def __init__(self) -> None:
        self._identity: Identity | None = None

    def forget(self) -> None:
        """The store was replaced by an older one, perhaps another user's."""
        self._identity = None

    def passed(self, identity: Identity) -> bool:
        """Whether the store has just passed from one user to another, who is on the device `identity`."""
        before, self._identity = self._identity, identity
        return before is not None and before.user is not None and before.user != identity.user

    def look(self, tables: Tables) -> Iterator[str]:
        """What a store that has just passed on still holds."""
        for table in ("records", "outbox", "search"):
            (count,) = tables.db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 constants above
            if count:
                yield f"{count} rows of {table}"
        progressed = tables.meta.progressed
        if progressed.cursor or progressed.scopes or tables.meta.loading is not None:
            yield "how far it had read"
        if tables.meta.receipt is not None:
            yield "a receipt"


class GivenWatch:
    """Follows which records are on one phone; `look` says which of them the server gave to others alone."""

    def __init__(self) -> None:
        self._writes: int | None = None

    def look(self, tables: Tables, given: Set[uuid.UUID]) -> Iterator[str]:
        """What is here and is not among what was `given` to this device."""
        writes = tables.db.total_changes
        if writes == self._writes:
            return
        self._writes = writes
        for (record,) in tables.db.execute("SELECT id FROM records WHERE version > 0"):
            if (key := uuid.UUID(bytes=record)) not in given:
                yield f"{short(key)} is here and was not sent here"


class StoreWatch:
    """All that is watched of one phone's store. `user` is whose it was last; `from_backup` says that it grew from
    an old copy."""

    def __init__(self, name: str, world: Surroundings) -> None:
        self.user: str | None = None
        self.from_backup = False
        self._name = name
        self._world = world
        self._passes = PassWatch()
        self._unsent = UnsentWatch()
        self._given = GivenWatch()
        self._cursor = CursorWatch()
        self._copies = CopyWatch()
        self._told = ToldWatch(NEWEST.registry, world.past, lambda change: world.ledger.made[change].change)

    def replaced(self) -> None:
        """Another store, or none, takes the place of the one that was watched."""
        self._passes.forget()
        self._unsent.forget()
        self._forget_copies()

    def look(self, tables: Tables, program: int, since_ms: float) -> None:
        """After a transaction: what is on disk now? `program` is the version that the phone runs, `since_ms` when
        the oldest sync under way began."""
        identity = tables.meta.identity
        if identity is None:
            return
        pending = [row.change for row in tables.outbox.pending()]
        self._hold("unsent_work_stays", self._unsent.look(tables, [change.id for change in pending]))
        if self._passes.passed(identity):
            self._hold("leaves_nothing_to_others", self._passes.look(tables))
            self._forget_copies()
            self.from_backup = False
            if identity.user is None:
                self._world.on_wiped(self._name, since_ms)
            else:
                self._world.on_passed_on(self._name)
        self._hold("holds_only_what_was_given", self._given.look(tables, self._world.watch.given[identity.device]))
        self.user = identity.user
        if identity.user is not None:
            self._world.ledger.note(self._name, identity.user, identity.device, pending, self._world.true_ms())
            self._look_at_copies(tables, identity.user, program, since_ms)

    def _look_at_copies(self, tables: Tables, user: str, program: int, since_ms: float) -> None:
        if moved := self._cursor.look(tables):
            self._hold("cursor_never_moves_back", [moved])
        if self._world.restored_ms >= since_ms:
            self._copies.forget()
        self._hold("copies_never_go_back", self._copies.look(tables))
        if self.from_backup and self._world.restored_ms:
            # Of two old copies neither knows what became of a change between them.
            return
        told = self._told.look(tables, user, program, int(since_ms), int(self._world.true_ms()))
        self._hold("told_is_shown", told)

    def _hold(self, invariant: str, findings: Iterable[str]) -> None:
        for what in findings:
            self._world.violated(invariant, f"{self._name}: {what}")

    def _forget_copies(self) -> None:
        self._cursor.forget()
        self._copies.forget()
        self._told.replaced()
