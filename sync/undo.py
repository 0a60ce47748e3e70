"""Undoing a change by a new one. Pure."""

from collections.abc import Mapping
from typing import Any

from field_schemas.policies import Policy
from field_schemas.record import RecordType

_SETTABLE = {Policy.LAST_WRITER, Policy.REVIEW, Policy.WORKFLOW}


def undo_patch(
    spec: RecordType[Any], fields: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The patch that takes a change back, and the fields that cannot be taken back.

    `fields` is the change's own patch, `before` the old values of what it really changed. Values are set to what
    they were, counters count back, elements added are removed and removed ones added. What only ever grows (append,
    maximum, minimum, first writer) stays. Made with the undone change's version as base, an undo that meets later
    work of others is merged, or disputed, like any other change.
    """
    patch: dict[str, Any] = {}
    kept: list[str] = []
    for name, old in before.items():
        policy = spec.fields[name].policy
        if policy in _SETTABLE:
            patch[name] = old
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
