"""Users, their grants, their devices and their sessions: tables that all server processes share."""

import uuid

import msgspec

from field_schemas.access import Grant, Role
from sync.errors import SyncError

TOKEN_MS = 900_000
PASSWORD = "simulated"  # noqa: S105 nothing real is behind it


class Session(msgspec.Struct):
    """A signed-in device; `newest` is the generation of its latest refresh token."""

    user: str
    device: uuid.UUID
    key: str
    newest: int = 0
    ended: bool = False


class Tokens(msgspec.Struct, frozen=True):
    """What a device gets for its session."""

    session: Session
    access: str
    refresh: str


class Accounts:
    """Grants come and go while devices are away; a grant once given stays known, with its end.

    A refresh token lives `refresh_ms`.
    """

    def __init__(self, refresh_ms: int) -> None:
        self.grants: dict[str, tuple[Grant, ...]] = {}
        self.revoked_ms: dict[uuid.UUID, int] = {}
        self.disabled: set[str] = set()
        self._refresh_ms = refresh_ms
        self._enrolled: dict[uuid.UUID, tuple[str, str]] = {}
        self._sessions: list[Session] = []

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

    def sign_in(self, user: str, device: uuid.UUID, key: str, now_ms: int) -> Tokens:
        """A new session; the device is enrolled with its `key`, once. Raises SyncError `account_disabled`,
        `device_taken`."""
        if user in self.disabled:
            raise _disabled(user)
        if self._enrolled.setdefault(device, (user, key)) != (user, key):
            raise SyncError("device_taken", f"device {device} is enrolled with another key or user")
        self._sessions.append(Session(user, device, key))
        return self._tokens(len(self._sessions) - 1, now_ms)

    def refresh(self, token: str, key: str, now_ms: int) -> Tokens:
        """New tokens for the newest refresh token or the one before; an older one ends its session.

        Raises SyncError `token_invalid`, `proof_invalid`, `account_disabled`, `token_reused`.
        """
        number, generation, expires_ms = (int(part) for part in token.split("-")[1:])
        session = self._sessions[number]
        if session.ended or expires_ms <= now_ms:
            raise SyncError("token_invalid", "the session is over")
        if session.key != key:
            raise SyncError("proof_invalid", "another key than the session's")
        self._check_enabled(session, now_ms)
        if generation < session.newest - 1:
            session.ended = True
            raise SyncError("token_reused", "the refresh token had been exchanged before")
        session.newest = generation + 1
        return self._tokens(number, now_ms)

    def session(self, access: str, now_ms: int) -> Session:
        """The session that an access token names. Raises SyncError `token_expired`."""
        number, expires_ms = (int(part) for part in access.split("-")[1:])
        if expires_ms <= now_ms:
            raise SyncError("token_expired", f"the access token ended at {expires_ms}")
        return self._sessions[number]

    def check(self, session: Session, key: str, now_ms: int) -> None:
        """Let a call of a session through that proves `key`. Raises SyncError `proof_invalid`, `token_invalid`,
        `account_disabled`."""
        if session.key != key:
            raise SyncError("proof_invalid", "another key than the session's")
        if session.ended:
            raise SyncError("token_invalid", "the session is over")
        self._check_enabled(session, now_ms)

    def end_sessions(self, user: str) -> None:
        """End all of a user's sessions, as a new password does."""
        for session in self._sessions:
            session.ended |= session.user == user

    def outrun(self, user: str) -> None:
        """A copy of the user's phones has exchanged its refresh tokens, twice: theirs are too old from now on."""
        for session in self._sessions:
            session.newest += 2 * (session.user == user)

    def _check_enabled(self, session: Session, now_ms: int) -> None:
        """A revoked device hands in its work, whatever became of its user."""
        if session.user in self.disabled and not self.is_revoked(session.device, now_ms):
            raise _disabled(session.user)

    def _tokens(self, number: int, now_ms: int) -> Tokens:
        session = self._sessions[number]
        refresh = f"refresh-{number}-{session.newest}-{now_ms + self._refresh_ms}"
        return Tokens(session, f"access-{number}-{now_ms + TOKEN_MS}", refresh)


def _disabled(user: str) -> SyncError:
    return SyncError("account_disabled", f"account {user} is disabled")
