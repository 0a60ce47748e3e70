"""What the log must have led to: each record reckoned anew from its changes, by the words of the policies.

A second, plain reading of what `sync.push` and `sync.merge` do; the two must agree.
"""

import copy
import uuid
from collections.abc import Mapping
from typing import Any

from client_sdk.simulation.authors import Known, Last, Rests, known_to_author, patch_of, write_of
from client_sdk.simulation.held import TAKEN_BACK, Held, shown, wanted
from client_sdk.simulation.sight import places_of, roles_over
from field_schemas.access import Grant, Role
from field_schemas.policies import Policy
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from sync.authority import SERVER_USER
from sync.messages import Change, Outcome
from sync.storage import LoggedChange

_PERMISSION = ("scope_denied", "role_denied", "field_denied")
_ALWAYS_COMBINED = {Policy.COUNTER, Policy.SET, Policy.APPEND, Policy.WORKFLOW}


class Model:
    """One record, as far as the log has been read."""

    def __init__(self, spec: RecordType[Any], owner: str) -> None:
        self.spec = spec
        self.owner = owner
        self.fields: dict[str, Any] = {}
        self.last: dict[str, Last] = {}
        self.elements: dict[str, dict[str, list[Last]]] = {}
        self.entries: dict[str, list[tuple[int, str, int, Any]]] = {}
        self.held = Held()
        self.deleted = False
        self.lay: list[tuple[LoggedChange, dict[str, Any]]] = []

    def scopes(self) -> list[str]:
        """Where the record lies."""
        return places_of(self.spec, self.fields, self.owner)

    def scopes_seen(self, change: LoggedChange) -> list[str]:
        """Where the record lay as a change's author saw it: by what stood there, and what the device did since.

        Whoever saw it saw it created, in contents of before a restore too, whose versions were others.
        """
        (_, placing), *later = self.lay
        for one, moves in later:
            if one.version <= change.base or one.device == change.device:
                placing = placing | moves
        return places_of(self.spec, self.fields | placing, self.owner)

    def take(self, change: LoggedChange, rests: Rests) -> Outcome:
        """Carry out a change that was not refused; the verdict it deserves."""
        if change.deletes:
            self.deleted = True
            return Outcome.APPLIED
        was = dict(self.fields)
        outcome = self._take(change, rests, was)
        placed = {name: self.fields.get(name) for name in self.spec.scope_fields}
        self.lay.append((change, {name: value for name, value in placed.items() if value != was.get(name)}))
        return outcome

    def _take(self, change: LoggedChange, rests: Rests, was: dict[str, Any]) -> Outcome:
        write = write_of(change, rests)
        patch = patch_of(change) if self.last else self.spec.initial_states | patch_of(change)
        outcome = self._merge(change, patch, write, rests) if self.last else self._create(change, patch, write)
        self.held.take(self.spec, change.version, rests.undone, patch, was, self.fields)
        # An undo that takes nothing back is none.
        is_idle = rests.undone is not None and self.fields == was and outcome is not Outcome.CONFLICT
        return Outcome.REFUSED if is_idle else outcome

    def _create(self, change: LoggedChange, patch: dict[str, Any], write: Last) -> Outcome:
        for name, operand in patch.items():
            self._write(name, operand, write, None, Known(change.base))
        self.last = {"": write}
        return Outcome.APPLIED

    def _merge(self, change: LoggedChange, patch: dict[str, Any], write: Last, rests: Rests) -> Outcome:
        standing = dict(self.last)
        outcomes = {self._update(name, operand, change, write, standing, rests) for name, operand in patch.items()}
        return next((one for one in (Outcome.CONFLICT, Outcome.MERGED) if one in outcomes), Outcome.APPLIED)

    def _update(
        self, name: str, operand: Any, change: LoggedChange, write: Last, standing: dict[str, Last], rests: Rests
    ) -> Outcome:
        if rests.undone is not None and self.spec.fields[name].policy in TAKEN_BACK:
            return self._take_back(name, operand, write, rests.undone)
        latest = standing.get(name) or standing[""]
        last = latest if name in standing or name in self.fields else None
        knows = known_to_author(name, operand, change, rests)
        unseen = last if last is not None and knows.unseen(last, write) else None
        return self._write(name, operand, write, unseen, knows)

    def _take_back(self, name: str, operand: Any, write: Last, undone: int) -> Outcome:
        """Take back what of a field no later work holds; that stays, and people decide where they always do."""
        wishes = wanted(self.spec, {name: operand}).items()
        moved = [place for place, wish in wishes if shown(self.spec, self.fields, place) != wish]
        free = [place for place in moved if self.held.is_as_left_by(undone, place)]
        if free:
            elements = {element for _, element in free}
            if self.spec.fields[name].policy is Policy.SET:
                operand = {key: [one for one in listed if one in elements] for key, listed in operand.items()}
            self._write(name, operand, write, None, Known(max(last.version for last in self.last.values())))
        if len(free) == len(moved):
            return Outcome.APPLIED
        return Outcome.CONFLICT if self.spec.fields[name].policy is Policy.REVIEW else Outcome.MERGED

    def _value(self, name: str) -> Any:
        return self.fields.get(name, self.spec.defaults.get(name))

    def _write(self, name: str, operand: Any, write: Last, unseen: Last | None, knows: Known) -> Outcome:
        """Write one field, whose `unseen` last write the author did not know of; what the verdict is for its part."""
        policy = self.spec.fields[name].policy
        old = self._value(name) if "" in self.last else None
        later = unseen is None or write[1:3] > unseen[1:3]
        differs = operand != old and policy is not Policy.SERVER_ONLY
        combines = unseen is not None and (differs or policy in _ALWAYS_COMBINED)
        if policy is Policy.COUNTER:
            self._set(name, old, (old or 0) + operand, write)
        elif policy is Policy.SET:
            combines |= self._keeps_elements(name, operand, write, knows)
            self._set(name, old, sorted(one for one, adds in self.elements[name].items() if adds), write)
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
            if combines:
                return Outcome.CONFLICT
            if operand != old:
                self._set(name, old, operand, write)
        elif policy is Policy.FIRST_WRITER:
            written = old is not None and (name in self.last or name in self.fields)
            combines &= written
            if not (written and later):
                self._set(name, old, operand, write)
        elif policy is Policy.LAST_WRITER:
            if later:
                self._set(name, old, operand, write)
        elif operand != old:
            self._set(name, old, operand, write)
        return Outcome.MERGED if combines else Outcome.APPLIED

    def _keeps_elements(self, name: str, operand: dict[str, list[str]], write: Last, knows: Known) -> bool:
        """Remove and add elements; whether some stay that others added meanwhile."""
        held = self.elements.setdefault(name, {})
        for element in {*operand.get("remove", ()), *operand.get("add", ())}:
            held[element] = [one for one in held.get(element, ()) if knows.unseen(one, write)]
        kept = any(held[element] for element in operand.get("remove", ()))
        for element in operand.get("add", ()):
            held[element].append(write)
        return kept

    def _set(self, name: str, old: Any, value: Any, write: Last) -> None:
        self.last[name] = write
        if value != old:
            self.fields[name] = value


