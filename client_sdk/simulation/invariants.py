"""What must hold when all have come to rest: one small function each, which names what is wrong."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from client_sdk.simulation.phone import Phone
from client_sdk.simulation.programs import as_known, as_newest
from client_sdk.simulation.replay import Replay
from client_sdk.simulation.sight import seen_by
from client_sdk.simulation.trace import short
from client_sdk.simulation.world import World
from sync.authority import SERVER_USER
from sync.ids import derived_id
from sync.messages import Outcome
from sync.receipts import CHAIN_START, chained
from sync.storage import LoggedChange

_SLACK_MS = 5
"""Clocks count whole milliseconds, on both sides."""
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
Finding = Iterator[str]


def every_change_has_a_verdict(world: World) -> Finding:
    """What a phone made durable is in the log, and nothing else is.

    Only what no phone holds any more may be missing: it was never acknowledged, and went with its phone, or it was,
    and then went with the database as well.
    """
    log = world.database.state.log
    held = {row.change.id: phone.name for phone in world.phones for row in phone.tables.outbox.all()}
    for key, made in world.ledger.made.items():
        named = f"change {short(key)} of {made.phone} ({made.change.type} {short(made.change.record)})"
        if key in log:
            continue
        if key in held:
            yield f"{named} is on {held[key]}, but not in the log"
        elif not made.lost:
            yield f"{named} is nowhere"
        elif key in world.acknowledged - world.restored_away:
            yield f"{named} was acknowledged and is gone"
    for key, change in log.items():
        if not _by_server(change) and key not in world.ledger.made:
            yield f"change {short(key)} of {change.user} was never made"


def numbers_are_used_once(world: World) -> Finding:
    """No two changes of a device carry one sequence number, no two writes one version."""
    log = world.database.state.log.values()
    sequences = Counter((change.device, change.seq) for change in log if not _by_server(change))
    yield from (
        f"{count} changes of {device} are number {seq}" for (device, seq), count in sequences.items() if count > 1
    )
    versions = Counter(change.version for change in log if change.outcome is not Outcome.REFUSED)
    yield from (f"{count} writes made version {version}" for version, count in versions.items() if count > 1)
    yield from (
        f"refused change {short(change.id)} made version {change.version}"
        for change in _refused(world)
        if change.version
    )


def each_effect_happened_once(world: World) -> Finding:
    """Records are what the log makes of them, change by change, by the words of the policies."""
    replay = _replayed(world)
    records = world.database.state.records
    for key, model in replay.models.items():
        stored = records.get(key)
        if stored is None:
            yield f"{model.spec.name} {short(key)} is not stored"
            continue
        fields = as_newest(stored.type, _decode(stored.fields), stored.type_version)
        purged = stored.deleted and not fields
        for name in sorted(() if purged else fields.keys() | model.fields.keys()):
            if fields.get(name) != model.fields.get(name):
                is_, ought = fields.get(name), model.fields.get(name)
                yield f"{stored.type} {short(key)}.{name} is {is_!r}, the log makes it {ought!r}"
        if sorted(stored.scopes) != sorted(set(model.scopes())):
            yield f"{stored.type} {short(key)} lies in {stored.scopes}, its fields say {model.scopes()}"
        if stored.deleted != model.deleted:
            yield f"{stored.type} {short(key)} is {'' if stored.deleted else 'not '}deleted"
    yield from (
        f"{stored.type} {short(key)} came from nowhere" for key, stored in records.items() if key not in replay.models
    )


def verdicts_say_what_happened(world: World) -> Finding:
    """A verdict says `conflict` where people must decide, `merged` where concurrent writes were combined."""
    yield from _replayed(world).misjudged


def decisions_were_carried_out(world: World) -> Finding:
    """What closed a conflict or refusal did what it says, in the same transaction."""
    state = world.database.state
    refused = {change.attention: change for change in _refused(world)}
    for change in state.log.values():
        if change.type not in ("conflict", "refusal") or _decode(change.before).get("state") != "open":
            continue
        about = _decode(state.records[change.record].fields)
        wanted, version = _decode(change.fields).get("resolution", {}), about.get("type_version", 1)
        if _decode(change.fields)["state"] == "applied":
            wanted, version = _decode(refused[change.record].fields), refused[change.record].type_version
        done = state.log.get(derived_id(change.id, "resolution"))
        if wanted and (done is None or as_newest(about["record_type"], wanted, version) != _set_by(done)):
            yield f"{change.type} {short(change.record)} is settled, but {wanted} was not set"


def undone_once(world: World) -> Finding:
    """No change is taken back twice: by an undo, or by an undo that was refused and then applied."""
    state, made = world.database.state, world.ledger.made
    undone = Counter(
        str(made[key].change.undoes)
        for key, change in state.log.items()
        if key in made and made[key].change.undoes and change.outcome is not Outcome.REFUSED
    )
    refusals = (_decode(record.fields) for record in state.records.values() if record.type == "refusal")
    undone.update(one["undoes"] for one in refusals if one.get("undoes") and one["state"] == "applied")
    yield from (f"change {one[-6:]} was taken back {count} times" for one, count in undone.items() if count > 1)


def authority_is_as_of_capture(world: World) -> Finding:
    """Changes are permitted or refused by the grants that held when they were captured."""
    yield from _replayed(world).complaints


def revoked_devices_are_quarantined(world: World) -> Finding:
    """Nothing a device sends after it was revoked is applied, nothing it sent before is quarantined."""
    for change in world.database.state.log.values():
        revoked = world.accounts.is_revoked(change.device, change.received_ms)
        if revoked and change.outcome is not Outcome.REFUSED:
            yield f"change {short(change.id)} of a revoked device is {change.outcome}"
        if change.code == "device_quarantined" and not revoked:
            yield f"change {short(change.id)} is quarantined, its device is not revoked"


def receipts_are_true(world: World) -> Finding:
    """Each phone's receipt vouches for its first changes, with the verdicts that the log has."""
    log = world.database.state.log
    for phone in world.phones:
        kept = phone.tables.meta.receipt
        if kept is None:
            continue
        changes = [row.change.id for row in phone.tables.outbox.all()][: kept.receipt.held]
        unknown = [one for one in changes if one not in log]
        chain = chained(CHAIN_START, ((one, log[one].outcome) for one in changes if one in log))
        if unknown or len(changes) < kept.receipt.held or chain != kept.receipt.chain:
            yield f"{phone.name} has a receipt for {kept.receipt.held} changes that the log contradicts"


