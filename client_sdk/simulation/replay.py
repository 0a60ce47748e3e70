"""What the log must have led to: each record reckoned anew from its changes, by the words of the policies.

A second, plain reading of what `sync.push` and `sync.merge` do; the two must agree.
"""

import copy
import uuid
from collections.abc import Container
from typing import Any, NamedTuple

import msgspec

from client_sdk.simulation.programs import as_newest
from client_sdk.simulation.sight import places_of, roles_over
from field_schemas.access import Grant, Role
from field_schemas.policies import Policy
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from sync.authority import SERVER_USER
from sync.clock import stamp_at
from sync.messages import Outcome
from sync.storage import LoggedChange

_PERMISSION = ("scope_denied", "role_denied", "field_denied")


class Last(NamedTuple):
    """Who wrote a field last, or added an element; `made` is the stamp as it was sent."""

    version: int
    stamp: int
    device: str
    made: int


class Model:
    """One record, as far as the log has been read."""

    def __init__(self, spec: RecordType[Any], owner: str) -> None:
        self.spec = spec
        self.owner = owner
        self.fields: dict[str, Any] = {}
        self.last: dict[str, Last] = {}
        self.elements: dict[str, dict[str, list[Last]]] = {}
        self.entries: dict[str, list[tuple[int, str, int, Any]]] = {}
        self.deleted = False

    def scopes(self) -> list[str]:
        """Where the record lies."""
        return places_of(self.spec, self.fields, self.owner)

    def take(self, change: LoggedChange, refused: LoggedChange | None = None) -> None:
        """Carry out a change that was not refused, or that makes what was `refused` after all."""
        if change.deletes:
            self.deleted = True
            return
        # The server writes for many: no write of its has seen another.
        writer = (
            refused.device
            if refused
            else change.id
            if not change.seq or change.user == SERVER_USER
            else change.device
        )
        stamp = min(change.stamp, stamp_at((refused or change).received_ms + 1))
        write = Last(change.version, stamp, str(writer), change.stamp)
        creation = not self.last
        patch = as_newest(change.type, msgspec.msgpack.decode(change.fields), change.type_version)
        if creation:
            patch = {**self.spec.initial_states, **patch}
        standing = dict(self.last)
        for name, operand in patch.items():
            last = None if creation else standing.get(name) or (standing[""] if name in self.fields else None)
            unseen = last is not None and _is_unseen(last, write, change.base, refused is not None)
            if self.spec.fields[name].policy is Policy.SET:
                operand = self._elements(name, operand, write, change.base, refused is not None)
            self._write(name, operand, write, last, unseen)
        if creation:
            self.last = {"": write}

    def _write(self, name: str, operand: Any, write: Last, last: Last | None, unseen: bool) -> None:
        policy = self.spec.fields[name].policy
        old = self.fields.get(name, None if last is None and not self.last else self.spec.defaults.get(name))
        later = last is None or write[1:3] > last[1:3]
        if policy is Policy.COUNTER:
            self._set(name, old, (old or 0) + operand, write)
        elif policy is Policy.SET:
            self._set(name, old, operand, write)
        elif policy is Policy.APPEND:
            kept = self.entries.setdefault(name, [])
            kept += [(write.stamp, write.device, len(kept) + n, entry) for n, entry in enumerate(operand)]
            kept.sort(key=lambda row: row[:3])
            self._set(name, old, [entry for *_, entry in kept], write)
        elif policy in (Policy.MAXIMUM, Policy.MINIMUM):
            better = operand is not None and (old is None or (operand > old) == (policy is Policy.MAXIMUM))
            if better and operand != old:
                self._set(name, old, operand, write)
        elif policy is Policy.REVIEW:
            if operand != old and not unseen:
                self._set(name, old, operand, write)
        elif policy is Policy.FIRST_WRITER:
            if old is None or last is None or (unseen and not later):
                self._set(name, old, operand, write)
        elif policy is Policy.LAST_WRITER:
            if not unseen or later:
                self._set(name, old, operand, write)
        elif operand != old:
            self._set(name, old, operand, write)

    def _elements(self, name: str, operand: dict[str, list[str]], write: Last, base: int, is_late: bool) -> list[str]:
        held = self.elements.setdefault(name, {})
        for element in {*operand.get("remove", ()), *operand.get("add", ())}:
            held[element] = [one for one in held.get(element, ()) if _is_unseen(one, write, base, is_late)]
        for element in operand.get("add", ()):
            held[element].append(write)
        return sorted(element for element, adds in held.items() if adds)

    def _set(self, name: str, old: Any, value: Any, write: Last) -> None:
        self.last[name] = write
        if value != old:
            self.fields[name] = value


