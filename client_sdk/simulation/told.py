"""What a phone was told is applied stays in its sight: its own value or a later one, as long as its user may read."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from client_sdk.simulation.past import Past
from client_sdk.simulation.programs import as_known, as_newest
from client_sdk.simulation.trace import short
from client_sdk.store.thread import Tables
from field_schemas.policies import Policy
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from sync.messages import Change, Outcome

_ROWS = """
SELECT outbox.id, outbox.record, outbox.outcome, outbox.version, outbox.live, records.version, records.fields
FROM outbox LEFT JOIN records ON records.id = outbox.record ORDER BY outbox.seq
"""
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class _Own(NamedTuple):
    """An own change of a record: `version` is what it made of it, None before the verdict and where it was `refused`;
    `live` says that it is shown on top of the server's copy."""

    change: Change
    version: int | None
    live: bool
    refused: bool


class _Shown(NamedTuple):
    """A record on the phone, of the server's version `version`; `fields` None where it is not here."""

    version: int
    fields: bytes | None
    own: list[_Own]


class ToldWatch:
    """Follows what one phone shows; `look` says what it was told is applied and does not show.

    Records that may have left the phone's sight need not be shown until they are again.
    """

    def __init__(self, registry: Registry, past: Past, made: Callable[[uuid.UUID], Change]) -> None:
        self._registry = registry
        self._past = past
        self._made = made
        self._out_of_sight: set[uuid.UUID] = set()
        self._copies: dict[uuid.UUID, int] = {}
        self._writes: int | None = None

    def replaced(self) -> None:
        """Another store takes the place of this one: begin with what it shows."""
        self._writes = None

    def look(self, tables: Tables, user: str, program: int, since_ms: int, now_ms: int) -> Iterator[str]:
        """What is amiss. `since_ms` is when the sync under way began, `program` the version that the phone runs."""
        first, writes = self._writes is None, tables.db.total_changes
        if writes == self._writes:
            return
        self._writes = writes
        hidden = set[uuid.UUID]()
        before, self._copies = self._copies, {}
        for record, shown in self._shown(tables).items():
            self._copies[record] = shown.version
            if lost := next(_lost(shown), None):
                # Work that a copy holds goes with the copy, which lies where it lay when it came.
                copy = before.get(record, 0)
                held = copy if copy >= (lost.version or 0) else None
                # Of a record that somebody else had to create the server has not said anything yet.
                unknown = not copy and any(one.refused for one in shown.own)
                if (
                    first
                    or unknown
                    or record in self._out_of_sight
                    or self._past.may_have_left(user, record, held, since_ms, now_ms)
                ):
                    hidden.add(record)
                else:
                    told = f"change {short(lost.change.id)} of {lost.change.type} {short(record)}"
                    yield f"{told} was applied and is not shown"
            elif shown.fields is None:
                # What was not here when the work on it was sent again comes with the next pull.
                hidden.add(record)
            else:
                yield from self._overwritten(record, shown, program)
        self._out_of_sight = hidden

    def _shown(self, tables: Tables) -> dict[uuid.UUID, _Shown]:
        """The records with own changes."""
        found: dict[uuid.UUID, _Shown] = {}
        for key, about, outcome, version, live, here, fields in tables.db.execute(_ROWS):
            shown = found.setdefault(uuid.UUID(bytes=about), _Shown(here or 0, fields, []))
            refused = outcome == str(Outcome.REFUSED)
            made = None if refused or outcome is None else version
            shown.own.append(_Own(self._made(uuid.UUID(bytes=key)), made, bool(live), refused))
        return found

    def _overwritten(self, record: uuid.UUID, shown: _Shown, program: int) -> Iterator[str]:
        """The fields that hold neither what an applied change set nor anything later."""
        fields = _decode(shown.fields or b"\x80")
        for number, own in enumerate(shown.own):
            if own.version is None or own.change.delete:
                continue
            spec, set_by_it = self._registry.get(own.change.type), _patch(own.change)
            empty = dict.fromkeys(spec.fields) | spec.defaults
            # A field that holds its default need not be there.
            seen = as_known(spec.name, empty, program) | fields
            told = [_patch(one.change) for one in shown.own[number:]]
            told += [empty | one for one in self._past.fields_since(record, own.version)]
            for name in sorted(_plain_fields(spec) & set_by_it.keys()):
                allowed = [
                    form for one in told if name in one for form in _forms(spec.name, name, one[name], program)
                ]
                if not any(seen.get(key) == value for one in allowed for key, value in one.items()):
                    yield f"{spec.name} {short(record)}.{name} holds nothing since change {short(own.change.id)}"


def _forms(record_type: str, name: str, value: Any, program: int) -> list[dict[str, Any]]:
    """A field as a program of that age shows it: as it is, or upgraded from what an older one had on the phone."""
    first = as_known(record_type, {name: value}, 1)
    return [as_known(record_type, fields, program) for fields in ({name: value}, as_newest(record_type, first, 1))]


def _lost(shown: _Shown) -> Iterator[_Own]:
    """The applied changes that neither the server's copy here nor what is on top of it can hold."""
    return (
        own
        for own in shown.own
        if own.version and not own.change.delete
        if shown.fields is None or not (own.live or shown.version >= own.version)
    )


def _plain_fields(spec: RecordType[Any]) -> set[str]:
    """The fields that simply hold what was written last, and that everybody may read who may see the record."""
    return {name for name, field in spec.fields.items() if field.policy is Policy.LAST_WRITER} - spec.limited_fields


def _patch(change: Change) -> dict[str, Any]:
    return as_newest(change.type, _decode(change.fields), change.type_version)
