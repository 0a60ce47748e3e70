"""Who may make a change: judged by the grants that held when it was captured. Pure."""

import functools
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.access import Grant, Role, grants_at, roles_in, with_implied
from field_schemas.record import RecordType
from sync.clock import Bounded
from sync.cursor import tag_of
from sync.errors import Refused
from sync.merge import denied_fields

SERVER_DEVICE = uuid.UUID("00000000-0000-8000-8000-000000000001")
"""The device id under which the server logs its own changes."""
SERVER_USER = "gridwalk"
_SYSTEM = frozenset({Role.SYSTEM})
_REMEMBERED = 10_000


class Actor(msgspec.Struct, frozen=True):
    """Who makes changes: a user on a device, with all grants the user ever had.

    The changes of a `revoked` device are kept apart: refused until a supervisor applies them. What the device still
    sends was captured after `sent_all_ms` (UTC): before, it was not enrolled yet, or had sent everything.
    """

    user: str
    device: uuid.UUID
    grants: tuple[Grant, ...] = ()
    system: bool = False
    revoked: bool = False
    sent_all_ms: int = 0


class HeldRoles:
    """The roles an actor holds over scopes, by time; answers are remembered for one push or pull.

    `numbered` says whether the actor's changes come from a device: numbered, and kept as refusals where they are
    refused. `writer` is that device as marks name it.
    """

    def __init__(self, actor: Actor) -> None:
        self.user = actor.user
        self.writer = str(actor.device)
        self.numbered = actor.device != SERVER_DEVICE
        self._actor = actor
        self._turns = sorted({grant.valid_from for grant in actor.grants}.union(_ends(actor.grants)))
        self._known: dict[tuple[int, tuple[str, ...]], frozenset[Role]] = {}

    def over(self, scopes: tuple[str, ...], time_ms: int) -> frozenset[Role]:
        """The roles held at `time_ms` over what lies in `scopes`."""
        if self._actor.system:
            return _SYSTEM
        span = bisect_right(self._turns, time_ms)
        roles = self._known.get((span, scopes))
        if roles is None:
            held = grants_at(self._actor.grants, time_ms)
            roles = self._known[span, scopes] = roles_in(with_implied(held, self._actor.user), scopes)
        return roles

    def same_at(self, one_ms: int, other_ms: int) -> bool:
        """Whether no grant began or ended between two moments."""
        return bisect_right(self._turns, one_ms) == bisect_right(self._turns, other_ms)


def _ends(grants: Iterable[Grant]) -> Iterable[int]:
    return (grant.valid_until for grant in grants if grant.valid_until is not None)


def authority_tag(grants: Iterable[Grant], time_ms: int) -> str:
    """A short text by which two sides see whether they know the same grants as holding at `time_ms`."""
    return tag_of(f"{one.role} {one.scope} {one.valid_until}" for one in grants_at(grants, time_ms))


def vouched(time: Bounded, actor: Actor) -> Bounded:
    """The time of a capture by `actor`'s device; without a bound where the server knows that it cannot be."""
    impossible = time.ms + (time.error_ms or 0) < actor.sent_all_ms
    return Bounded(time.ms, None) if impossible else time


SERVER = Actor(SERVER_USER, SERVER_DEVICE, system=True)


def permit_create(
    spec: RecordType[Any], roles: HeldRoles, fields: Mapping[str, Any], scopes: tuple[str, ...], time_ms: int
) -> frozenset[Role]:
    """The roles by which a record with these fields, which will lie in `scopes`, may be created. Raises Refused."""
    held = permit_place(spec, roles, scopes, spec.access.create, time_ms)
    _check_fields(spec, held, fields)
    return held


def permit_place(
    spec: RecordType[Any], roles: HeldRoles, scopes: tuple[str, ...], allowed: frozenset[Role], time_ms: int
) -> frozenset[Role]:
    """The roles by which a record may be put into `scopes`, one of `allowed` among them. Raises Refused.

    That a record concerns its author gives no right by itself: it must also lie where the author has a grant.
    """
    if not scopes:
        raise Refused("no_scope", f"{spec.name}: {', '.join(sorted(spec.scope_fields))} is empty")
    held = roles.over(_beyond_oneself(scopes, roles.user), time_ms)
    _check_roles(spec, held, allowed)
    return held


def permit_update(
    spec: RecordType[Any], roles: HeldRoles, patch: Iterable[str], scopes: tuple[str, ...], time_ms: int
) -> frozenset[Role]:
    """The roles by which these fields of a record lying in `scopes` may be changed. Raises Refused."""
    held = roles.over(scopes, time_ms)
    _check_roles(spec, held, spec.access.write)
    _check_fields(spec, held, patch)
    return held


def permit_delete(spec: RecordType[Any], roles: HeldRoles, scopes: tuple[str, ...], time_ms: int) -> frozenset[Role]:
    """The roles by which a record lying in `scopes` may be deleted. Raises Refused."""
    held = roles.over(scopes, time_ms)
    _check_roles(spec, held, spec.access.delete)
    return held


@functools.lru_cache(_REMEMBERED)
def _beyond_oneself(scopes: tuple[str, ...], user: str) -> tuple[str, ...]:
    """The scopes that are not the author's own; all of them where there are no others."""
    own = f"person:{user}"
    if own not in scopes:
        return scopes
    return tuple([scope for scope in scopes if scope != own]) or scopes


def _check_roles(spec: RecordType[Any], held: frozenset[Role], allowed: frozenset[Role]) -> None:
    if Role.SYSTEM in held:
        return
    if not held:
        raise Refused("scope_denied", f"no grant covers this {spec.name}")
    if not held & allowed:
        raise Refused("role_denied", f"{spec.name} needs {', '.join(sorted(allowed)) or 'the server'}")


def _check_fields(spec: RecordType[Any], held: frozenset[Role], patch: Iterable[str]) -> None:
    if not spec.reserved_fields.isdisjoint(patch) and (denied := denied_fields(spec.fields, patch, held)):
        raise Refused("field_denied", f"{spec.name}: {', '.join(denied)}")