def _is_unseen(last: Last, write: Last, base: int, is_late: bool) -> bool:
    """Whether the author of `write`, which comes late when it was refused first, had not seen what `last` left."""
    return last.version > base and (last.device != write.device or (is_late and last.made > write.made))


class Replay:
    """The log read from the beginning. `settling` are the changes that settle refusals, `complaints` the verdicts
    that should have been others."""

    def __init__(
        self, registry: Registry, grants: dict[str, tuple[Grant, ...]], settling: Container[uuid.UUID]
    ) -> None:
        self._registry = registry
        self._grants = grants
        self._settling = settling
        self.models: dict[uuid.UUID, Model] = {}
        self.complaints: list[str] = []
        self._refused: dict[tuple[uuid.UUID, int], LoggedChange] = {}
        self._made: dict[uuid.UUID, list[tuple[int, int]]] = {}

    def read(self, change: LoggedChange) -> None:
        """The next change, in the order of decisions."""
        if change.type not in self._registry:
            return
        model = self.models.get(change.record)
        self._judge(change, model)
        if change.outcome is Outcome.REFUSED:
            self._refused[change.record, change.stamp] = change
            return
        # What a supervisor applies keeps the stamp it was refused with.
        refused = None if change.seq else self._refused.get((change.record, change.stamp))
        self._made.setdefault(change.record, []).append((change.version, change.received_ms))
        if model is None:
            model = self.models[change.record] = Model(self._registry.get(change.type), (refused or change).user)
        model.take(change, refused)

    def _judge(self, change: LoggedChange, model: Model | None) -> None:
        """Compare the verdict with the grants that held at the time of capture."""
        denied = change.outcome is Outcome.REFUSED and change.code in _PERMISSION
        if change.outcome is Outcome.REFUSED and not denied:
            return
        # Closing a conflict or refusal is refused too when what follows from it is, and a correction when its author
        # may not close the refusal.
        closes = change.type in ("conflict", "refusal") or change.id in self._settling
        if change.user == SERVER_USER or (denied and closes):
            return
        allowed = self._allowed(change, model)
        if allowed == denied:
            verdict = f"{change.outcome} {change.code or ''}".strip()
            self.complaints.append(
                f"{verdict} for {change.user} on {change.type} {change.record.hex[-6:]}, captured at"
                f" {change.captured_ms}, when {'it was' if allowed else 'it was not'} allowed"
            )

    def _allowed(self, change: LoggedChange, model: Model | None) -> bool:
        spec = self._registry.get(change.type)
        patch = as_newest(change.type, msgspec.msgpack.decode(change.fields), change.type_version)
        if model is None:
            roles = self._roles(change, _beyond(places_of(spec, patch, change.user), change.user))
            needed = spec.access.create
        else:
            roles = self._roles(change, model.scopes())
            needed = spec.access.delete if change.deletes else spec.access.write
        permitted = bool(roles & needed) and all(self._may_write(spec, name, roles) for name in patch)
        return permitted and (model is None or self._may_put(change, model))

    def _may_put(self, change: LoggedChange, model: Model) -> bool:
        """Whether a record may be where the change puts it."""
        after = copy.deepcopy(model, {id(model.spec): model.spec})
        after.take(change)
        if after.scopes() == model.scopes():
            return True
        access = model.spec.access
        return bool(self._roles(change, _beyond(after.scopes(), change.user)) & (access.write | access.create))

    def _roles(self, change: LoggedChange, scopes: list[str]) -> set[Role]:
        # Nobody builds on a version that is not there yet.
        seen = [at for version, at in self._made.get(change.record, ()) if version <= change.base]
        as_of = min(max([change.captured_ms, *seen]), change.received_ms)
        return roles_over(change.user, self._grants[change.user], as_of, scopes)

    def _may_write(self, spec: RecordType[Any], name: str, roles: set[Role]) -> bool:
        only = spec.fields[name].write
        return only is None or bool(only & roles)


def _beyond(scopes: list[str], user: str) -> list[str]:
    """The scopes that are not the author's own; all where there are no others."""
    return [scope for scope in scopes if scope != f"person:{user}"] or scopes
