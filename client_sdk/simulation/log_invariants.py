"""What must hold of the log and the records when all have come to rest: one small function each, which names what is
wrong."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from client_sdk.simulation.authors import by_server
from client_sdk.simulation.programs import as_newest
from client_sdk.simulation.replay import Replay
from client_sdk.simulation.trace import short
from client_sdk.simulation.world import World
from sync.authority import SERVER_USER
from sync.ids import derived_id
from sync.messages import Outcome
from sync.storage import LoggedChange

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
Finding = Iterator[str]


def numbers_are_used_once(world: World) -> Finding:
    """No two changes of a device carry one sequence number, no two writes one version."""
    log = world.database.state.log.values()
    sequences = Counter((change.device, change.seq) for change in log if not by_server(change))
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


def attentions_match_verdicts(world: World) -> Finding:
    """There is a conflict or refusal for exactly the verdicts that say so."""
    state = world.database.state
    wanted = {Outcome.CONFLICT: "conflict", Outcome.REFUSED: "refusal"}
    named: Counter[uuid.UUID] = Counter()
    for change in state.log.values():
        kind = (
            None
            if (by_server(change) and change.outcome is Outcome.REFUSED) or change.user == SERVER_USER
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


def _in_grid(scopes: Iterable[str]) -> list[str]:
    return sorted(scope for scope in scopes if scope.startswith("grid:"))


def _set_by(change: LoggedChange) -> dict[str, Any]:
    """What a change set, as the newest program has it; nothing where it was refused."""
    refused = change.outcome is Outcome.REFUSED
    return {} if refused else as_newest(change.type, _decode(change.fields), change.type_version)
