"""Who stands behind a session. Calls that wait together are looked up together."""

import asyncio
import uuid
from collections.abc import Collection, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from field_schemas.access import Grant, Role
from server.accounts.devices import NOTED_EVERY_MS
from server.accounts.tables import devices, grants, sessions, users
from sync.authority import Actor
from sync.errors import SyncError


class Identity(msgspec.Struct, frozen=True):
    """Who stands behind a session, with all grants ever given.

    `revoked` is said of the device; `seen_ms` is when it was noted last what it has read, `enrolled_ms` when it came.
    """

    user: str
    display_name: str
    device: uuid.UUID
    session: uuid.UUID
    grants: tuple[Grant, ...]
    revoked: bool = False
    seen_ms: int | None = None
    enrolled_ms: int = 0

    @property
    def actor(self) -> Actor:
        """As the author of changes."""
        # A device pulls when it has sent everything; what is written while that lasts is not to be doubted.
        sent_all_ms = max(self.enrolled_ms, (self.seen_ms or 0) - NOTED_EVERY_MS)
        return Actor(self.user, self.device, self.grants, revoked=self.revoked, sent_all_ms=sent_all_ms)


_Found = dict[uuid.UUID, Identity | SyncError]


class Identities:
    """Looks identities up, as they are when asked for.

    One query runs at a time; sessions asked for meanwhile go together into the next.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: dict[uuid.UUID, asyncio.Future[Identity | SyncError]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def of(self, session: uuid.UUID) -> Identity:
        """Who stands behind a session. Raises SyncError `token_invalid` when it has ended, or `account_disabled`
        where the device is not revoked too."""
        answer = self._waiting.get(session)
        if answer is None:
            answer = self._waiting[session] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        # Others may wait for the same answer when this call is given up.
        return _identity(await asyncio.shield(answer))

    async def standing(self, wanted: Collection[uuid.UUID]) -> dict[uuid.UUID, Identity]:
        """Who stands behind those of the sessions that may read: not ended, revoked or disabled."""
        async with self._engine.connect() as connection:
            found = await _found(connection, wanted)
        return {key: who for key, who in found.items() if isinstance(who, Identity) and not who.revoked}

    async def _ask(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                async with self._engine.connect() as connection:
                    found = await _found(connection, waiting)
            except Exception as error:
                for answer in waiting.values():
                    answer.set_exception(error)
            else:
                for session, answer in waiting.items():
                    answer.set_result(found[session])
        self._asking = None


async def identity_of(connection: AsyncConnection, session: uuid.UUID) -> Identity:
    """Who stands behind a session, within a transaction. Raises as `Identities.of`."""
    return _identity((await _found(connection, [session]))[session])


def _identity(found: Identity | SyncError) -> Identity:
    if isinstance(found, SyncError):
        raise SyncError(found.code, found.detail)
    return found


_IDENTITIES = (
    select(
        sessions.c.id.label("session"),
        users.c.id.label("user"),
        users.c.display_name,
        users.c.disabled_ms,
        devices.c.id.label("device"),
        devices.c.revoked_ms,
        devices.c.seen_ms,
        devices.c.enrolled_ms,
        grants.c.scope,
        grants.c.role,
        grants.c.valid_from,
        grants.c.valid_until,
    )
    .select_from(sessions.join(devices).join(users).outerjoin(grants, grants.c.user_id == users.c.id))
    # Made once: to put a statement together takes longer than to carry it out.
    .where(sessions.c.ended_ms.is_(None), sessions.c.id.in_(bindparam("wanted", expanding=True)))
    .order_by(sessions.c.id, grants.c.id)
)
_session = attrgetter("session")


async def _found(connection: AsyncConnection, wanted: Collection[uuid.UUID]) -> _Found:
    rows = (await connection.execute(_IDENTITIES, {"wanted": list(wanted)})).all()
    found: _Found = {session: SyncError("token_invalid", "the session has ended") for session in wanted}
    return found | {session: _from_rows(list(of_session)) for session, of_session in groupby(rows, _session)}


def _from_rows(rows: Sequence[Any]) -> Identity | SyncError:
    first = rows[0]
    # A revoked device only hands in its work, which is kept apart, and learns that it is to wipe itself.
    if first.disabled_ms is not None and first.revoked_ms is None:
        return SyncError("account_disabled", f"account {first.user!r} is disabled")
    held = tuple([Grant(row.scope, Role(row.role), row.valid_from, row.valid_until) for row in rows if row.role])
    revoked = first.revoked_ms is not None
    return Identity(
        first.user, first.display_name, first.device, first.session, held, revoked, first.seen_ms, first.enrolled_ms
    )
