"""Users, their grants and their devices' sessions: a table that all server processes share."""

import uuid

import msgspec

from field_schemas.access import Grant, Role

TOKEN_MS = 900_000
PASSWORD = "simulated"  # noqa: S105 nothing real is behind it


class Session(msgspec.Struct):
    """One signed-in device."""

    user: str
    device: uuid.UUID
    expires_ms: int


class Accounts:
    """Grants come and go while devices are away; a grant once given stays known, with its end."""

    def __init__(self) -> None:
        self.grants: dict[str, tuple[Grant, ...]] = {}
        self.revoked_ms: dict[uuid.UUID, int] = {}
        self._sessions: dict[str, Session] = {}

    def give(self, user: str, scope: str, role: Role, now_ms: int, until_ms: int | None = None) -> Grant:
        """A new grant. It begins with the next millisecond: what was decided in this one stands."""
        grant = Grant(scope, role, now_ms + 1, until_ms)
        self.grants[user] = (*self.grants.get(user, ()), grant)
        return grant

    def end(self, user: str, grant: Grant, now_ms: int) -> None:
        """End a grant, from the next millisecond on."""
        ended = msgspec.structs.replace(grant, valid_until=now_ms + 1)
        self.grants[user] = tuple(ended if one is grant else one for one in self.grants[user])

    def revoke(self, device: uuid.UUID, now_ms: int) -> None:
        """Revoke a device, from the next millisecond on."""
        self.revoked_ms.setdefault(device, now_ms + 1)

    def is_revoked(self, device: uuid.UUID, at_ms: int) -> bool:
        """Whether a device was revoked at that time."""
        return self.revoked_ms.get(device, at_ms + 1) <= at_ms

    def sign_in(self, user: str, device: uuid.UUID, now_ms: int) -> tuple[str, str]:
        """Access and refresh token of a new session."""
        refresh = f"refresh-{len(self._sessions)}"
        self._sessions[refresh] = Session(user, device, 0)
        return self.renew(refresh, now_ms) or "", refresh

    def renew(self, refresh: str, now_ms: int) -> str | None:
        """A new access token, None where there is no such session."""
        session = self._sessions.get(refresh)
        if session is None:
            return None
        session.expires_ms = now_ms + TOKEN_MS
        return f"access-{refresh}-{session.expires_ms}"

    def session(self, access: str) -> Session | None:
        """The session an access token belongs to; any token of a session counts."""
        return self._sessions.get(access.removeprefix("access-").rpartition("-")[0])

    def user_of(self, refresh: str) -> str:
        """Whose session it is."""
        return self._sessions[refresh].user