def capture_times_are_bounded(world: World) -> Finding:
    """The estimated time of capture is wrong by no more than it says."""
    for change in world.database.state.log.values():
        made = world.ledger.made.get(change.id)
        if made is None or change.error_ms is None:
            continue
        off = abs(change.captured_ms - made.true_ms)
        if off > change.error_ms + _SLACK_MS:
            yield f"change {short(change.id)} of {made.phone} is off by {off:.0f} ms, not by {change.error_ms}"


def attentions_match_verdicts(world: World) -> Finding:
    """There is a conflict or refusal for exactly the verdicts that say so."""
    state = world.database.state
    wanted = {Outcome.CONFLICT: "conflict", Outcome.REFUSED: "refusal"}
    named: Counter[uuid.UUID] = Counter()
    for change in state.log.values():
        kind = (
            None
            if (_by_server(change) and change.outcome is Outcome.REFUSED) or change.user == SERVER_USER
            else wanted.get(change.outcome)
        )
        found = state.records.get(change.attention) if change.attention else None
        if kind != (found.type if found else None):
            yield f"change {short(change.id)} is {change.outcome}, its attention is {found.type if found else 'none'}"
        if change.attention:
            named[change.attention] += 1
    for record in state.records.values():
        if record.type in wanted.values() and named[record.id] != 1:
            yield f"{record.type} {short(record.id)} belongs to {named[record.id]} verdicts"


def conflicts_follow_their_records(world: World) -> Finding:
    """An open conflict concerns the places where its record lies, and no others."""
    records = world.database.state.records
    for conflict in records.values():
        fields = _decode(conflict.fields)
        if conflict.type != "conflict" or fields["state"] != "open":
            continue
        record = records[uuid.UUID(fields["record"])]
        shown, ought = _in_grid(fields["concerns"]), _in_grid(record.scopes)
        if shown != ought:
            yield f"conflict {short(conflict.id)} concerns {shown}, {record.type} {short(record.id)} lies in {ought}"


