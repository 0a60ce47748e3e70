"""The simulation finds what it is there to find: faults planted one by one, each caught within a few seeds."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

import sync.decision
import sync.merge
import sync.push
from client_sdk.simulation.database import Database, SimulatedTransaction
from client_sdk.simulation.run import simulate
from client_sdk.simulation.world import Failure, Scenario
from client_sdk.store import exchanging
from client_sdk.store.outbox import Framed, Outbox
from client_sdk.store.thread import Tables
from field_schemas.access import Role
from field_schemas.policies import Policy
from field_schemas.record import Field
from sync.authority import HeldRoles
from sync.clock import Bounded, Captured, estimate
from sync.merge import FieldMerge, Mark, Write
from sync.storage import LoggedChange, WriteBatch
from sync.visible import Lens

SEEDS = 40
"""A fault must show within so many."""
SCENARIO = Scenario()
Plant = Callable[[pytest.MonkeyPatch], None]


def ignore_commit_order(plant: pytest.MonkeyPatch) -> None:
    """A cursor passes entries of transactions before which others are still open."""
    plant.setattr(Database, "bound", lambda self: self._last_tx + 1)


def apply_retries_again(plant: pytest.MonkeyPatch) -> None:
    """A change sent again is taken for a new one, and happens again."""
    write, changes = SimulatedTransaction.write, SimulatedTransaction.changes

    async def nothing(self: SimulatedTransaction, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, LoggedChange]:
        return {} if self.tx else await changes(self, ids)

    async def write_again(self: SimulatedTransaction, batch: WriteBatch) -> None:
        batch.changes = [change for change in batch.changes if change.id not in self.state.log]
        await write(self, batch)

    plant.setattr(SimulatedTransaction, "changes", nothing)
    plant.setattr(SimulatedTransaction, "write", write_again)
    plant.setattr(sync.push, "_sequence_error", lambda _work, _changes, _held: None)


def keep_what_left(plant: pytest.MonkeyPatch) -> None:
    """A device does not forget what it is told to forget."""
    plant.setattr(exchanging, "_forget", lambda _tables, _ids: 0)


def acknowledge_before_the_disk(plant: pytest.MonkeyPatch) -> None:
    """A commit is answered before it is durable; now and then one is synced late."""

    def sync_late(self: Database) -> None:
        if len(self.commits) % 4 == 0:
            self.durable = self.state

    plant.setattr(Database, "sync", sync_late)


def take_the_older(plant: pytest.MonkeyPatch) -> None:
    """Of two concurrent values the earlier one wins."""

    def merge(_field: Field, _name: str, old: Any, mark: Mark | None, operand: Any, write: Write) -> FieldMerge:
        if mark is not None and write.concurrent_with(mark) and write.beats(mark):
            return FieldMerge(old, None)
        return FieldMerge(operand, write.mark())

    plant.setitem(sync.merge._MERGE, Policy.LAST_WRITER, merge)


def judge_at_arrival(plant: pytest.MonkeyPatch) -> None:
    """A change is judged by the grants that hold when it arrives."""
    plant.setattr(sync.decision, "estimate", _at_arrival)
    over = HeldRoles.over

    def now(self: HeldRoles, scopes: tuple[str, ...], time_ms: int) -> frozenset[Role]:
        return over(self, scopes, _at_arrival.received_ms)

    plant.setattr(HeldRoles, "over", now)


class _Arrival:
    """Estimates as ever, and remembers when the change arrived."""

    received_ms = 0

    def __call__(self, captured: Captured, received_ms: int) -> Bounded:
        self.received_ms = received_ms
        return estimate(captured, received_ms)


_at_arrival = _Arrival()


def lose_outbox_entries(plant: pytest.MonkeyPatch) -> None:
    """Now and then a change is shown, but not put into the outbox."""
    add = Outbox.add

    def forgetful(self: Outbox, framed: Framed) -> None:
        if framed.change.id.int % 5:
            add(self, framed)

    plant.setattr(Outbox, "add", forgetful)


def renumber_nothing(plant: pytest.MonkeyPatch) -> None:
    """When the server expects other numbers, unsent changes are dropped."""

    def drop(tables: Tables, _expected: int) -> None:
        tables.db.execute("DELETE FROM outbox WHERE outcome IS NULL")

    plant.setattr(exchanging, "continue_from", drop)


def send_masked_fields(plant: pytest.MonkeyPatch) -> None:
    """Private fields are sent to everybody who sees the record."""
    plant.setattr(Lens, "masked", lambda _lens, fields: fields)


def reuse_versions(plant: pytest.MonkeyPatch) -> None:
    """Two transactions open at once get the same versions."""
    plant.setattr(Database, "next_versions", lambda self, _count: len(self.commits) * 100 + 1)


FAULTS: Sequence[tuple[Plant, set[str]]] = (
    (ignore_commit_order, {"feeds_only_grow", "copies_are_equal"}),
    (apply_retries_again, {"each_effect_happened_once", "phones_know_their_verdicts", "no_stray_exception"}),
    (keep_what_left, {"copies_are_equal"}),
    (acknowledge_before_the_disk, {"every_change_has_a_verdict"}),
    (take_the_older, {"each_effect_happened_once"}),
    (judge_at_arrival, {"authority_is_as_of_capture"}),
    (lose_outbox_entries, {"comes_to_rest", "copies_are_equal"}),
    (renumber_nothing, {"every_change_has_a_verdict"}),
    (send_masked_fields, {"no_leak"}),
    (reuse_versions, {"numbers_are_used_once"}),
)


@pytest.mark.parametrize(("fault", "invariants"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_planted_fault_is_caught(monkeypatch: pytest.MonkeyPatch, fault: Plant, invariants: set[str]) -> None:
    """The fault breaks an invariant it should break within a bounded number of seeds."""
    fault(monkeypatch)
    _, failure = first_failure()
    assert failure.invariant in invariants


def first_failure() -> tuple[int, Failure]:
    """The first seed that fails, and how."""
    for seed in range(SEEDS):
        if failure := simulate(seed, SCENARIO).failure:
            return seed, failure
    raise AssertionError(f"none of {SEEDS} seeds failed")
