"""Faults to be planted in the code under simulation, one at a time."""

import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

import client_sdk.device
import client_sdk.sessions
import client_sdk.simulation.routes
import sync.consequences
import sync.decision
import sync.draft
import sync.merge
import sync.pull
import sync.push
import sync.undo
import sync.visible
from client_sdk.attending import AttendingDevice
from client_sdk.exchange import Exchange
from client_sdk.histories import HistoryItem, UndoResult
from client_sdk.sessions import Sessions
from client_sdk.simulation.database import Database
from client_sdk.simulation.transactions import SimulatedTransaction
from client_sdk.store import exchanging, loading, writing
from client_sdk.store.outbox import Framed, Outbox
from client_sdk.store.thread import Tables
from client_sdk.turn import Turn
from field_schemas.access import Grant, Role
from field_schemas.policies import Policy
from field_schemas.record import Field, RecordType
from sync.authority import Actor, HeldRoles
from sync.clock import Bounded, Captured, estimate
from sync.consequences import Consequences
from sync.cursor import Cursor
from sync.draft import Draft
from sync.errors import SyncError
from sync.forms import record_now
from sync.holders import steps_of
from sync.merge import FieldMerge, Mark, Merged, Write, merge
from sync.snapshot import RecordGroup
from sync.storage import LoggedChange, ReadTransaction, StoredRecord, WriteBatch
from sync.visible import Lens

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


def drop_unsent_work_at_a_reset(plant: pytest.MonkeyPatch) -> None:
    """When the server's contents are read anew, what was not sent yet is dropped with the old copies."""
    start_over = exchanging.start_over

    def drop(tables: Tables, epoch: uuid.UUID | None) -> None:
        tables.db.execute("DELETE FROM outbox WHERE outcome IS NULL")
        start_over(tables, epoch)

    plant.setattr(exchanging, "start_over", drop)


def lose_unknown_fields(plant: pytest.MonkeyPatch) -> None:
    """What an older program does not know is left out of the records it gets."""
    downgraded = RecordType.downgraded

    def known_only(self: RecordType[Any], fields: dict[str, Any], version: int) -> dict[str, Any]:
        return {name: value for name, value in downgraded(self, fields, version).items() if name != "colour"}

    plant.setattr(RecordType, "downgraded", known_only)


def take_old_changes_as_new(plant: pytest.MonkeyPatch) -> None:
    """Changes of older programs are not upgraded."""
    plant.setattr(RecordType, "upgraded", lambda _self, fields, _version: fields)


def show_what_is_stored_as_it_is(plant: pytest.MonkeyPatch) -> None:
    """What an older server stored is not upgraded when it is read."""
    plant.setattr(sync.visible, "record_now", lambda _spec, stored: stored)


def merge_into_what_is_stored_as_it_is(plant: pytest.MonkeyPatch) -> None:
    """What an older server stored is not upgraded when it is changed."""

    def mislabelled(spec: RecordType[Any], stored: StoredRecord) -> StoredRecord:
        return msgspec.structs.replace(stored, type_version=record_now(spec, stored).type_version)

    plant.setattr(sync.draft, "record_now", mislabelled)


def guess_what_newer_servers_stored(plant: pytest.MonkeyPatch) -> None:
    """A server that is older than what is stored takes it for its own."""

    def taken(spec: RecordType[Any], stored: StoredRecord) -> StoredRecord:
        return stored if stored.type_version > spec.version else record_now(spec, stored)

    plant.setattr(sync.visible, "record_now", taken)
    plant.setattr(sync.draft, "record_now", taken)


def apply_what_revoked_devices_send(plant: pytest.MonkeyPatch) -> None:
    """A revoked device's changes are decided like all others."""

    def never_revoked(user: str, device: uuid.UUID, grants: tuple[Grant, ...], *, revoked: bool = False) -> Actor:
        return Actor(user, device, grants)

    plant.setattr(client_sdk.simulation.routes, "Actor", never_revoked)


def wipe_unasked(plant: pytest.MonkeyPatch) -> None:
    """A revoked device forgets everything without having sent what a restored server lacks."""

    async def nothing(_self: Exchange) -> None: ...

    plant.setattr(Exchange, "hand_in", nothing)


def undo_twice(plant: pytest.MonkeyPatch) -> None:
    """An undo is made twice, and neither phone nor server remembers what was undone."""
    undo = AttendingDevice.undo

    async def again(self: AttendingDevice, item: HistoryItem) -> UndoResult:
        await undo(self, item)
        return await undo(self, item)

    plant.setattr(AttendingDevice, "undo", again)
    plant.setattr(writing, "_is_undone", lambda _tables, _write: False)
    plant.setattr(sync.undo, "note_undo", lambda _change, _marks, _write: None)


def leave_conflicts_behind(plant: pytest.MonkeyPatch) -> None:
    """Conflicts and refusals stay where they were made when their record moves."""

    async def nothing(*_: object) -> None: ...

    plant.setattr(Consequences, "take_along", nothing)


