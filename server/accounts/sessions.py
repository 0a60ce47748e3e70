"""Sessions: signing in, refreshing, signing out, and who stands behind a call."""

import asyncio
import uuid
from collections.abc import Collection
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import Row, case, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.accounts import passwords
from server.accounts.devices import Device, enrol
from server.accounts.identities import Identities, Identity, identity_of
from server.accounts.proofs import thumbprint
from server.accounts.rules import USER_ID
from server.accounts.tables import devices, refresh_tokens, sessions, users
from server.accounts.tokens import AccessTokens, honoured, new_refresh_token, refresh_digest
from server.storage.database import Database
from sync.authority import SERVER_DEVICE
from sync.clock import Milliseconds
from sync.errors import SyncError
from sync.ids import RandomBytes, uuid7


class SessionRules(msgspec.Struct, frozen=True):
    """How long sessions live and when accounts lock."""

    refresh_token_ms: int
    lockout_attempts: int
    lockout_ms: int


class Enrolment(msgspec.Struct, frozen=True):
    """The device that signs in."""

    id: uuid.UUID
    public_key: bytes
    name: str
    model: str | None = None


class TokenPair(msgspec.Struct, frozen=True):
    """What a device gets at sign-in and at every refresh."""

    identity: Identity
    access_token: str
    refresh_token: str


class _Token(msgspec.Struct, frozen=True):
    """A refresh token with what it is judged by; `newest` is its session's latest generation."""

    session: uuid.UUID
    generation: int
    newest: int
    expires_ms: int
    public_key: bytes


