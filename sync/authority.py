"""Who may make a change: judged by the grants that held when it was captured. Pure."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.access import Grant, Role, grants_at, roles_in
from field_schemas.record import RecordType
from sync.errors import Refused
from sync.merge import denied_fields

SERVER_DEVICE = uuid.UUID("00000000-0000-8000-8000-000000000001")
"""The device id under which the server logs its own changes."""
SERVER_USER = "gridwalk"


class Actor(msgspec.Struct, frozen=True):
    """Who makes changes: a user on a device, with all grants the user ever had."""

    user: str
    device: uuid.UUID
    grants: tuple[Grant, ...] = ()
    system: bool = False

    def roles_over(self, scopes: Iterable[str], time_ms: int) -> frozenset[Role]:
        """The roles held at `time_ms` over what lies in `scopes`."""
        if self.system:
            return frozenset({Role.SYSTEM})
        return roles_in(grants_at(self.grants, self.user, time_ms), scopes)


SERVER = Actor(SERVER_USER, SERVER_DEVICE, system=True)


def permit_create(
    spec: RecordType[Any], actor: Actor, fields: Mapping[str, Any], patch: Iterable[str], time_ms: int
) -> frozenset[Role]:
    """The roles by which `actor` may create a record with these fields. Raises Refused.

    That the author owns the new record gives no right by itself: it must lie where the author has a grant.
    """
    all_scopes = spec.scopes(fields, actor.user)
    if not all_scopes:
        raise Refused("no_scope", f"{spec.name}: {_scope_fields(spec)} is empty")
    given = spec.scopes(fields, None) or all_scopes
    return _permit(spec, actor.roles_over(given, time_ms), spec.access.create, patch, given)


def permit_update(
    spec: RecordType[Any], actor: Actor, scopes: Iterable[str], patch: Iterable[str], time_ms: int
) -> frozenset[Role]:
    """The roles by which `actor` may change these fields of a record lying in `scopes`. Raises Refused."""
    within = tuple(scopes)
    return _permit(spec, actor.roles_over(within, time_ms), spec.access.write, patch, within)


def permit_delete(spec: RecordType[Any], actor: Actor, scopes: Iterable[str], time_ms: int) -> frozenset[Role]:
    """The roles by which `actor` may delete a record lying in `scopes`. Raises Refused."""
    within = tuple(scopes)
    return _permit(spec, actor.roles_over(within, time_ms), spec.access.delete, (), within)


def _permit(
    spec: RecordType[Any],
    roles: frozenset[Role],
    allowed: frozenset[Role],
    patch: Iterable[str],
    scopes: tuple[str, ...],
) -> frozenset[Role]:
    if Role.SYSTEM in roles:
        return roles
    if not roles:
        raise Refused("scope_denied", f"no grant covers {', '.join(scopes)}")
    if not roles & allowed:
        raise Refused("role_denied", f"{spec.name} needs {', '.join(sorted(allowed)) or 'the server'}")
    if denied := denied_fields(spec.fields, patch, roles):
        raise Refused("field_denied", f"{spec.name}: {', '.join(denied)}")
    return roles


def _scope_fields(spec: RecordType[Any]) -> str:
    return ", ".join(rule.field for rule in spec.scope_rules if rule.field)
