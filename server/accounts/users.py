"""Accounts: making, disabling, listing them, and their passwords."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from server.accounts.passwords import check_policy, hash_password
from server.accounts.rules import check_user_id
from server.accounts.tables import devices, refresh_tokens, sessions, users
from server.storage.database import Database
from sync.clock import Milliseconds
from sync.errors import SyncError


class User(msgspec.Struct, frozen=True):
    """An account as administrators see it. Times are UTC ms; `locked_until_ms` may lie in the past."""

    id: str
    display_name: str
    created_ms: int
    disabled_ms: int | None
    locked_until_ms: int


class Users:
    """The accounts in a database."""

    def __init__(self, database: Database, now_ms: Milliseconds) -> None:
        self._database = database
        self._now_ms = now_ms

    async def create(self, user: str, display_name: str, password: str) -> None:
        """Make an account without grants.

        Raises SyncError `parameter_invalid`, `password_weak` or `user_taken`.
        """
        check_user_id(user)
        if not 1 <= len(display_name) <= 200 or "\0" in display_name:
            raise SyncError("parameter_invalid", "a display name has 1 to 200 characters")
        check_policy(user, password)
        row = {
            "id": user,
            "display_name": display_name,
            "password_hash": await hash_password(password),
            "created_ms": self._now_ms(),
        }
        try:
            async with self._database.engine.begin() as connection:
                await connection.execute(insert(users).values(row))
        except IntegrityError as error:
            raise SyncError("user_taken", f"there is an account {user!r}") from error

    async def set_password(self, user: str, password: str) -> None:
        """Give a new password, lift a lock, and end all sessions: who has the old one is out.

        Raises SyncError `password_weak` or `user_unknown`.
        """
        check_policy(user, password)
        values: dict[str, str | int | None] = {
            "password_hash": await hash_password(password),
            "failed_attempts": 0,
            "locked_until_ms": 0,
        }
        of_user = sessions.c.device_id.in_(select(devices.c.id).where(devices.c.user_id == user))
        async with self._database.engine.begin() as connection:
            await _update(connection, user, values)
            ended = update(sessions).where(of_user, sessions.c.ended_ms.is_(None))
            await connection.execute(ended.values(ended_ms=self._now_ms()))
            of_sessions = select(sessions.c.id).where(of_user)
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.session_id.in_(of_sessions)))

    async def disable(self, user: str) -> None:
        """Bar the account at once; its history stays. Raises SyncError `user_unknown`."""
        await self._change(user, disabled_ms=self._now_ms())

    async def enable(self, user: str) -> None:
        """Let a disabled account in again. Raises SyncError `user_unknown`."""
        await self._change(user, disabled_ms=None)

    async def all(self) -> Sequence[User]:
        """All accounts by id."""
        wanted = [users.c[name] for name in User.__struct_fields__]
        async with self._database.read_engine.connect() as connection:
            rows = await connection.execute(select(*wanted).order_by(users.c.id))
            return [User(*row) for row in rows]

    async def _change(self, user: str, **values: int | None) -> None:
        async with self._database.engine.begin() as connection:
            await _update(connection, user, values)


async def _update(connection: AsyncConnection, user: str, values: Mapping[str, str | int | None]) -> None:
    done = await connection.execute(update(users).where(users.c.id == user).values(values))
    if not done.rowcount:
        raise unknown_user(user)


async def require_user(connection: AsyncConnection, user: str) -> None:
    """Lock the account to the end of the transaction. Raises SyncError `user_unknown`."""
    touched = update(users).where(users.c.id == user).values(id=users.c.id)
    if not (await connection.execute(touched)).rowcount:
        raise unknown_user(user)


def unknown_user(user: str) -> SyncError:
    """The error for an account that does not exist."""
    return SyncError("user_unknown", f"there is no account {user!r}")