class Sessions:
    """The sessions in a database."""

    def __init__(
        self,
        database: Database,
        tokens: AccessTokens,
        rules: SessionRules,
        now_ms: Milliseconds,
        random_bytes: RandomBytes,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._rules = rules
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._identities = Identities(database.read_engine)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def sign_in(self, user: str, password: str, device: Enrolment) -> TokenPair:
        """Check the password, enrol the device if it is new, and open a session.

        A revoked device gets one too: its work may be older than its last session. Raises SyncError
        `credentials_wrong`, `account_locked`, `account_disabled` or `device_taken`.
        """
        if device.id == SERVER_DEVICE:
            raise SyncError("device_taken", f"device {device.id} is the server")
        new_hash = await self._check_password(user, password)
        now = self._now_ms()
        session = uuid7(now, self._random_bytes)
        async with self._database.engine.begin() as connection:
            await connection.execute(update(users).where(users.c.id == user).values(failed_attempts=0, **new_hash))
            await enrol(connection, Device(device.id, user, device.public_key, device.name, device.model, now))
            await connection.execute(
                insert(sessions).values(id=session, device_id=device.id, started_ms=now, generation=0)
            )
            refresh_token = await self._next_refresh_token(connection, session, 0)
            identity = await identity_of(connection, session)
        return self._pair(identity, device.public_key, refresh_token)

    async def refresh(self, refresh_token: str, key: bytes) -> TokenPair:
        """Exchange a refresh token, proven with the device key `key`, for new tokens.

        A revoked device gets them too: it still hands in its work. Raises SyncError `token_invalid`,
        `proof_invalid`, `token_reused` (the session is ended) or `account_disabled`.
        """
        now = self._now_ms()
        async with self._database.engine.begin() as connection:
            token = await _lock_token(connection, refresh_digest(refresh_token), now)
            if token.public_key != key:
                raise SyncError("proof_invalid", "the refresh token belongs to another device")
            identity = await identity_of(connection, token.session)
            if alive := honoured(token.generation, token.newest):
                new_token = await self._next_refresh_token(connection, token.session, token.generation + 1)
            else:
                await _end(connection, token.session, now)
        if not alive:
            raise SyncError("token_reused", "the refresh token had been exchanged before")
        return self._pair(identity, key, new_token)

    async def sign_out(self, session: uuid.UUID) -> None:
        """End a session with all its tokens."""
        async with self._database.engine.begin() as connection:
            await _end(connection, session, self._now_ms())

    async def identify(self, session: uuid.UUID) -> Identity:
        """Who stands behind a session.

        Raises SyncError `token_invalid` when it has ended, or `account_disabled`.
        """
        return await self._identities.of(session)

    async def standing(self, wanted: Collection[uuid.UUID]) -> dict[uuid.UUID, Identity]:
        """Who stands behind those of the sessions that may read: not ended, revoked or disabled."""
        return await self._identities.standing(wanted)

    async def _check_password(self, user: str, password: str) -> dict[str, str]:
        """The columns to rewrite when the hash is out of date. Raises SyncError."""
        # One attempt at an account after the other: many at once would all pass before the first is counted.
        turn = self._turns.setdefault(user, asyncio.Lock())
        async with turn:
            row = await self._password_row(user) if USER_ID.fullmatch(user) else None
            if row and row.locked_until_ms > self._now_ms():
                raise SyncError("account_locked", "too many wrong passwords")
            if not await passwords.matches(row.password_hash if row else None, password) or row is None:
                if row:
                    await self._count_failure(user)
                raise SyncError("credentials_wrong", "user name and password do not match")
        if row.disabled_ms is not None:
            raise SyncError("account_disabled", f"account {user!r} is disabled")
        if passwords.needs_rehash(row.password_hash):
            return {"password_hash": await passwords.hash_password(password)}
        return {}

    async def _password_row(self, user: str) -> "Row[str, int, int | None] | None":
        wanted = select(users.c.password_hash, users.c.locked_until_ms, users.c.disabled_ms)
        async with self._database.read_engine.connect() as connection:
            return (await connection.execute(wanted.where(users.c.id == user))).first()

    async def _count_failure(self, user: str) -> None:
        """One more wrong password; the last one allowed locks the account and starts the count again."""
        failures = users.c.failed_attempts + 1
        locks = failures >= self._rules.lockout_attempts
        until = self._now_ms() + self._rules.lockout_ms
        counted = update(users).where(users.c.id == user)
        async with self._database.engine.begin() as connection:
            await connection.execute(
                counted.values(
                    failed_attempts=case((locks, 0), else_=failures),
                    locked_until_ms=case((locks, until), else_=users.c.locked_until_ms),
                )
            )

    async def _next_refresh_token(self, connection: AsyncConnection, session: uuid.UUID, generation: int) -> str:
        """A new token that takes the session to `generation`; tokens that are too old go."""
        token = new_refresh_token(self._random_bytes)
        now = self._now_ms()
        await connection.execute(update(sessions).where(sessions.c.id == session).values(generation=generation))
        of_session = refresh_tokens.c.session_id == session
        await connection.execute(delete(refresh_tokens).where(of_session, refresh_tokens.c.expires_ms <= now))
        await connection.execute(
            insert(refresh_tokens).values(
                digest=refresh_digest(token),
                session_id=session,
                generation=generation,
                expires_ms=now + self._rules.refresh_token_ms,
            )
        )
        return token

    def _pair(self, identity: Identity, key: bytes, refresh_token: str) -> TokenPair:
        access_token = self._tokens.issue(
            identity.user, identity.device, identity.session, thumbprint(key), self._now_ms()
        )
        return TokenPair(identity, access_token, refresh_token)


async def _lock_token(connection: AsyncConnection, digest: bytes, now: int) -> _Token:
    """The refresh token and its session, which no other refresh changes before the transaction ends."""
    of_token = select(refresh_tokens.c.session_id).where(refresh_tokens.c.digest == digest)
    touched = update(sessions).where(sessions.c.id.in_(of_token)).values(generation=sessions.c.generation)
    await connection.execute(touched)
    wanted = (
        select(
            refresh_tokens.c.session_id,
            refresh_tokens.c.generation,
            sessions.c.generation,
            refresh_tokens.c.expires_ms,
            devices.c.public_key,
        )
        .select_from(refresh_tokens.join(sessions).join(devices))
        .where(refresh_tokens.c.digest == digest)
    )
    row = (await connection.execute(wanted)).first()
    if row is None or row[3] <= now:
        raise SyncError("token_invalid", "the refresh token is unknown or too old")
    return _Token(*row)


async def _end(connection: AsyncConnection, session: uuid.UUID, now: int) -> None:
    await connection.execute(
        update(sessions).where(sessions.c.id == session, sessions.c.ended_ms.is_(None)).values(ended_ms=now)
    )
    await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.session_id == session))
