"""Push: decide every change a device sends, exactly once, and log the verdict.

One transaction takes the pushes of many devices (group commit is the caller's). A change that is known gets the
verdict it had; a new one is decided (sync.decision).

What devices create, nobody looks for: their numbers say that they send it for the first time. Should it be known all
the same, the store refuses to write it, and the caller pushes again and looks.
"""

import uuid
from collections.abc import Mapping

from field_schemas.registry import Registry
from sync.authority import SERVER, HeldRoles
from sync.clock import DAY_MS
from sync.consequences import shown_to_author
from sync.decision import Decision, Rules, Submission
from sync.draft import Workspace
from sync.errors import SequenceError, SyncError
from sync.ids import by_number, made_on_device
from sync.messages import MAX_INTEGER, Change, PushResponse, Verdict
from sync.storage import LoggedChange, WriteTransaction

OFFLINE_DAYS = 30
"""How long before its receipt a change may have been captured, unless the server is told otherwise."""


async def push(
    tx: WriteTransaction,
    registry: Registry,
    submissions: list[Submission],
    offline_days: int = OFFLINE_DAYS,
    *,
    look: bool = True,
) -> list[PushResponse | SyncError]:
    """Decide and write the submissions, in order; one answer each.

    A change captured more than `offline_days` before its receipt is refused. An answer that is a SyncError means
    that nothing of that submission was taken. Raises what the store raises, and SyncError `server_behind` where a
    newer program wrote a record that is to be changed; then nothing at all was taken. Without `look`, creations that
    are known already raise Collision too: push again with it.
    """
    work = Workspace(tx, registry)
    devices = sorted({submission.actor.device for submission in submissions} - {SERVER.device}, key=by_number)
    held_before = await tx.lock_devices(devices)
    work.sequences = dict(held_before)
    new: list[Change] = []
    others: list[Change] = []
    for submission in submissions:
        (others if look or not _is_new(submission, held_before) else new).extend(submission.changes)
    work.logged = await tx.changes([change.id for change in others])
    fresh = [change for change in others if change.id not in work.logged]
    await work.load({change.record for change in fresh})
    work.suppose_new([change.record for change in new])
    if new or fresh:
        await work.reserve(len(new) + len(fresh))
    epoch = await tx.epoch()
    rules = Rules(registry, offline_days * DAY_MS)
    answers = [await _answer(work, rules, epoch, submission) for submission in submissions]
    if not work.made_all([change.record for change in new]):
        # What was not made after all may exist: then it is judged, by all who met it here, as what it is.
        return await push(tx, registry, submissions, offline_days)
    batch = work.batch()
    if batch.changes or any(batch.sequences[device] != held for device, held in held_before.items()):
        await tx.write(batch)
    return answers


def _is_new(submission: Submission, held: Mapping[uuid.UUID, int]) -> bool:
    """Whether all changes are creations, sent for the first time as far as their numbers say."""
    last = held.get(submission.actor.device, MAX_INTEGER)
    return all(not change.base and change.seq > last for change in submission.changes)


async def _answer(
    work: Workspace, rules: Rules, epoch: uuid.UUID, submission: Submission
) -> PushResponse | SyncError:
    if submission.epoch not in (None, epoch):
        # Its sender may have given up waiting: it asks the new contents what they hold before it sends again.
        return SyncError("epoch_changed", f"the push is for {submission.epoch}, the store is {epoch}")
    device = submission.actor.device
    held = work.sequences.get(device, 0)
    roles = HeldRoles(submission.actor)
    if roles.numbered:
        error = _id_error(work, submission) or _sequence_error(work, submission.changes, held)
        if error:
            return error
    verdicts = []
    for change in submission.changes:
        logged = work.logged.get(change.id)
        if logged is None:
            logged = await Decision(work, rules, roles, change, submission).log()
        held = max(held, change.seq)
        attention = await shown_to_author(work, logged) if logged.attention else None
        verdicts.append(_verdict(logged, change.seq, attention))
    if roles.numbered:
        work.sequences[device] = held
    return PushResponse(epoch, submission.received_ms, held, verdicts)


def _id_error(work: Workspace, submission: Submission) -> SyncError | None:
    for change in submission.changes:
        if not made_on_device(change.id):
            return SyncError("id_invalid", f"change {change.id} is not a UUIDv7")
        logged = work.logged.get(change.id)
        if logged is not None and logged.user != submission.actor.user:
            return SyncError("id_invalid", f"change {change.id} is somebody else's")
    return None


def _sequence_error(work: Workspace, changes: list[Change], held: int) -> SequenceError | None:
    expected = min(changes[0].seq, held + 1) if changes else 0
    for change in changes:
        if change.seq != expected:
            detail = f"sequence {change.seq} came where {expected} was expected; {held} are held"
            return SequenceError("sequence_gap", detail, held + 1)
        if change.seq <= held and change.id not in work.logged:
            detail = f"sequence {change.seq} was used by another change; {held} are held"
            return SequenceError("sequence_reused", detail, held + 1)
        expected += 1
    return None


def _verdict(logged: LoggedChange, seq: int, attention: uuid.UUID | None) -> Verdict:
    return Verdict(logged.id, seq, logged.outcome, logged.version, logged.code, logged.detail, attention)
