"""What accounts may be called and which grants they may hold. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from field_schemas.access import SEPARATE_DUTIES, Grant, Role
from field_schemas.grid_codes import GRID_PREFIX
from field_schemas.scopes import SCOPE_KEY
from sync.errors import SyncError

USER_ID = re.compile(r"[a-z0-9._-]{1,64}")
NEVER_GRANTED = frozenset({Role.SELF, Role.SYSTEM})
GRANTABLE = tuple(role for role in Role if role not in NEVER_GRANTED)
_SCOPE = re.compile(rf"grid:{GRID_PREFIX}|(person|dept|case):{SCOPE_KEY}|all:")


def check_user_id(user: str) -> None:
    """Raise SyncError `parameter_invalid` unless `user` may be a login name."""
    if not USER_ID.fullmatch(user):
        raise SyncError("parameter_invalid", f"user {user!r}: 1 to 64 of a-z 0-9 . _ -")


def role_of(name: str) -> Role:
    """The role called `name`. Raises SyncError `parameter_invalid` where it does not exist or is never granted."""
    if name not in GRANTABLE:
        raise SyncError("parameter_invalid", f"role {name!r}: allowed are {', '.join(GRANTABLE)}")
    return Role(name)


def check_scope(scope: str) -> None:
    """Raise SyncError `parameter_invalid` unless `scope` is well formed."""
    if not _SCOPE.fullmatch(scope):
        allowed = "grid: and 6, 9, 12 or 15 digits; person:, dept: or case: and an id; all:"
        raise SyncError("parameter_invalid", f"scope {scope!r}: allowed are {allowed}")


def check_period(valid_from: int, valid_until: int | None) -> None:
    """Raise SyncError `parameter_invalid` for a period that ends before it begins."""
    if valid_until is not None and valid_until <= valid_from:
        start, end = (
            datetime.fromtimestamp(time_ms / 1000, UTC).isoformat() for time_ms in (valid_from, valid_until)
        )
        raise SyncError("parameter_invalid", f"a grant from {start} cannot end at {end}")


def check_duties(held: Iterable[Grant], new: Grant) -> None:
    """Raise SyncError `duties_separate` when `new` would put two separate duties on one account at one time."""
    if new.role not in SEPARATE_DUTIES:
        return
    for grant in held:
        if grant.role in SEPARATE_DUTIES and grant.role is not new.role and _overlap(grant, new):
            raise SyncError("duties_separate", f"the account holds {grant.role}; {new.role} needs another account")


def _overlap(one: Grant, other: Grant) -> bool:
    one_ends = one.valid_until is None or one.valid_until > other.valid_from
    other_ends = other.valid_until is None or other.valid_until > one.valid_from
    return one_ends and other_ends
