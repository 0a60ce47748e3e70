"""Undoing a change by a new one. Pure."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.policies import Policy
from field_schemas.record import FieldError, RecordType
from sync.draft import Draft
from sync.errors import Refused
from sync.forms import change_now
from sync.merge import CREATION, Mark, Merged, Write, merge
from sync.storage import LoggedChange

_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode

SETTABLE = {Policy.LAST_WRITER, Policy.REVIEW, Policy.WORKFLOW}
"""Fields that hold the value written last."""


def undo_key(change: uuid.UUID) -> str:
    """The key of the mark (sync.merge) by which a record remembers that `change` was taken back."""
    return f"undo {change}"


def check_undo(
    spec: RecordType[Any], undone: uuid.UUID, history: Iterable[LoggedChange], patch: Mapping[str, Any]
) -> None:
    """Raise Refused unless `patch` does nothing but take back what the change `undone` of the `history` did.

    A change that is taken back stays so: nothing else may pass for its undo.
    """
    back: dict[str, Any] = {}
    for one in history:
        if one.id == undone and one.type == spec.name:
            change = change_now(spec, one)
            back, _ = undo_patch(spec, _fields(change.fields), _fields(change.before))
    if not patch or any(name not in back or _plain(patch[name]) != _plain(back[name]) for name in patch):
        raise Refused("value_invalid", f"this does not take {undone} back")


def _plain(operand: Any) -> Any:
    """A set operand without the order of its elements; every other operand as it is."""
    if isinstance(operand, dict) and operand.keys() <= {"add", "remove"}:
        return {key: sorted(elements) for key, elements in operand.items() if elements}
    return operand


def merge_undo(
    spec: RecordType[Any], draft: Draft, patch: Mapping[str, Any], write: Write, undone: uuid.UUID, version: int
) -> Merged:
    """Merge a `patch` that takes back the change `undone`, which made `version`, and leaves later work as it stands.

    People decide where the field is for review. Raises Refused.
    """
    later = overtaken(spec, draft.marks, patch, version)
    own = {name: operand for name, operand in patch.items() if name not in later}
    merged = merge(spec, draft.fields, draft.marks, own, write)
    differs = [name for name in later if draft.fields.get(name, spec.defaults.get(name)) != patch[name]]
    merged.combined |= bool(differs)
    merged.disputed += [name for name in differs if spec.fields[name].policy is Policy.REVIEW]
    note_undo(undone, merged.marks, write)
    return merged


def note_undo(undone: uuid.UUID, marks: dict[str, Mark], write: Write) -> None:
    """Note in a record's marks that `write` takes `undone` back. Raises Refused where that was done before."""
    key = undo_key(undone)
    if key in marks:
        raise Refused("already_undone", f"version {marks[key].version} took {undone} back")
    marks[key] = write.mark()


def overtaken(spec: RecordType[Any], marks: Mapping[str, Mark], patch: Iterable[str], version: int) -> list[str]:
    """The fields of an undo's `patch` that hold later work than the undone change, which made `version`.

    Only of settable fields: counters and sets are counted back whatever came later.
    """
    settable = [name for name in patch if spec.fields[name].policy in SETTABLE]
    return [name for name in settable if (marks.get(name) or marks[CREATION]).version != version]


def undo_patch(
    spec: RecordType[Any], fields: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The patch that takes a change back, and the fields that cannot be taken back.

    `fields` is the change's own patch, `before` the old values of what it really changed. Values are set to what
    they were (a field that had none: its default), counters count back, elements added are removed and removed ones
    added. What only ever grows (append, maximum, minimum, first writer) stays. Fields
    that hold later work are none of the undo's (`overtaken`).
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