def nothing_is_pending(world: World) -> Finding:
    """All phones have sent all they had."""
    for phone in world.phones:
        if count := phone.tables.outbox.pending_count():
            yield f"{phone.name} still has {count} changes to send"


def phones_know_their_verdicts(world: World) -> Finding:
    """What a phone shows as the verdict on a change is what the log says."""
    log = world.database.state.log
    for phone in world.phones:
        if world.happened["restores"] and phone.watch.from_backup:
            # Of two old copies neither knows what became of a change between them.
            continue
        for row in phone.tables.outbox.all():
            logged = log.get(row.change.id)
            if logged is not None and (row.outcome, row.version) != (logged.outcome, logged.version):
                yield (
                    f"{phone.name} has {row.outcome} at {row.version} for change {short(row.change.id)},"
                    f" the log {logged.outcome} at {logged.version}"
                )


def copies_are_equal(world: World) -> Finding:
    """Each phone shows exactly what its user may see, as the server has it."""
    for phone in world.phones:
        expected, found = _expected(world, phone), _held(phone)
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                what = _difference(found.get(key), expected.get(key))
                yield f"{phone.name} ({phone.user}) has {short(key)} {what}"


INVARIANTS: tuple[Callable[[World], Finding], ...] = (
    every_change_has_a_verdict,
    numbers_are_used_once,
    each_effect_happened_once,
    verdicts_say_what_happened,
    decisions_were_carried_out,
    undone_once,
    authority_is_as_of_capture,
    revoked_devices_are_quarantined,
    receipts_are_true,
    capture_times_are_bounded,
    attentions_match_verdicts,
    conflicts_follow_their_records,
    nothing_is_pending,
    phones_know_their_verdicts,
    copies_are_equal,
)


def check(world: World) -> None:
    """Hold the world against every invariant; what does not hold is among its failures."""
    for invariant in INVARIANTS:
        for what in invariant(world):
            world.violated(invariant.__name__, what)


def _refused(world: World) -> Iterator[LoggedChange]:
    return (change for change in world.database.state.log.values() if change.outcome is Outcome.REFUSED)


def _replayed(world: World) -> Replay:
    made = {key: one.change for key, one in world.ledger.made.items()}
    replay = Replay(world.registry, world.accounts.grants, made)
    for commit in world.database.commits:
        for batch in commit.batches:
            for change in batch.changes:
                replay.read(change)
    return replay


def _expected(world: World, phone: Phone) -> dict[uuid.UUID, tuple[int, dict[str, Any]]]:
    grants, now = world.accounts.grants[phone.user], world.now_ms()
    expected: dict[uuid.UUID, tuple[int, dict[str, Any]]] = {}
    for key, record in world.database.state.records.items():
        fields = None if record.deleted else seen_by(world.registry, phone.user, grants, now, record)
        if fields is not None:
            expected[key] = record.version, as_known(record.type, fields, phone.program.version)
    return expected


def _held(phone: Phone) -> dict[uuid.UUID, tuple[int, dict[str, Any]]]:
    rows = phone.tables.db.execute("SELECT id, version, fields FROM records WHERE deleted = 0")
    return {uuid.UUID(bytes=key): (version, _decode(fields)) for key, version, fields in rows}


def _difference(found: tuple[int, dict[str, Any]] | None, expected: tuple[int, dict[str, Any]] | None) -> str:
    if found is None or expected is None:
        return "which it may not see" if expected is None else "not, which it should see"
    if found[0] != expected[0]:
        return f"at version {found[0]}, the server at {expected[0]}"
    names = sorted(
        name for name in found[1].keys() | expected[1].keys() if found[1].get(name) != expected[1].get(name)
    )
    shown = "; ".join(f"{name} {found[1].get(name)!r} for {expected[1].get(name)!r}" for name in names)
    return f"with {shown}"


def _in_grid(scopes: Iterable[str]) -> list[str]:
    return sorted(scope for scope in scopes if scope.startswith("grid:"))


def _set_by(change: LoggedChange) -> dict[str, Any]:
    """What a change set, as the newest program has it; nothing where it was refused."""
    refused = change.outcome is Outcome.REFUSED
    return {} if refused else as_newest(change.type, _decode(change.fields), change.type_version)


def _by_server(change: LoggedChange) -> bool:
    """Whether the server made a change, of its own or as a consequence of somebody's."""
    return change.user == SERVER_USER or change.seq == 0
