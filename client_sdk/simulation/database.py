"""A database with the concurrency of PostgreSQL, shared by all server processes: what is committed, what is on disk,
and which transactions are open, with a horizon and commits in any order.

How its promises are kept is as in docs/decisions/0002-gap-free-cursor.md.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from client_sdk.simulation.locks import RowLocks
from field_schemas.access import Grant
from sync.memory import State
from sync.storage import FeedEntry, FeedPosition, FeedRow, WriteBatch

_SKIPPED = 10_000
"""Versions left out after a restore, so that none is given twice."""


class Commit(msgspec.Struct, frozen=True):
    """One transaction that has committed: its number, what it wrote, and the contents before and after."""

    tx: int
    batches: tuple[WriteBatch, ...]
    before: State
    after: State


class Writer(Protocol):
    """A writing transaction: its number and horizon, whether its connection lives, and what it has written."""

    tx: int
    bound: int
    alive: bool
    written: list[WriteBatch]

    @property
    def state(self) -> State:
        """What it sees now."""


class Database:
    """The shared contents. `state` is what is committed, `durable` what a crash leaves."""

    def __init__(self, epoch: uuid.UUID) -> None:
        self.state = self.durable = State(epoch)
        self.grants: dict[str, tuple[Grant, ...]] = {}
        self.commits: list[Commit] = []
        self.on_commit: Callable[[Commit], None] = lambda _commit: None
        self.on_read: Callable[[str, Sequence[FeedEntry]], None] = lambda _key, _entries: None
        self.locks = RowLocks()
        self._open: dict[int, Writer] = {}
        self._last_tx = 0
        self._last_version = 0

    def bound(self) -> int:
        """No transaction below this number is still open, or ever will be."""
        return min(self._open, default=self._last_tx + 1)

    def begin(self, transaction: Writer) -> None:
        """Number a writing transaction, and set its horizon."""
        self._last_tx += 1
        transaction.tx = self._last_tx
        self._open[transaction.tx] = transaction
        transaction.bound = self.bound()

    def next_versions(self, count: int) -> int:
        """The first of `count` versions that nobody else gets, whatever becomes of the transaction."""
        first = self._last_version + 1
        self._last_version += count
        return first

    def commit(self, transaction: Writer) -> None:
        """Make visible and durable what the transaction wrote."""
        commit = Commit(transaction.tx, tuple(transaction.written), self.state, transaction.state)
        self.state = commit.after
        self.commits.append(commit)
        self.sync()
        self.end(transaction)
        self.on_commit(commit)

    def sync(self) -> None:
        """Bring what is committed to disk."""
        self.durable = self.state

    def end(self, transaction: Writer) -> None:
        """Forget a transaction; what it wrote without a commit never was."""
        transaction.alive = False
        if self._open.pop(transaction.tx, None) is not None:
            self.locks.release(transaction.tx)

    def skip_versions(self, count: int) -> None:
        """Never give the next `count` versions."""
        self._last_version += count

    def crash(self) -> None:
        """Lose the power: open transactions end, and what is not durable is gone."""
        for transaction in tuple(self._open.values()):
            self.end(transaction)
        self.state = self.durable
        while self.commits and self.commits[-1].after is not self.durable:
            self.commits.pop()

    def restore(self, backup: State, epoch: uuid.UUID) -> None:
        """Lose everything since `backup`, a state of before, and begin a new epoch with it."""
        self.durable = backup
        self.crash()
        self.state = self.durable = renewed(backup, epoch)
        self.commits.append(Commit(self._last_tx, (), backup, self.state))
        self.skip_versions(_SKIPPED)


def renewed(state: State, epoch: uuid.UUID) -> State:
    """The contents under a new identity, all positions in transaction 0."""
    rows = [msgspec.structs.replace(row, tx=0) for feed in state.feeds.values() for row in feed.values()]
    feeds: dict[str, dict[FeedPosition, FeedRow]] = {}
    for row in rows:
        feeds.setdefault(row.feed, {})[FeedPosition(0, row.version)] = row
    records = {key: msgspec.structs.replace(record, tx=0) for key, record in state.records.items()}
    return msgspec.structs.replace(state, epoch=epoch, purged=FeedPosition(), records=records, feeds=feeds)
