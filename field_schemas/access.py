"""Who may see and do what: roles, grants, and the access table of a record type."""

import enum
from collections.abc import Iterable

import msgspec

from field_schemas.scopes import EVERYBODY, covers


class Role(enum.StrEnum):
    """The roles of the users' world (domain: People)."""

    INSPECTOR = "inspector"
    OFFICER = "officer"
    STEWARD = "steward"
    RESPONDER = "responder"
    SUPERVISOR = "supervisor"
    VENUE_STAFF = "venue_staff"
    CITIZEN = "citizen"
    GATEWAY = "gateway"
    ADMIN = "admin"
    SECURITY_ADMIN = "security_admin"
    AUDITOR = "auditor"
    SELF = "self"
    """Whom a record concerns in person. Implied, never granted."""
    SYSTEM = "system"
    """The server itself: imports, timers, consequences of changes. Never granted to an account."""


SEPARATE_DUTIES = (Role.ADMIN, Role.SECURITY_ADMIN, Role.AUDITOR)
"""One account never holds two of these."""

FIELD_WORKERS = frozenset({Role.INSPECTOR, Role.OFFICER, Role.STEWARD, Role.SUPERVISOR})
INSPECTION = frozenset({Role.INSPECTOR, Role.SUPERVISOR})
SUPERVISION = frozenset({Role.SUPERVISOR})
NOBODY: frozenset[Role] = frozenset()


OWN_WORK = {
    role: role
    for role in (
        Role.INSPECTOR,
        Role.OFFICER,
        Role.STEWARD,
        Role.RESPONDER,
        Role.VENUE_STAFF,
        Role.CITIZEN,
        Role.GATEWAY,
    )
} | {Role.SUPERVISOR: Role.INSPECTOR}
"""As what a person deals with own things that lie outside the own area: who supervises elsewhere is one of the
inspectors there; who administers is nobody in particular."""


class Grant(msgspec.Struct, frozen=True):
    """`role` within `scope`, valid from `valid_from` up to but not at `valid_until` (UTC ms; None: open)."""

    scope: str
    role: Role
    valid_from: int = 0
    valid_until: int | None = None

    def holds_at(self, time_ms: int) -> bool:
        """Whether the grant is valid at `time_ms`."""
        return self.valid_from <= time_ms and (self.valid_until is None or time_ms < self.valid_until)

    def ends_after(self, time_ms: int) -> bool:
        """Whether the grant is valid at `time_ms`, or will be."""
        return self.valid_until is None or time_ms < self.valid_until


def grants_at(grants: Iterable[Grant], time_ms: int) -> tuple[Grant, ...]:
    """The grants that hold at `time_ms`."""
    return tuple([grant for grant in grants if grant.holds_at(time_ms)])


def with_implied(held: tuple[Grant, ...], user: str) -> tuple[Grant, ...]:
    """The grants a user holds, with what every account has beside them.

    Over what is for everybody a user holds each role held anywhere. Over the own things `SELF`, and the own kind of
    work: a task in a foreign street can be done by whom it is given to. Power over others' work ends with its area.
    """
    roles = sorted({grant.role for grant in held})
    own = f"person:{user}"
    public = [Grant(EVERYBODY, role) for role in roles]
    work = [Grant(own, OWN_WORK[role]) for role in roles if role in OWN_WORK]
    return (*held, *public, *work, Grant(own, Role.SELF))


def roles_in(grants: Iterable[Grant], scopes: Iterable[str]) -> frozenset[Role]:
    """The roles that `grants` give over a record lying in `scopes`."""
    inner = tuple(scopes)
    return frozenset(grant.role for grant in grants if any(covers(grant.scope, scope) for scope in inner))


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Which roles may read, create, change and delete records of a type, each within the scopes of a grant."""

    read: frozenset[Role]
    create: frozenset[Role] = NOBODY
    write: frozenset[Role] = NOBODY
    delete: frozenset[Role] = NOBODY
