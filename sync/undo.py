"""Undoing a change by a new one. Pure."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.policies import Policy
from field_schemas.record import FieldError, RecordType
from sync.draft import Draft
from sync.errors import Refused
from sync.forms import change_now
from sync.holders import Slot, holders, steps_of
from sync.merge import Mark, Merged, Write, merge
from sync.storage import LoggedChange

_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode

SETTABLE = {Policy.LAST_WRITER, Policy.REVIEW, Policy.WORKFLOW}
"""Fields that hold the value written last."""


def undo_key(change: uuid.UUID | str) -> str:
    """The key of the mark (sync.merge) by which a record remembers that `change` was taken back."""
    return f"undo {change}"


def check_undo(
    spec: RecordType[Any], undone: uuid.UUID, history: Iterable[LoggedChange], patch: Mapping[str, Any]
) -> None:
    """Raise Refused unless `patch` does nothing but take back what the change `undone` of the `history` did.

    A change that is taken back stays so: nothing else may pass for its undo.
    """
    logged = next((one for one in history if one.id == undone and one.type == spec.name), None)
    if logged is None:
        raise Refused("change_unknown", f"there is no change {undone} of this {spec.name}")
    change = change_now(spec, logged)
    back, _ = undo_patch(spec, _fields(change.fields), _fields(change.before))
    if not patch or any(name not in back or _plain(patch[name]) != _plain(back[name]) for name in patch):
        raise Refused("value_invalid", f"this does not take {undone} back")


def _plain(operand: Any) -> Any:
    """A set operand without the order of its elements; every other operand as it is."""
    if isinstance(operand, dict) and operand.keys() <= {"add", "remove"}:
        return {key: sorted(elements) for key, elements in operand.items() if elements}
    return operand


def merge_undo(
    spec: RecordType[Any],
    draft: Draft,
    patch: Mapping[str, Any],
    write: Write,
    undone: uuid.UUID,
    history: Iterable[LoggedChange],
) -> Merged:
    """Merge a `patch` that takes back the change `undone` of the `history`, and leaves later work as it stands.

    People decide where the field is for review. Raises Refused, also where nothing is left to take back.
    """
    marks = dict(draft.marks)
    note_undo(undone, marks, write)
    back, later = _parted(spec, draft, patch, overtaken(spec, draft, patch, undone, history))
    counted = {name: operand for name, operand in back.items() if spec.fields[name].policy is Policy.COUNTER}
    restored = {name: operand for name, operand in back.items() if name not in counted}
    # What is restored holds no later work: there is nothing its author could not have seen.
    first = merge(spec, draft.fields, marks, restored, msgspec.structs.replace(write, base=write.version))
    merged = merge(spec, first.fields, first.marks, counted, write)
    merged.before = first.before | merged.before
    merged.combined |= bool(later)
    merged.disputed = [name for name in later if spec.fields[name].policy is Policy.REVIEW]
    if not merged.before and not merged.disputed:
        raise Refused("nothing_to_undo", f"nothing of {undone} stands")
    return merged


def _parted(
    spec: RecordType[Any], draft: Draft, patch: Mapping[str, Any], kept: Collection[Slot]
) -> tuple[dict[str, Any], list[str]]:
    """What of an undo's `patch` is carried out, and the fields where it asks for something else than is `kept`."""
    back: dict[str, Any] = {}
    later: list[str] = []
    for name, operand in patch.items():
        standing = draft.fields.get(name, spec.defaults.get(name))
        slots = slots_of(spec, name, operand)
        moved = [slot for slot in slots if slot.asked(patch) != slot.state(standing)]
        free = [slot.element for slot in moved if slot not in kept]
        if len(free) < len(moved):
            later.append(name)
        if not slots:
            back[name] = operand
        elif free:
            back[name] = operand if spec.fields[name].policy in SETTABLE else _only(operand, free)
    return back, later


def _only(operand: Mapping[str, list[Any]], elements: Collection[Any]) -> dict[str, list[Any]]:
    """A set operand for some of its elements."""
    return {key: [one for one in listed if one in elements] for key, listed in operand.items()}


def note_undo(undone: uuid.UUID, marks: dict[str, Mark], write: Write) -> None:
    """Note in a record's marks that `write` takes `undone` back. Raises Refused where that was done before."""
    key = undo_key(undone)
    if key in marks:
        raise Refused("already_undone", f"version {marks[key].version} took {undone} back")
    marks[key] = write.mark()


def overtaken(
    spec: RecordType[Any],
    draft: Draft,
    patch: Mapping[str, Any],
    undone: uuid.UUID,
    history: Iterable[LoggedChange],
) -> list[Slot]:
    """What of an undo's `patch` holds later work than the change `undone` of the `history`.

    A change that was taken back and its undo are no later work. Counters are counted back whatever came later.
    """
    history = list(history)
    start = undo_key("")
    undos = {key.removeprefix(start): mark for key, mark in draft.marks.items() if key.startswith(start)}
    steps = steps_of(spec, history, undos)
    version = next((one.version for one in history if one.id == undone), 0)
    slots = [slot for name, operand in patch.items() for slot in slots_of(spec, name, operand)]
    held = {slot: holders(spec, draft, steps, slot) for slot in slots}
    latest = steps[-1].version
    return [slot for slot in slots if held[slot][latest] != held[slot].get(version)]


def slots_of(spec: RecordType[Any], name: str, operand: Any) -> list[Slot]:
    """The slots that an undo's `operand` of a field sets back; none where it counts back."""
    policy = spec.fields[name].policy
    if policy is Policy.SET:
        return [Slot(name, element) for elements in operand.values() for element in elements]
    return [Slot(name)] if policy in SETTABLE else []


def undo_patch(
    spec: RecordType[Any], fields: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The patch that takes a change back, and the fields that cannot be taken back.

    `fields` is the change's own patch, `before` the old values of what it really changed. Values are set to what
    they were (a field that had none: its default), counters count back, elements added are removed and removed ones
    added. What only ever grows (append, maximum, minimum, first writer) stays. What
    holds later work is none of the undo's (`overtaken`).
    """
    patch: dict[str, Any] = {}
    kept: list[str] = []
    for name, old in before.items():
        policy = spec.fields[name].policy
        if policy in SETTABLE:
            value = spec.defaults.get(name) if old is None and not _may_be_empty(spec, name) else old
            if value is None and name in spec.required:
                kept.append(name)
            else:
                patch[name] = value
        elif policy is Policy.COUNTER:
            patch[name] = -fields[name]
        elif policy is Policy.SET:
            patch[name] = _undo_set(fields[name], old or [])
        else:
            kept.append(name)
    return patch, kept


def _undo_set(operand: Mapping[str, list[Any]], old: list[Any]) -> dict[str, list[Any]]:
    added = [element for element in operand.get("add", ()) if element not in old]
    removed = [element for element in operand.get("remove", ()) if element in old]
    return {"add": removed, "remove": added}


def _may_be_empty(spec: RecordType[Any], name: str) -> bool:
    try:
        spec.patch({name: None})
    except FieldError:
        return False
    return True
