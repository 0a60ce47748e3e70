"""Who may see what, reckoned from the declarations alone: the oracle beside `sync.pull` and `sync.authority`."""

from collections.abc import Iterable
from typing import Any

import msgspec

from client_sdk.simulation.programs import as_newest
from field_schemas.access import Grant, Role
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from sync.storage import StoredRecord

_AT_WORK = {Role.SUPERVISOR: Role.INSPECTOR}
_IN_OFFICES = (Role.ADMIN, Role.SECURITY_ADMIN, Role.AUDITOR)


def roles_over(user: str, grants: Iterable[Grant], at_ms: int, scopes: Iterable[str]) -> set[Role]:
    """The roles of `user` at `at_ms` over what lies in `scopes`."""
    places = list(scopes)
    valid = [one for one in grants if one.valid_from <= at_ms and not (one.valid_until or at_ms + 1) <= at_ms]
    roles = {one.role for one in valid for place in places if _reaches(one.scope, place)}
    if "all:" in places:
        roles |= {one.role for one in valid}
    if f"person:{user}" in places:
        roles |= {Role.SELF} | {_AT_WORK.get(one.role, one.role) for one in valid if one.role not in _IN_OFFICES}
    return roles


def seen_by(
    registry: Registry, user: str, grants: Iterable[Grant], at_ms: int, record: StoredRecord
) -> dict[str, Any] | None:
    """The fields of a record that `user` may see at `at_ms`, as the newest program has them, None where not even the
    record."""
    spec = registry.get(record.type)
    fields = as_newest(record.type, msgspec.msgpack.decode(record.fields), record.type_version)
    # What is purged has no fields any more; where it lay is kept, so that its deletion is told to nobody else.
    purged = record.deleted and not fields
    places = record.scopes if purged else places_of(spec, fields, record.owner)
    roles = roles_over(user, grants, at_ms, places)
    if not roles & spec.access.read:
        return None
    return {name: value for name, value in fields.items() if _readable(spec, name, roles)}


def places_of(spec: RecordType[Any], fields: dict[str, Any], owner: str | None) -> list[str]:
    """The scopes that a record's fields put it in."""
    places: list[str] = []
    for rule in spec.scope_rules:
        if rule.kind == "all":
            places.append("all:")
            continue
        value = owner if rule.field is None else fields.get(rule.field)
        values = value if isinstance(value, list) else [value] if value else []
        places += values if rule.kind == "scope" else [f"{rule.kind}:{one}" for one in values]
    return places


def _reaches(outer: str, inner: str) -> bool:
    kind, _, key = outer.partition(":")
    other, _, place = inner.partition(":")
    return kind == other and (key == place or (kind == "grid" and place[: len(key)] == key))


def _readable(spec: RecordType[Any], name: str, roles: set[Role]) -> bool:
    only = spec.fields[name].read
    return only is None or bool(only & roles)
