"""Scopes: the parts of the world a record lies in and a grant covers.

A scope is text `kind:key`. Kinds: `grid` (a prefix of the unit-grid code: district 6, street 9, community 12,
grid 15 digits), `person` (a user id), `dept` (a department code), `case` (a case id), `all` (everybody).
"""

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

DISTRICT_DIGITS = 6
STREET_DIGITS = 9
EVERYBODY = "all:"
SCOPE_KEY = "[A-Za-z0-9._-]{1,100}"
"""Regular expression of the key of a person, department or case."""
_REMEMBERED = 10_000
"""Records of one grid and author share their scopes: what follows from them is worked out once."""


class ScopeRule(msgspec.Struct, frozen=True):
    """Where a record type takes one of its scopes from: `kind`, and the `field` that holds the key.

    The field may be empty in a record (no such scope then) or hold a list of keys. `field` None with kind
    `person` means the record's owner. Kind `scope` means that the field holds whole scopes. `assigned`: the person
    is to work on the record.
    """

    kind: str
    field: str | None = None
    assigned: bool = False


def in_grid(field: str) -> ScopeRule:
    """The record lies in the unit grid whose code (or prefix) `field` holds."""
    return ScopeRule("grid", field)


def of_person(field: str) -> ScopeRule:
    """The record concerns the user, or users, whose id `field` holds."""
    return ScopeRule("person", field)


def assigned_to(field: str) -> ScopeRule:
    """The record is given to the user whose id `field` holds, who must be able to change it: others are refused."""
    return ScopeRule("person", field, assigned=True)


def in_dept(field: str) -> ScopeRule:
    """The record belongs to the department, or departments, whose code `field` holds."""
    return ScopeRule("dept", field)


def of_case(field: str) -> ScopeRule:
    """The record belongs to the case whose number `field` holds: whoever has a grant on that takes part in it."""
    return ScopeRule("case", field)


def in_scopes(field: str) -> ScopeRule:
    """The record lies in the scopes listed in `field`, as copied from another record."""
    return ScopeRule("scope", field)


OF_OWNER = ScopeRule("person")
"""The record concerns the user who created it."""

FOR_EVERYBODY = ScopeRule("all")
"""The record is for everyone whose role may read its type."""


def scopes_of(rules: tuple[ScopeRule, ...], fields: Mapping[str, Any], owner: str | None) -> tuple[str, ...]:
    """The scopes of a record with these `fields`, sorted, without repeats."""
    values = [owner if rule.field is None else fields.get(rule.field) for rule in rules]
    try:
        return _scopes(rules, *values)
    except TypeError:
        return _scopes_of_lists(rules, values)


def _scopes_of_lists(rules: tuple[ScopeRule, ...], values: list[Any]) -> tuple[str, ...]:
    keys = [tuple(value) if isinstance(value, list) else value for value in values]
    try:
        return _scopes(rules, *keys)
    except TypeError:
        # What was refused may hold anything, also what cannot be looked up.
        return _scopes.__wrapped__(rules, *keys)


@functools.lru_cache(_REMEMBERED)
def _scopes(rules: tuple[ScopeRule, ...], *values: Any) -> tuple[str, ...]:
    found: set[str] = set()
    for rule, value in zip(rules, values, strict=True):
        prefix = "" if rule.kind == "scope" else f"{rule.kind}:"
        if rule.kind == "all":
            found.add(EVERYBODY)
        elif isinstance(value, tuple):
            found.update([f"{prefix}{key}" for key in value if key])
        elif value:
            found.add(f"{prefix}{value}")
    return tuple(sorted(found))


def covers(outer: str, inner: str) -> bool:
    """Whether a grant on `outer` reaches a record in `inner`."""
    if outer == inner:
        return True
    return outer.startswith("grid:") and inner.startswith(outer)


def feed_key(scope: str) -> str:
    """The feed that carries `scope`: a street for grid codes, otherwise the scope itself."""
    if scope.startswith("grid:"):
        return scope[: len("grid:") + STREET_DIGITS]
    return scope


@functools.lru_cache(_REMEMBERED)
def feeds_of(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """The feeds that carry a record lying in `scopes`, sorted, without repeats."""
    return tuple(sorted(set(map(feed_key, scopes))))


@functools.lru_cache(_REMEMBERED)
def district_of(scopes: tuple[str, ...]) -> str:
    """The six-digit district of the first grid scope, "" where there is none."""
    for scope in scopes:
        if scope.startswith("grid:"):
            return scope[len("grid:") :][:DISTRICT_DIGITS]
    return ""