def resurrect_what_was_purged(plant: pytest.MonkeyPatch) -> None:
    """A device that was away for longer than deletions are remembered goes on from where it was."""

    cursor = sync.pull._cursor

    async def go_on(tx: ReadTransaction, text: str | None) -> Cursor:
        try:
            return await cursor(tx, text)
        except SyncError as error:
            if error.code != "cursor_expired":
                raise
        return Cursor.decode(text or "")

    plant.setattr(sync.pull, "_cursor", go_on)


def send_masked_fields(plant: pytest.MonkeyPatch) -> None:
    """Private fields are sent to everybody who sees the record."""
    plant.setattr(Lens, "masked", lambda _lens, fields: fields)


def take_what_snapshots_say(plant: pytest.MonkeyPatch) -> None:
    """A snapshot replaces what is newer on the device already."""

    def take(tables: Tables, group: RecordGroup, some: set[bytes]) -> None:
        exchanging.store_records(tables, [wire for wire in group.records() if wire.id.bytes in some])

    plant.setattr(loading, "_take_newer", take)


def reuse_versions(plant: pytest.MonkeyPatch) -> None:
    """Two transactions open at once get the same versions."""
    plant.setattr(Database, "next_versions", lambda self, _count: len(self.commits) * 100 + 1)


def overwrite_later_work(plant: pytest.MonkeyPatch) -> None:
    """An undo sets back what others have set again since."""
    plant.setattr(sync.undo, "overtaken", lambda *_: [])


def hold_undone_work_for_later(plant: pytest.MonkeyPatch) -> None:
    """A change that was taken back and its undo count as later work, so the change before them stays."""
    plant.setattr(sync.undo, "steps_of", lambda spec, history, _undos: steps_of(spec, history, {}))


def correct_as_seen_now(plant: pytest.MonkeyPatch) -> None:
    """What is sent again as it was refused counts as set in sight of what stands now."""

    def merged(
        spec: RecordType[Any],
        draft: Draft,
        _refused: LoggedChange,
        patch: Mapping[str, Any],
        write: Write,
        _later: object,
    ) -> Merged:
        return merge(spec, draft.fields, draft.marks, patch, write)

    plant.setattr(sync.decision, "merge_corrected", merged)


def settle_without_consequence(plant: pytest.MonkeyPatch) -> None:
    """A resolution closes its conflict, and its values are set nowhere."""
    plant.setattr(sync.consequences, "resolution_of", lambda _before, _after: {})


def tell_nobody_of_conflicts(plant: pytest.MonkeyPatch) -> None:
    """What people should decide stays as it is, and nobody hears of the other value."""

    def merge_silently(
        _field: Field, _name: str, old: Any, mark: Mark | None, operand: Any, write: Write
    ) -> FieldMerge:
        stays = operand == old or write.concurrent_with(mark)
        return FieldMerge(old, None) if stays else FieldMerge(operand, write.mark())

    plant.setitem(sync.merge._MERGE, Policy.REVIEW, merge_silently)


def lose_sight_of_own_work(plant: pytest.MonkeyPatch) -> None:
    """At the end of a pull own work goes out of sight that the server took and holds back from readers yet."""
    plant.setattr(exchanging, "_left_out", lambda _tables, _page: ())


def drop_unsent_work_at_sign_out(plant: pytest.MonkeyPatch) -> None:
    """Who signs out leaves nothing to be sent."""
    end = Sessions._end

    def drop(self: Sessions, tables: Tables) -> None:
        tables.db.execute("DELETE FROM outbox WHERE outcome IS NULL")
        end(self, tables)

    plant.setattr(Sessions, "_end", drop)


def stay_signed_in(plant: pytest.MonkeyPatch) -> None:
    """Signing out tells the server at best, and leaves the tokens."""
    plant.setattr(Sessions, "_end", lambda _self, _tables: None)


def let_others_sign_in_over_unsent_work(plant: pytest.MonkeyPatch) -> None:
    """A store passes on whatever waits in it."""
    for module in (client_sdk.device, client_sdk.sessions):
        plant.setattr(module, "refuse_unsent", lambda _tables, _identity: None)


def leave_copies_to_the_next_user(plant: pytest.MonkeyPatch) -> None:
    """A store passes on with the records in it."""
    wipe = Tables.wipe

    def keep(self: Tables) -> None:
        records = self.db.execute("SELECT * FROM records").fetchall()
        wipe(self)
        for row in records:
            self.db.execute(f"INSERT INTO records VALUES ({', '.join('?' * len(row))})", row)

    plant.setattr(Tables, "wipe", keep)


def leave_the_cursor_to_the_next_user(plant: pytest.MonkeyPatch) -> None:
    """A store passes on with the place up to which it had read."""
    wipe = Tables.wipe

    def keep(self: Tables) -> None:
        progressed = self.meta.progressed
        wipe(self)
        self.meta.progressed = progressed

    plant.setattr(Tables, "wipe", keep)


def let_syncs_go_on_for_the_next_user(plant: pytest.MonkeyPatch) -> None:
    """Who signs in, or out, in the middle of a sync does not end it."""

    @asynccontextmanager
    async def beside(_self: Turn) -> AsyncGenerator[None, None]:
        yield

    plant.setattr(Turn, "replace", beside)
