"""What must hold of the database while the run goes on: at each commit, and whenever records leave for a device."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import msgspec

from client_sdk.simulation.accounts import Session
from client_sdk.simulation.database import Commit
from client_sdk.simulation.past import Past
from client_sdk.simulation.programs import NEWEST, as_known
from client_sdk.simulation.sight import seen_by
from client_sdk.simulation.trace import short
from client_sdk.simulation.transactions import SimulatedTransaction
from field_schemas.access import Grant
from sync.memory import State
from sync.messages import WireRecord
from sync.storage import FeedEntry, FeedPosition


class Surroundings(Protocol):
    """What the watch needs of the world."""

    past: Past

    def now_ms(self) -> int:
        """True UTC ms."""

    def say(self, actor: str, event: str) -> None:
        """Note an event."""

    def violated(self, invariant: str, what: str) -> None:
        """Note that an invariant does not hold."""


class DatabaseWatch:
    """`acknowledged` are the changes that were ever committed, `restored_away` those that a restore lost, `given` the
    records that were ever sent to a device."""

    def __init__(self, world: Surroundings) -> None:
        self.acknowledged: set[uuid.UUID] = set()
        self.restored_away: set[uuid.UUID] = set()
        self.given: defaultdict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
        self._world = world
        self._passed: dict[str, FeedPosition] = {}

    def on_commit(self, commit: Commit) -> None:
        """Note what a transaction wrote, and hold it against what was there and what was read."""
        for batch in commit.batches:
            self._world.past.note(batch.records, self._world.now_ms())
            told = ", ".join(f"{change.type} {short(change.record)} {change.outcome}" for change in batch.changes)
            self._world.say("database", f"commits {commit.tx}: {told or 'no change'}")
            self.acknowledged.update(change.id for change in batch.changes)
            for change in batch.changes:
                if change.id in commit.before.log:
                    self._world.violated("verdicts_never_change", f"change {change.id} was decided twice")
            for row in batch.feed_added:
                position = FeedPosition(row.tx, row.version)
                if position <= self._passed.get(row.feed, FeedPosition()):
                    self._world.violated("feeds_only_grow", f"{row.feed}: {position} came after a reader")

    def on_read(self, feed: str, entries: Sequence[FeedEntry]) -> None:
        """Note how far a feed was read."""
        if entries:
            self._passed[feed] = max(self._passed.get(feed, FeedPosition()), entries[-1].position)

    def on_delivery(
        self,
        session: Session,
        grants: tuple[Grant, ...],
        now_ms: int,
        records: list[WireRecord],
        tx: SimulatedTransaction,
    ) -> None:
        """Hold what is sent to a device against what its user may see at this moment."""
        self.given[session.device].update(wire.id for wire in records)
        for wire in records:
            record = tx.state.records[wire.id]
            if wire.version != record.version:
                told = f"{record.type} {short(record.id)} stands at {record.version}"
                self._world.violated("pages_are_current", f"{told} and was sent to {session.user} as {wire.version}")
            allowed = seen_by(NEWEST.registry, session.user, grants, now_ms, record)
            if allowed is None:
                self._world.violated("no_leak", f"{record.type} {short(record.id)} was sent to {session.user}")
                continue
            sent = msgspec.msgpack.decode(wire.fields, type=dict[str, object])
            if more := sent.keys() - allowed.keys() - as_known(record.type, allowed, 1).keys():
                self._world.violated("no_leak", f"{record.type}.{', '.join(sorted(more))} was sent to {session.user}")

    def on_restore(self, before: State, after: State) -> None:
        """Note that the contents go back from `before` to `after`."""
        self.restored_away |= before.log.keys() - after.log.keys()
        self._world.past.rewind(before, after, self._world.now_ms())
        self._passed.clear()