class Replay:
    """The log read from the beginning; `made` are the changes as phones made them.

    `complaints` are the verdicts that break authority, `misjudged` those that say something else than what happened.
    """

    def __init__(
        self, registry: Registry, grants: dict[str, tuple[Grant, ...]], made: Mapping[uuid.UUID, Change]
    ) -> None:
        self._registry = registry
        self._grants = grants
        self._made = made
        self.models: dict[uuid.UUID, Model] = {}
        self.complaints: list[str] = []
        self.misjudged: list[str] = []
        self._read: dict[uuid.UUID, LoggedChange] = {}
        self._refused: dict[tuple[uuid.UUID, int], LoggedChange] = {}
        self._refusals: dict[uuid.UUID, LoggedChange] = {}
        self._taken: dict[uuid.UUID, list[tuple[int, int]]] = {}

    def read(self, change: LoggedChange) -> None:
        """The next change, in the order of decisions."""
        if change.type not in self._registry:
            return
        self._read[change.id] = change
        model = self.models.get(change.record)
        rests = self._rests(change)
        self._judge(change, model, rests)
        if change.outcome is Outcome.REFUSED:
            if change.attention:
                self._refused[change.record, change.stamp] = self._refusals[change.attention] = change
            if change.code == "nothing_to_undo" and rests.undone is not None and model is not None:
                self._compare(change, _copy(model).take(change, rests))
            return
        self._taken.setdefault(change.record, []).append((change.version, change.received_ms))
        if model is None:
            author = (rests.refused or change).user
            model = self.models[change.record] = Model(self._registry.get(change.type), author)
        self._compare(change, model.take(change, rests))

    def _compare(self, change: LoggedChange, deserved: Outcome) -> None:
        if deserved is not change.outcome:
            self.misjudged.append(
                f"change {change.id.hex[-6:]} of {_named(change)} is {change.outcome}, it should be {deserved}"
            )

    def _rests(self, change: LoggedChange) -> Rests:
        # What a supervisor applies keeps the stamp it was refused with.
        refused = None if change.seq else self._refused.get((change.record, change.stamp))
        made = self._made.get(refused.id if refused else change.id)
        if made is None:
            return Rests(refused)
        corrects = self._refusals.get(made.settles) if made.settles and not refused else None
        undone = self._read.get(made.undoes) if made.undoes else None
        return Rests(refused, corrects, undone.version if undone else None)

    def _judge(self, change: LoggedChange, model: Model | None, rests: Rests) -> None:
        """Compare the verdict with the grants that held at the time of capture."""
        denied = change.outcome is Outcome.REFUSED and change.code in _PERMISSION
        if change.outcome is Outcome.REFUSED and not denied:
            return
        # Closing a conflict or refusal is refused too when what follows from it is, and a correction when its author
        # may not close the refusal.
        made = self._made.get(change.id)
        closes = change.type in ("conflict", "refusal") or (made is not None and made.settles is not None)
        if change.user == SERVER_USER or (denied and closes):
            return
        allowed = self._allowed(change, model, rests)
        if allowed == denied:
            verdict = f"{change.outcome} {change.code or ''}".strip()
            self.complaints.append(
                f"{verdict} for {change.user} on {_named(change)}, captured at"
                f" {change.captured_ms}, when {'it was' if allowed else 'it was not'} allowed"
            )

    def _allowed(self, change: LoggedChange, model: Model | None, rests: Rests) -> bool:
        spec = self._registry.get(change.type)
        patch = patch_of(change)
        if model is None:
            roles = self._roles(change, _beyond(places_of(spec, patch, change.user), change.user))
            needed = spec.access.create
        else:
            roles = self._roles(change, model.scopes())
            living = not (change.deletes or model.deleted)
            if change.seq and living and change.type not in ("conflict", "refusal"):
                roles |= self._roles(change, model.scopes_seen(change))
            needed = spec.access.delete if change.deletes else spec.access.write
        permitted = bool(roles & needed) and all(self._may_write(spec, name, roles) for name in patch)
        return permitted and (model is None or self._may_put(change, model, rests))

    def _may_put(self, change: LoggedChange, model: Model, rests: Rests) -> bool:
        """Whether a record may be where the change puts it."""
        after = _copy(model)
        after.take(change, rests)
        if after.scopes() == model.scopes():
            return True
        access = model.spec.access
        return bool(self._roles(change, _beyond(after.scopes(), change.user)) & (access.write | access.create))

    def _roles(self, change: LoggedChange, scopes: list[str]) -> set[Role]:
        # Nobody builds on a version that is not there yet.
        seen = [at for version, at in self._taken.get(change.record, ()) if version <= change.base]
        as_of = min(max([change.captured_ms, *seen]), change.received_ms)
        return roles_over(change.user, self._grants[change.user], as_of, scopes)

    def _may_write(self, spec: RecordType[Any], name: str, roles: set[Role]) -> bool:
        only = spec.fields[name].write
        return only is None or bool(only & roles)


def _copy(model: Model) -> Model:
    return copy.deepcopy(model, {id(model.spec): model.spec})


def _beyond(scopes: list[str], user: str) -> list[str]:
    """The scopes that are not the author's own; all where there are no others."""
    return [scope for scope in scopes if scope != f"person:{user}"] or scopes


def _named(change: LoggedChange) -> str:
    return f"{change.type} {change.record.hex[-6:]}"
