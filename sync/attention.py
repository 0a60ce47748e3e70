"""What conflict and refusal records say, and what follows from a resolution. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from sync.draft import Draft
from sync.errors import Refused
from sync.merge import CREATION, Mark
from sync.messages import Change
from sync.storage import LoggedChange

FOR_PEOPLE = ("conflict", "refusal")
"""The types of what people are to deal with."""
CLOSED_BY_DELETION = {"conflict": "resolved", "refusal": "dismissed"}
"""The state in which the deletion of its record leaves what was open about it, by type."""


def base_values(
    history: Iterable[LoggedChange], fields: Mapping[str, Any], base: int, names: Iterable[str]
) -> dict[str, Any]:
    """The values that `names` had at version `base`: what the first later change found, or what stands."""
    values = {name: fields.get(name) for name in names}
    open_names = set(values)
    for change in sorted(history, key=lambda change: change.version):
        if change.version > base and open_names:
            before = msgspec.msgpack.decode(change.before)
            for name in open_names & before.keys():
                values[name] = before[name]
                open_names.discard(name)
    return values


def writers_of(
    history: Iterable[LoggedChange], marks: Mapping[str, Mark], names: Iterable[str]
) -> dict[str, str | None]:
    """The users who wrote the values of `names` that stand."""
    users = {change.version: change.user for change in history}
    written = {name: marks.get(name) or marks.get(CREATION) for name in names}
    return {name: users.get(mark.version) if mark else None for name, mark in written.items()}


def conflict_fields(
    change: Change,
    user: str,
    draft: Draft,
    base: Mapping[str, Any],
    writers: Mapping[str, str | None],
    disputed: Iterable[str],
    patch: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of the conflict that `change` met in the record `draft`, but for whom it concerns."""
    return {
        "record_type": draft.type,
        "record": str(draft.id),
        "seen_version": draft.version,
        "change": str(change.id),
        "offered_by": user,
        "differences": [
            {
                "field": name,
                "base": base[name],
                "standing": draft.fields.get(name),
                "offered": patch[name],
                "standing_by": writers[name],
            }
            for name in disputed
        ],
    } | version_field(draft.type_version)


def version_field(type_version: int) -> dict[str, int]:
    """What a conflict or refusal says of the form that the fields in it have; nothing for the first."""
    return {"type_version": type_version} if type_version > 1 else {}


def refusal_fields(
    change: Change, user: str, scopes: Iterable[str], refused: dict[str, Any], code: str, detail: str
) -> dict[str, Any]:
    """The fields of the refusal of `change`, which concerns its author and the supervisors of `scopes`."""
    return {
        "record_type": change.type[:200] or "?",
        "record": str(change.record),
        "change": str(change.id),
        "stamp": change.stamp,
        "author": user,
        "code": code,
        "detail": detail,
        "refused": refused,
        "concerns": sorted({*scopes, f"person:{user}"}),
    } | ({"undoes": str(change.undoes)} if change.undoes else {})


def check_resolution(before: Mapping[str, Any], after: Mapping[str, Any], patch: Mapping[str, Any]) -> None:
    """Raise Refused unless what `patch` resolves of a conflict is of its fields, resolves it, and does so first.

    Whoever resolved it did so with all consequences: no other resolution takes its place, by whatever stamp.
    """
    if "resolution" not in patch:
        return
    resolution: dict[str, Any] = patch["resolution"]
    if foreign := resolution.keys() - {row["field"] for row in after["differences"]}:
        raise Refused("field_unknown", f"not in conflict: {', '.join(sorted(foreign))}")
    if before["state"] == "resolved" and resolution != before.get("resolution", {}):
        raise Refused("already_set", "the conflict is resolved")
    if after["state"] != "resolved":
        raise Refused("value_invalid", "a resolution comes with the state `resolved`")


def resolution_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The values a conflict's resolution sets, empty while it stays open or names none.

    A value that stands is set too where it is named: if it has changed since, that is a new conflict.
    """
    if after["state"] != "resolved" or before["state"] == "resolved":
        return {}
    resolution: dict[str, Any] = after.get("resolution") or {}
    return resolution
