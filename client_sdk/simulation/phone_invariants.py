"""What must hold of the phones when all have come to rest: one small function each, which names what is wrong."""

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from client_sdk.simulation.authors import by_server
from client_sdk.simulation.phone import Phone
from client_sdk.simulation.programs import as_known
from client_sdk.simulation.sight import seen_by
from client_sdk.simulation.trace import short
from client_sdk.simulation.world import World
from sync.receipts import CHAIN_START, chained

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
        elif key in world.watch.acknowledged - world.watch.restored_away:
            yield f"{named} was acknowledged and is gone"
    for key, change in log.items():
        if not by_server(change) and key not in world.ledger.made:
            yield f"change {short(key)} of {change.user} was never made"


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


def copies_are_equal(world: World) -> Finding:
    """Each phone shows exactly what its user may see, as the server has it."""
    for phone in world.phones:
        expected, found = _expected(world, phone), _held(phone)
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                what = _difference(found.get(key), expected.get(key))
                yield f"{phone.name} ({phone.user}) has {short(key)} {what}"


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
