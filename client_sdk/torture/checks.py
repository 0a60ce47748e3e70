"""What must hold after any run, as pure functions over its history: each tells of everything that does not.

That a check can fail is shown in tests/unit/test_torture_checks.py.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from client_sdk.torture.history import History, Seen, by_id
from field_schemas.policies import Policy
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from field_schemas.scopes import feed_key
from sync.messages import Change, Outcome, Verdict

_object = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Violation(msgspec.Struct, frozen=True):
    """A promise that was broken: which, and the evidence."""

    promise: str
    evidence: str


def violations(history: History, registry: Registry) -> list[Violation]:
    """Everything in `history` that must not be. Of a run that broke off nothing but that is told."""
    if history.broken:
        return [Violation(TO_THE_END, text) for text in history.broken]
    found = [Violation(promise, text) for promise, check in CHECKS.items() for text in check(history)]
    for promise, declared in DECLARED_CHECKS.items():
        found += [Violation(promise, text) for text in declared(history, registry)]
    return found


def applied_versions(history: History) -> dict[uuid.UUID, int]:
    """The records whose changes were not all refused, each with the version the last of them made."""
    versions: dict[uuid.UUID, int] = {}
    for change, verdict in _decided(history):
        if verdict.outcome is not Outcome.REFUSED:
            versions[change.record] = max(versions.get(change.record, 0), verdict.version)
    return versions


def _changed_verdicts(history: History) -> Iterator[str]:
    for device in history.devices:
        first: dict[uuid.UUID, Verdict] = {}
        for verdict in (*device.answers, *device.resent):
            known = first.setdefault(verdict.change, verdict)
            if known != verdict:
                yield f"change {verdict.change} (seq {verdict.seq}): first {known}, later {verdict}"


def _lost_changes(history: History) -> Iterator[str]:
    for number, device in enumerate(history.devices):
        acknowledged = max((verdict.seq for verdict in device.answers), default=0)
        if device.held < acknowledged:
            yield f"device {number}: {acknowledged} changes were acknowledged, the server holds {device.held}"
        answered = {verdict.change for verdict in device.resent}
        for change in device.sent:
            if change.id not in answered:
                yield f"change {change.id} (device {number}, seq {change.seq}) has no verdict"


def _reused_versions(history: History) -> Iterator[str]:
    owner: dict[int, uuid.UUID] = {}
    for change, verdict in _decided(history):
        if verdict.version and owner.setdefault(verdict.version, change.id) != change.id:
            yield f"changes {owner[verdict.version]} and {change.id} both made version {verdict.version}"


def _records(history: History) -> Iterator[str]:
    """Every applied record in the version its last change made; nothing else but what people must settle."""
    expected = applied_versions(history)
    attention = {verdict.attention for _, verdict in _decided(history) if verdict.attention}
    full = by_id(history.full)
    for record, version in expected.items():
        if record not in full:
            yield f"record {record}, applied as version {version}, is in no full pull"
        elif full[record].version != version:
            yield f"record {record}: its changes made version {version}, the pull gives {full[record].version}"
    yield from (f"record {one} for a refusal or conflict is missing" for one in attention - full.keys())
    yield from (f"record {one} was made by nobody" for one in full.keys() - expected.keys() - attention)


def _gaps(history: History) -> Iterator[str]:
    full = by_id(history.full)
    for number, device in enumerate(history.devices):
        yield from (f"device {number}: a later pull gave an older version of {record}" for record in device.older)
        for record in full.keys() | device.copy.keys():
            pulled, stands = device.copy.get(record), full.get(record)
            if pulled != stands:
                yield f"device {number}, record {record}: pulls gave {_short(pulled)}, stands {_short(stands)}"


def _moved_by_resending(history: History) -> Iterator[str]:
    before, after = by_id(history.full), by_id(history.after)
    for record in before.keys() | after.keys():
        if before.get(record) != after.get(record):
            yield f"record {record}: {_short(before.get(record))}, after: {_short(after.get(record))}"


CHECKS: Mapping[str, Callable[[History], Iterator[str]]] = {
    "a change gets one verdict, however often it is sent": _changed_verdicts,
    "what was acknowledged is held": _lost_changes,
    "every change happens once": _reused_versions,
    "a full pull holds every applied record, in its last version": _records,
    "the pulls of a run add up to a full pull": _gaps,
    "sending everything again changes nothing": _moved_by_resending,
}


def _repeats(history: History, registry: Registry) -> Iterator[str]:
    """A page names a record once, and each view is read once: own records may also come as part of their area."""
    times = Counter(record.id for record in history.full)
    for record in history.full:
        feeds = {feed_key(scope) for scope in registry.get(record.type).scopes(_object(record.fields), record.owner)}
        views = sum(feed_key(view) in feeds for view in history.views)
        if times[record.id] > views:
            yield f"record {record.id} came {times[record.id]} times in one full pull, and lies in {views} views"


def _wrong_values(history: History, registry: Registry) -> Iterator[str]:
    full = by_id(history.full)
    applied: dict[uuid.UUID, list[Change]] = defaultdict(list)
    for change, verdict in _decided(history):
        if verdict.outcome is not Outcome.REFUSED:
            applied[change.record].append(change)
    for record in applied.keys() & full.keys():
        spec = registry.get(full[record].type)
        patches = [_object(spec.canonical_patch(change.fields, as_json=False)) for change in applied[record]]
        stands = _object(full[record].fields)
        for name, expected in _expected(spec, patches).items():
            if _comparable(stands.get(name)) != _comparable(expected):
                yield f"record {record}, {name}: expected {expected}, stands {stands.get(name)}"


def _expected(spec: RecordType[Any], patches: list[dict[str, Any]]) -> dict[str, Any]:
    """The values that follow from `patches` in whatever order they came."""
    values = {}
    for name, field in spec.fields.items():
        operands = [patch[name] for patch in patches if name in patch]
        if operands and field.policy in _FOLLOWS:
            values[name] = _FOLLOWS[field.policy](operands)
    return values


def _elements(operands: list[Any]) -> list[str]:
    """What the operands of devices that remove only what they added themselves leave in a set."""
    held: set[str] = set()
    for operand in operands:
        held -= set(operand.get("remove", ()))
        held |= set(operand.get("add", ()))
    return list(held)


_FOLLOWS: Mapping[Policy, Callable[[list[Any]], Any]] = {
    Policy.COUNTER: sum,
    Policy.SET: _elements,
    Policy.APPEND: lambda operands: [entry for operand in operands for entry in operand],
    Policy.MAXIMUM: max,
    Policy.MINIMUM: min,
}


def _comparable(value: Any) -> Any:
    """Entries and elements without their order."""
    return Counter(map(msgspec.msgpack.encode, value)) if isinstance(value, list) else value


def _decided(history: History) -> Iterator[tuple[Change, Verdict]]:
    """Every change with its last verdict, device by device, each device's in order."""
    for device in history.devices:
        verdicts = {verdict.change: verdict for verdict in (*device.answers, *device.resent)}
        for change in device.sent:
            if change.id in verdicts:
                yield change, verdicts[change.id]


def _short(record: Seen | None) -> str:
    return f"version {record.version}" if record else "nothing"


TO_THE_END = "the server comes back after each kill, and gives no answer that it should not give"
DECLARED_CHECKS: Mapping[str, Callable[[History, Registry], Iterator[str]]] = {
    "a full pull gives a record once for each view it lies in": _repeats,
    "counters, sets, entries and extremes are what the applied changes add up to": _wrong_values,
}
"""Those that need the declarations of the record types."""
PROMISES = (TO_THE_END, *CHECKS, *DECLARED_CHECKS)
